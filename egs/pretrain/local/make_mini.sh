#!/usr/bin/env bash
# The data dirs that other recipes would have made, in miniature: make_mini.sh FOLDER
#
# FOLDER/music: speech with meaning, from egs/synthetic_tts; FOLDER/read: read speech with word times,
# from egs/librispeech. Called by run.sh, in the environment it has activated.

set -euo pipefail
out=$1
egs=$(cd "$(dirname "$0")/../.." && pwd)

python "$egs/synthetic_tts/local/make_corpus.py" --size mini --out "$out/music"
atat synthesis --data "$out"/music/{train,dev}_music --wavs "$out/wavs"

corpus=$out/LibriSpeech
python "$egs/librispeech/local/make_mini.py" --out "$out"
python "$egs/librispeech/local/prepare_librispeech.py" --corpus "$corpus" --out "$out/read" \
  --lists "$out/read/train"
python "$egs/librispeech/local/align_folders.py" --corpus "$corpus" --max_lost 0.2 \
  --alignments "$out/LibriSpeech-Alignments" --data "$out"/read/train_{clean_100,other_500}
