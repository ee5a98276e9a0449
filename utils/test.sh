#!/usr/bin/env bash
# Runs all tests; builds the environment first when it is not there.
#
#   utils/test.sh                      everything
#   utils/test.sh tests/test_lfb.py    what follows goes to pytest
#   ATAT_DATA=/corpora utils/test.sh   also the tests that read real corpora
#
# The last line, such as "412 passed, 9 skipped", is the result.

set -euo pipefail
export LC_ALL=C
. "$(dirname "$0")/environment.sh"
activate
cd "$atat_root"
# One test file a core, in the order of tests/conftest.py; each process keeps to one thread.
export OMP_NUM_THREADS=1
exec python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder "$@"
