#!/usr/bin/env bash
# Builds the documentation into docs/site, without network; builds the environment first if it is missing.
#
#   utils/docs.sh              docs/site, whose pages open from the disk, too: docs/site/index.html
#   utils/docs.sh --serve      the same, served at http://127.0.0.1:8001 (search needs a server)
#   utils/docs.sh --serve 127.0.0.1:9000
#
# A warning, such as a link that leads nowhere, is an error. What a page is made of: docs/mkdocs.yml.

set -euo pipefail
export LC_ALL=C
. "$(dirname "$0")/environment.sh"
activate
cd "$atat_root"
# Its makers' news about other products are no warnings of ours.
export NO_MKDOCS_2_WARNING=1
case ${1:-} in
  "") exec python -m mkdocs build --config-file docs/mkdocs.yml ;;
  --serve) exec python -m mkdocs serve --config-file docs/mkdocs.yml --dev-addr "${2:-127.0.0.1:8001}" ;;
  *)
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
    [ "$1" = --help ] || exit 2
    ;;
esac
