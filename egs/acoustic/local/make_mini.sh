#!/usr/bin/env bash
# The corpora that the recipe reads, in miniature: make_mini.sh FOLDER
#
# FOLDER/{speechocean762,LibriSpeech} as the recipes barista and librispeech make theirs, and
# FOLDER/aligned, recordings beside TextGrids. Called by run.sh, in the environment it has activated.

set -euo pipefail
out=$1
egs=$(cd "$(dirname "$0")/../.." && pwd)

python "$egs/barista/local/make_mini.py" --out "$out"
python "$egs/librispeech/local/make_mini.py" --out "$out"
mkdir -p "$out/aligned"
cp "$out"/LibriSpeech/dev-clean/*/*/*.flac "$out"/LibriSpeech-TextGrids/dev-clean/*/*/*.TextGrid \
  "$out/aligned"
