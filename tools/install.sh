#!/usr/bin/env bash
# Builds the Python environment that recipes and tests run in: a venv at tools/venv.
#
#   tools/install.sh                                      with the first Python found that will do
#   PYTHON=/opt/python/bin/python3.11 tools/install.sh    with this one
#   ATAT_VENV=/big/disk/venv tools/install.sh             somewhere else (set it for recipes too)
#
# No root is needed. Recipes and the test command call this script first; when the environment
# stands, it returns at once. It may be interrupted at any time: the next call continues. Several
# checkouts may share one environment as long as they need the same packages; it belongs to the one
# that built it, and the others never change it. It knows nothing of optional engines (flite, piper,
# MFA, Slurm): tools/README.md does.

unset CDPATH # cd would go elsewhere, and print where
set -euo pipefail
export LC_ALL=C

tools=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$tools")
venv=${ATAT_VENV:-$tools/venv}
[[ $venv == /* ]] || venv=$PWD/$venv
while [[ $venv == ?*/ ]]; do venv=${venv%/}; done # or the lock beside it would be inside
stamp=$venv/.installed
owner_file=$venv/.checkout # the checkout that built it, whose code its python imports by itself
candidates=(python3.11 python3.12 python3.10 python3) # the one tested most comes first
needed_gb=8 # measured while installing: 6.3 GB at most, of which 6.1 GB stay

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Prints "3.11.7" for an interpreter that runs. A name on PATH is no proof: pyenv puts a shim
# there for versions that are not active, and the shim only fails.
version_of() {
  "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null
}

# Whether the venv was made to its end: pip comes last, and its file INSTALLER last of that.
venv_stands() {
  compgen -G "$venv/lib/python*/site-packages/pip-*.dist-info/INSTALLER" >/dev/null &&
    version_of "$venv/bin/python" >/dev/null
}

is_supported() {
  local major minor rest
  IFS=. read -r major minor rest <<<"$1"
  ((major > 3 || (major == 3 && minor >= 10)))
}

choose_python() {
  local candidate version seen="" install_one
  install_one="Install one (apt install python3.11 python3.11-venv; or pyenv, conda, uv) and name it:
  PYTHON=/path/to/python3.11 tools/install.sh"
  if [ -n "${PYTHON:-}" ]; then
    version=$(version_of "$PYTHON") || fail "PYTHON=$PYTHON does not run as a Python interpreter."
    is_supported "$version" ||
      fail "$PYTHON is Python $version, but atat needs 3.10 or newer. $install_one"
    python=$PYTHON
    return
  fi
  # An environment that stands keeps its Python, whatever else has been installed since.
  if venv_stands && is_supported "$(version_of "$venv/bin/python")"; then
    python=$venv/bin/python
    return
  fi
  for candidate in "${candidates[@]}"; do
    version=$(version_of "$candidate") || continue
    seen+=" $candidate is $version;"
    if is_supported "$version"; then
      python=$candidate
      return
    fi
  done
  fail "no Python of 3.10 or newer found (tried ${candidates[*]};${seen:- none of them runs}). $install_one"
}

# What the finished environment depends on: when any of it changes, pip is run again.
fingerprint() {
  printf 'python %s\n' "$(version_of "$venv/bin/python")"
  (cd "$tools" && cksum requirements*.txt constraints.txt atat)
}

# The checkout that the environment belongs to; nothing when there is none or it has been removed.
owner() {
  local folder
  [ -f "$owner_file" ] && folder=$(<"$owner_file") && [ -f "$folder/tools/install.sh" ] || return 0
  printf '%s' "$folder"
}

is_ours() {
  local folder
  folder=$(owner)
  [ -z "$folder" ] || [ "$folder" -ef "$root" ]
}

# Makes `import atat` in the environment's python import this checkout from any folder.
own() {
  local packages
  packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  echo "$root" >"$packages/atat.pth"
  cp "$tools/atat" "$venv/bin/atat"
  echo "$root" >"$owner_file"
}

is_installed() {
  [ -f "$stamp" ] && [ "$(<"$stamp")" = "$(fingerprint)" ] || return 1
  # A Python that was asked for by name must also be the one in use.
  [ -z "${PYTHON:-}" ] || [ "$(version_of "$PYTHON")" = "$(version_of "$venv/bin/python")" ] ||
    return 1
  # Built by a checkout that has been moved or removed since: whoever builds next takes it over.
  [ -n "$(owner)" ]
}

check_disk() {
  local free_kb used_kb needed_kb folder=$venv
  while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
  free_kb=$(df -Pk "$folder" | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4)
  used_kb=0
  [ ! -d "$venv" ] || used_kb=$(du -sk "$venv" | cut -f 1)
  needed_kb=$((needed_gb * 1024 * 1024 - used_kb))
  ((free_kb >= needed_kb)) ||
    fail "not enough disk for the environment: $((needed_kb / 1024)) MB needed, $((free_kb / 1024)) MB free
in $folder. Make room, or build it on another disk: ATAT_VENV=/big/disk/venv tools/install.sh"
}

make_venv() {
  local version
  version=$(version_of "$python")
  "$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "$python has no venv module. On Debian and Ubuntu: apt install python${version%.*}-venv"
  if venv_stands && [ "$(version_of "$venv/bin/python")" = "$version" ]; then
    return
  fi
  if [ ! -f "$venv/pyvenv.cfg" ] && [ -n "$(ls -A "$venv" 2>/dev/null)" ]; then
    fail "$venv is not empty and no Python environment: name another folder in ATAT_VENV."
  fi
  echo "atat: new environment of $python ($version) in $venv"
  "$python" -m venv --clear "$venv"
}

# pip marks a package as its own with the file INSTALLER, last of all. Where the mark is missing,
# an earlier run was cut off inside that package: forget it, so that pip installs it again.
forget_half_installed() {
  local folder
  for folder in "$venv"/lib/python*/site-packages/*.dist-info; do
    if [ -d "$folder" ] && [ ! -f "$folder/INSTALLER" ]; then rm -rf "$folder"; fi
  done
}

# Lines from pip that need no action: a mirror on disk that lacks a package, and packages that
# espnet and omniio ask for (requirements-nodeps.txt says why they do not get it).
without_noise() {
  grep --line-buffered -v -e 'is ignored: it is neither a file nor a directory' \
    -e "^ERROR: pip's dependency resolver" -e '^\(espnet\|omniio\) [0-9.]* requires' || true
}

install() {
  local log=$venv/pip.log quiet=(--quiet --quiet --progress-bar off)
  if [ -t 1 ]; then quiet=(--progress-bar on); fi
  rm -f "$log"
  # Downloads beside the environment: /tmp is often too small for torch, and this disk was checked.
  mkdir -p "$venv/tmp"
  TMPDIR=$venv/tmp "$venv/bin/python" -m pip --disable-pip-version-check install \
    "${quiet[@]}" --log "$log" "$@" 2> >(without_noise >&2) || explain_pip "$log"
}

explain_pip() {
  local lines
  lines=$(tail -n 400 "$1")
  case $lines in
    *NewConnectionError* | *"name resolution"* | *"Connection refused"* | *ReadTimeout* | *ProxyError*)
      fail "the package index cannot be reached. Check the network or proxy (HTTPS_PROXY,
PIP_INDEX_URL) and run this again; what is installed already stays. For a machine without network,
tools/README.md says how to bring the packages along." ;;
    *"No space left on device"* | *"Disk quota exceeded"*)
      fail "the disk is full. Make room (about ${needed_gb} GB in all) and run this again." ;;
    *) fail "pip failed for the reason above; the whole log is $1. Running this again continues." ;;
  esac
}

build() {
  is_ours || fail "$venv belongs to the checkout $(owner), which needs other packages or another
Python than this one ($root). Give each its own: ATAT_VENV=/another/folder tools/install.sh"
  choose_python
  check_disk
  make_venv
  rm -rf "$stamp" "$venv/tmp"
  forget_half_installed
  echo "atat: installing the packages (some minutes, 2 GB to download; safe to interrupt)"
  install -r "$tools/requirements.txt" -c "$tools/constraints.txt"
  install --no-deps -r "$tools/requirements-nodeps.txt"
  rm -rf "$venv/tmp"
  own
  "$venv/bin/python" "$tools/check_environment.py" ||
    fail "the environment in $venv is broken. Remove that folder and run this again."
  fingerprint >"$stamp.tmp"
  mv "$stamp.tmp" "$stamp"
  echo "atat: environment ready in $venv"
}

if is_installed; then exit 0; fi
# One builder at a time, over all checkouts; one that waited finds the work done.
mkdir -p "$(dirname "$venv")"
exec 9>"$venv.lock"
if command -v flock >/dev/null; then flock 9; fi
if is_installed; then exit 0; fi
trap 'echo "interrupted; the next call continues where this one stopped" >&2; exit 130' INT
build
