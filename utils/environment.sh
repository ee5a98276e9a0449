# The Python environment, for shell scripts that source this file. Knows nothing of recipes.

unset CDPATH # cd would go elsewhere, and print where
# Follows symbolic links to the real files, so that all of them share one environment.
atat_root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
atat_venv=${ATAT_VENV:-$atat_root/tools/venv}
# Made absolute now, since scripts change their folder.
[[ $atat_venv == /* ]] || atat_venv=$PWD/$atat_venv
while [[ $atat_venv == ?*/ ]]; do atat_venv=${atat_venv%/}; done

# Builds the environment if it is missing, then puts its python first on the PATH and atat on
# the module path.
activate() {
  export ATAT_VENV=$atat_venv
  "$atat_root/tools/install.sh"
  # Not the venv's own activate script: it only works in the folder where the venv was made.
  unset PYTHONHOME
  export VIRTUAL_ENV=$atat_venv
  export PATH=$atat_venv/bin:$PATH
  export PYTHONPATH=$atat_root${PYTHONPATH:+:$PYTHONPATH}
  # Otherwise the output of programs and scripts appears in the wrong order.
  export PYTHONUNBUFFERED=1
  # A progress bar in a log file is a line each time; every half minute will do.
  if [ ! -t 2 ]; then export TQDM_MININTERVAL=${TQDM_MININTERVAL:-30}; fi
}
