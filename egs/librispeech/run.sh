#!/usr/bin/env bash
# LibriSpeech: speech recognition (asr), and transcripts of speech with masked words (mlm), at the
# sizes of the paper; WER on dev and test.
#
#   egs/librispeech/run.sh --corpus ~/LibriSpeech                 every train-* folder (960 h)
#   egs/librispeech/run.sh --corpus ~/LibriSpeech --train train-clean-100
#   egs/librispeech/run.sh --corpus ~/LibriSpeech --all           every folder, as the paper: no fair WER
#   egs/librispeech/run.sh --mini                                 a made-up corpus, two minutes
#
# Get the corpus from https://www.openslr.org/12; any of its folders will do. Each choice of folders
# to train on has data, models and table of its own; LFB are shared.
#
# Stages: 0 corpus, 2 validate, 3 alignments, 4 LFB and the training set, 5 tokenizer, 6 train,
# 8 decode, 9 score. Interrupted, the same command continues where it stopped.

. "$(dirname "$0")/../../utils/recipe.sh"
path_option corpus "" "the folder LibriSpeech, which holds train-clean-100, ..."
option train "" "folders to train on, e.g. \"train-clean-100 train-clean-360\"; every train-* unless given"
flag all "train on every folder, dev and test included (the paper's \"all splits\")"
path_option alignments "" "word times made by others: TextGrids, *.alignment.txt or Gentle's JSON"
flag partial "parts of folders are meant: do not compare them with SPEAKERS.TXT"
option models "asr asr_mlm" "which confs to train"
number_option vocab_size 5000 "word pieces at most"
number_option seed 1 "of every training"
option max_lost 0.01 "share of a folder's utterances that may be unusable or unaligned"
flag mini "a made-up corpus in the same layout and a few steps of training"
parse_options "$@"

[ -z "$all" ] || [ -z "$train" ] || refuse "--all and --train exclude each other"
[ -n "$mini" ] || [ -n "$corpus" ] || refuse "--corpus is missing: the folder LibriSpeech. Get it from
  https://www.openslr.org/12 (any folder of it, e.g. train-clean-100.tar.gz and dev-clean.tar.gz),
or see every stage on a made-up corpus: $0 --mini"

data=data
name=${all:+all}
name=${name:-${train:-train}}
name=${name// /+}
results=$(table_file RESULTS.md) note=""
[ "$name" = train ] || results=$(table_file "RESULTS.$name.md")
[ -z "$all" ] || note="Trained on every folder, dev and test included (--all, as the paper): no fair WER"
if [ -n "$mini" ]; then
  data=data_mini
  is_given exp || exp=exp_mini
  results=$exp/RESULTS.md
  note=$mini_note
  corpus=$data/corpus/LibriSpeech
  alignments=${alignments:-$data/corpus/LibriSpeech-Alignments}
  # With so little to do, a process more costs more than it gives.
  is_given nj || nj=1
  # Two of few dozen utterances have no alignment on purpose.
  is_given max_lost || max_lost=0.2
fi
# The confs say data/train; another training set takes its place.
set=$data/$name
conf=$exp/$name/conf

activate
keep_marks "$exp/$name"

if stage 0 "Corpus: a data dir for each folder"; then
  if [ -n "$mini" ]; then python local/make_mini.py --out "$data/corpus"; fi
  python local/prepare_librispeech.py --corpus "$corpus" --out "$data" --lists "$set" \
    --train "$train" ${all:+--all} ${partial:+--partial} --max_lost "$max_lost"
fi

[ -f "$set/train_dirs" ] || refuse "$set is not there yet; begin with stage 0"
mapfile -t trained <"$set/train_dirs"
mapfile -t tested <"$set/eval_dirs"
mapfile -t folders < <(sort -u "$set"/{train,eval}_dirs)

if stage 2 "Validate the data dirs; what does not decode is dropped and listed"; then
  for folder in "${folders[@]}"; do
    atat datadir repair "$folder" --max_lost "$max_lost" --nj "$nj"
  done
fi

if stage 3 "Alignments: when each word of training is spoken"; then
  python local/align_folders.py --corpus "$corpus" --data "${trained[@]}" --nj "$nj" \
    ${alignments:+--alignments "$alignments"} --max_lost "$max_lost"
fi

if stage 4 "LFB, the training set, mean and variance"; then
  atat features --data "${folders[@]}" --arks "$data/lfb" --nj "$nj" --compress \
    --max_lost "$max_lost"
  python local/make_sets.py --train "${trained[@]}" --eval ${tested[@]+"${tested[@]}"} \
    --out "$set"
  atat cmvn --data "$set/asr" --out "$set/cmvn.ark" --max_utterances 20000
fi

if stage 5 "Tokenizer"; then
  atat tokenizer train --data "$set/asr" --vocab_size "$vocab_size" \
    --out "$set/tokenizer"
fi

if stage 6 "Train: $models"; then
  for model in $models; do
    if [ -n "$mini" ]; then
      atat miniature_conf "conf/$model.yaml" --out "$conf" --data "$data"
    else
      atat conf_copy "conf/$model.yaml" --out "$conf" --move data/train "$set"
    fi
    queue atat train --config "$conf/$model.yaml" --out "$exp/$name/$model" --seed "$seed"
  done
  run_queue
fi

if stage 8 "Decode dev and test"; then
  for model in $models; do
    for folder in ${tested[@]+"${tested[@]}"}; do
      atat decode --model "$exp/$name/$model/model" --data "$folder" --task asr \
        --nj "$nj" --out "$exp/$name/$model/decode_${folder##*/}"
    done
  done
fi

if stage 9 "Score and write the table"; then
  for model in $models; do
    for folder in ${tested[@]+"${tested[@]}"}; do
      atat score --data "$folder" --decoded "$exp/$name/$model/decode_${folder##*/}"
    done
  done
  fill conf/results.yaml "$exp/$name/results.yaml" exp "$exp/$name" data "$data"
  atat results --config "$exp/$name/results.yaml" --out "$results" --title_note "$note"
fi
