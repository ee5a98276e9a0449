#!/usr/bin/env bash
# Asks PyPI which of the packages that tools/ pins have known vulnerabilities, by pip-audit in an
# environment of its own, which is removed again. Nothing of the project is installed or changed.
#
#   utils/audit.sh                  asks the package index, which has a list of vulnerabilities
#   utils/audit.sh -s osv           arguments are passed to pip-audit: another service, say
#
# Ends with 0 if all were asked about and none is known to be vulnerable, with 1 if some are, with 3
# if the service gave no answer about some or all of them: then nothing is known of those.

set -euo pipefail
export LC_ALL=C
. "$(dirname "$0")/environment.sh"

no_answer() {
  printf 'error: %s\n' "$*" >&2
  exit 3
}

python=$atat_venv/bin/python
[ -x "$python" ] || python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv" >"$work/pip" 2>&1 ||
  no_answer "no environment can be made for pip-audit, so that nothing was asked: $(grep . "$work/pip" | tail -n 1)"
"$work/venv/bin/python" -m pip --disable-pip-version-check install --quiet pip-audit 2>"$work/pip" ||
  no_answer "pip-audit cannot be installed, so that nothing was asked: $(tail -n 1 "$work/pip")"

# Every pinned version, whichever Python it is for. pip-audit wants a name but once in a call, so
# that the second version of a name stands in a second file, and so on.
cat "$atat_root"/tools/{requirements,requirements-nodeps,constraints}.txt |
  sed -n 's/^\([A-Za-z0-9._-]*\)\(\[[^]]*\]\)\{0,1\}==\([^ ;#]*\).*/\1==\3/p' | sort -u |
  awk -F == -v folder="$work" '{ print > (folder "/pinned" ++count[tolower($1)] ".txt") }'
for file in "$work"/pinned*.txt; do
  # It ends with 1 where it finds something, and where it fails; then there is no list.
  "$work/venv/bin/pip-audit" --disable-pip --no-deps --progress-spinner off --format json \
    --output "$file.json" -r "$file" "$@" 2>"$work/log" || true
  [ -s "$file.json" ] || no_answer "the vulnerability service gave no answer, so that nothing is known:
$(tail -n 1 "$work/log")"
done
"$python" - "$work"/pinned*.json <<'EOF'
import json
import sys

found = [one for file in sys.argv[1:] for one in json.load(open(file))["dependencies"]]
unknown = [one for one in found if "skip_reason" in one]
asked = [one for one in found if "skip_reason" not in one]
vulnerable = [one for one in asked if one["vulns"]]
for one in vulnerable:
    for fault in one["vulns"]:
        names = ", ".join([fault["id"], *fault.get("aliases", [])])
        fixed = ", ".join(fault["fix_versions"]) or "no version yet"
        print(f"{one['name']} {one['version']}: {names}; fixed in {fixed}")
print(f"{len(asked)} pinned versions asked about, {len(vulnerable)} with known vulnerabilities")
if unknown:
    print(
        f"error: the service gave no answer about {len(unknown)} of {len(found)}, of which nothing "
        f"is known, such as {unknown[0]['name']}: {unknown[0]['skip_reason']}",
        file=sys.stderr,
    )
sys.exit(1 if vulnerable else 3 if unknown else 0)
EOF
