#!/usr/bin/env bash
# Checks the types of the scripts beside the package: each recipe's local/, utils, utils/bench and the
# hooks of the documentation. mypy alone checks atat/.
#
#   utils/types.sh     what follows goes to mypy
#
# Scripts of a folder import each other by bare names, as Python finds them; two recipes may each have
# a make_mini.py. Hence one call a folder. Expects mypy on the PATH (tools/venv/bin).

unset CDPATH # cd would go elsewhere, and print where
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
for folder in egs/*/local utils utils/bench docs/hooks; do
  # A glob that fits nothing stays as it is: a recipe may have no script in Python.
  scripts=("$folder"/*.py)
  [ -e "${scripts[0]}" ] || continue
  MYPYPATH=$folder mypy --no-error-summary "$@" "${scripts[@]}" || failed=1
done
exit "$failed"
