#!/usr/bin/env bash
# The benchmark: atat beside ESPnet2, Hugging Face, CTranslate2 and Kaldi's libraries, in one run on
# this machine.
#
#   utils/bench.sh                       all tables, an hour at most, by fewer rounds if need be;
#                                        writes BENCHMARKS.md
#   utils/bench.sh --peers               installs the peers that the main set-up does not have
#   utils/bench.sh --rows search whole   only these
#
# Further options: utils/bench.sh --help

set -euo pipefail
. "$(dirname "$0")/environment.sh"
cd "$atat_root"
activate

if [ "${1:-}" = --peers ]; then
  # ESPnet2 and Hugging Face come with the main set-up, as audio and text encoders.
  exec python -m pip install kaldi-native-fbank==1.23.0 ctranslate2==4.8.5
fi
exec python utils/bench/run.py "$@"
