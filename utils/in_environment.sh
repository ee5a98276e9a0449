#!/usr/bin/env bash
# Runs a command in the environment, which is built first where it is missing: the hooks of
# .pre-commit-config.yaml, from whatever shell `git commit` is called.
#
#   utils/in_environment.sh ruff check .

set -euo pipefail
. "$(dirname "$0")/environment.sh"
activate
exec "$@"
