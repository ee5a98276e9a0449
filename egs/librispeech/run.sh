#!/usr/bin/env bash
# LibriSpeech: speech recognition (asr), and transcripts of speech with masked words (mlm), at the
# sizes of the paper; WER on dev and test. The acoustic model of Lugosch et al. 2019 (acoustic): phones
# and words of every frame.
#
#   egs/librispeech/run.sh --corpus ~/LibriSpeech           every train-* folder (960 h)
#   egs/librispeech/run.sh --corpus ~/LibriSpeech --train train-clean-100
#   egs/librispeech/run.sh --corpus ~/LibriSpeech --all     every folder, as the paper: no fair WER
#   egs/librispeech/run.sh --corpus ~/LibriSpeech --models acoustic --alignments ~/TextGrids
#   egs/librispeech/run.sh --mini                           a made-up corpus, two minutes
#   ... --encoder moonshine-tiny                            over a pretrained speech encoder
#   ... --speech DATA --conf cpu                            other people to train on; small models
#
# Get the corpus from https://www.openslr.org/12; any of its folders will do. Each choice of folders
# to train on has data, models and table of its own; LFB are shared.

. "$(dirname "$0")/../../utils/recipe.sh"
. "$atat_root/utils/models.sh"
path_option corpus "" "the folder LibriSpeech, which holds train-clean-100, ..."
option train "" "folders to train on, such as \"train-clean-100 dev-other\", which are then no test; every train-* unless given"
flag all "train on every folder, dev and test included (the paper's \"all splits\")"
paths_option speech "data dir of other transcribed speech to train on as well, or alone"
path_option alignments "" "word times made by others: TextGrids, *.alignment.txt or Gentle's JSON"
flag partial "parts of folders are meant: do not compare them with SPEAKERS.TXT"
encoder_option
words_option models "asr asr_mlm" "asr asr_mlm acoustic" "which confs to train"
choice_option conf paper "paper cpu" "sizes of asr and asr_mlm, conf/ or conf/cpu/"
words_option recognisers "" "pocketsphinx moonshine" "finished recognisers to compare with"
number_option vocab_size 5000 "word pieces at most"
option max_lost 0.01 "share of a folder's utterances that may be unusable or unaligned"
# Two of few dozen utterances have no alignment on purpose; processes cost more than they give.
mini_flag corpus data_mini/corpus/LibriSpeech max_lost 0.2 nj 1 models "asr asr_mlm acoustic" \
  alignments data_mini/corpus/LibriSpeech-TextGrids
parse_options "$@"

[ -z "$all" ] || [ -z "$train" ] || refuse "--all and --train exclude each other"
need corpus "the folder LibriSpeech. Get it from
  https://www.openslr.org/12 (any folder of it, e.g. train-clean-100.tar.gz and dev-clean.tar.gz)."
[ -z "$all" ] || note=${note:-Trained on every folder, tests included (--all, as the paper): no fair WER}
use_encoder
# Each choice of folders has a name, data, models and a table.
name=${all:+all}
name=${name:-${train:-train}}${speech:+ speech} name=${name// /+} conf_folder=conf table=RESULTS
set=$data/$name
[ "$conf" = paper ] || conf_folder=conf/cpu table+=.cpu exp=$exp/cpu note=${note:-Small models}
if [ "$name" != train ]; then table+=.$name; fi
exp=$exp/$name results=$(table_file "$table.md")
# Those that read features, and the one that reads recordings.
joint=" $models " acoustic=""
if [[ $joint == *" acoustic "* ]]; then acoustic=acoustic joint=${joint/ acoustic / }; fi
joint=${joint## }
[ -n "${joint// /}" ] || [ -z "$encoder" ] || refuse "--encoder: acoustic reads recordings, no states"
[ -n "$mini" ] || [ -d "${alignments:-/}" ] || refuse "--alignments $alignments: no such folder"
confs=$exp/conf
activate
check_encoder
keep_marks "$exp"

if stage 0 "Corpus: a data dir for each folder, one of all other speech"; then
  if [ -n "$mini" ]; then python local/make_mini.py --out "$(dirname "$corpus")"; fi
  others=()
  for folder in ${speech[@]+"${speech[@]}"}; do
    others+=("$data/speech$((${#others[@]} + 1))")
    atat datadir combine "${others[-1]}" "$folder"
    # It says that the times are ours, which they were in an earlier run.
    if [ -f "$folder/ctm" ]; then rm -f "${others[-1]}/ctm.json"; fi
  done
  python local/prepare_librispeech.py --corpus "$corpus" --out "$data" --lists "$set" \
    --train "$train" ${all:+--all} ${speech:+--speech "${others[@]}"} ${partial:+--partial} \
    --max_lost "$max_lost"
fi

[ -f "$set/train_dirs" ] || refuse "$set is not there yet; begin with stage 0"
mapfile -t trained <"$set/train_dirs"
mapfile -t tested <"$set/eval_dirs"
mapfile -t folders < <(sort -u "$set"/{train,eval}_dirs)
aligned=("${trained[@]}")
if [ -n "$acoustic" ]; then aligned=("${folders[@]}"); fi

if stage 2 "Validate the data dirs; what does not decode is dropped and listed"; then
  for folder in "${folders[@]}"; do
    atat datadir repair "$folder" --max_lost "$max_lost" --nj "$nj"
  done
fi

if stage 3 "Alignments: when each word of training is spoken; for acoustic also phones, and tests"; then
  python local/align_folders.py --corpus "$corpus" --data "${aligned[@]}" ${acoustic:+--phones} \
    ${alignments:+--alignments "$alignments"} ${encoder:+--known "$lfb_data"} --nj "$nj" \
    --max_lost "$max_lost"
fi

if stage 4 "Features, the training set, mean and variance"; then
  [ -z "$joint" ] || atat features --data "${folders[@]}" --arks "$data/$arks" --nj "$nj" \
    --compress --max_lost "$max_lost" ${features_options[@]+"${features_options[@]}"}
  python local/make_sets.py --train "${trained[@]}" --eval ${tested[@]+"${tested[@]}"} \
    --out "$set"
  [ -z "${tested[*]-}" ] ||
    atat datadir overlap --train "$set/asr" --test "${tested[@]}"
  [ -z "$joint" ] || atat cmvn --data "$set/asr" --out "$set/cmvn.ark" --max_utterances 20000
fi

if [ -n "$joint" ] && stage 5 "Tokenizer"; then
  atat tokenizer train --data "$set/asr" --vocab_size "$vocab_size" \
    --out "$set/tokenizer"
fi

if [ -n "$joint" ] && stage 6 "Train asr, and asr with mlm"; then
  for model in $joint; do
    copy_confs data/train "$set" "$conf_folder/$model.yaml"
    train "$model"
  done
  run_queue
fi

if [ -n "$acoustic" ] && stage 7 "Train the acoustic model on phones and words"; then
  copy_confs data/train "$set" conf/acoustic.yaml
  train acoustic
  run_queue
fi

if stage 8 "Decode dev and test, by other recognisers too; count the frames that are right"; then
  for folder in ${tested[@]+"${tested[@]}"}; do
    for model in $joint; do decode "$model" "${folder##*/}" asr; done
    [ -z "$acoustic" ] || frames acoustic "${folder##*/}"
    for engine in $recognisers; do
      atat transcribe --engine "$engine" --data "$folder" --out "$exp/$engine/decode_${folder##*/}" \
        --nj "$nj"
    done
  done
fi

if stage 9 "Score and write the tables"; then
  for folder in ${tested[@]+"${tested[@]}"}; do
    for model in $joint; do score "$model" "${folder##*/}" asr; done
    for engine in $recognisers; do
      atat score --data "$folder" --task asr --decoded "$exp/$engine/decode_${folder##*/}"
    done
  done
  table conf/results.yaml "$results"
  report
fi
