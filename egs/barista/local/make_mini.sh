#!/usr/bin/env bash
# Every corpus that the recipe reads, in miniature: make_mini.sh FOLDER
#
# FOLDER/{picovoice,speechocean762,snips_nlu} by make_mini.py; FOLDER/LibriSpeech and FOLDER/top as
# egs/librispeech and egs/top make theirs. Called by run.sh, in the environment it has activated.

set -euo pipefail
out=$1
egs=$(cd "$(dirname "$0")/../.." && pwd)

python "$egs/barista/local/make_mini.py" --out "$out"
python "$egs/librispeech/local/make_mini.py" --out "$out"
python "$egs/top/local/make_mini.py" --out "$out"
