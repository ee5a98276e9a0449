# The Python environment, for shell scripts that source this file. Knows nothing of recipes.

# Through symbolic links to where the files are: there is one environment for all of them.
atat_root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
atat_venv=${ATAT_VENV:-$atat_root/tools/venv}
# Made absolute now, since scripts change their folder.
[[ $atat_venv == /* ]] || atat_venv=$PWD/$atat_venv

# Builds the environment when it is not there, then puts its python first on the PATH and atat on
# the module path.
activate() {
  export ATAT_VENV=$atat_venv
  "$atat_root/tools/install.sh"
  # Not the venv's own activate script: it believes in the folder where the venv was made.
  unset PYTHONHOME
  export VIRTUAL_ENV=$atat_venv
  export PATH=$atat_venv/bin:$PATH
  export PYTHONPATH=$atat_root${PYTHONPATH:+:$PYTHONPATH}
  # Otherwise what programs and scripts say comes out in another order than it happened.
  export PYTHONUNBUFFERED=1
  # A progress bar in a log file is a line each time; every half minute will do.
  if [ ! -t 2 ]; then export TQDM_MININTERVAL=${TQDM_MININTERVAL:-30}; fi
}
