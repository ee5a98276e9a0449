#!/usr/bin/env bash
# Your own corpus: from a folder of recordings and a csv file to a model and a table.
#
#   egs/template/run.sh --corpus ~/commands   ~/commands/utterances.csv says what is said there
#   egs/template/run.sh --mini                every stage on a made-up miniature; learns nothing
#
# README.md: what the csv may hold, how much data it takes and what to expect. Interrupted, the same
# command continues.

. "$(dirname "$0")/../../utils/recipe.sh"
. "$atat_root/utils/models.sh"
path_option corpus "" "folder that the paths of the csv start from"
path_option csv "" "the csv file; utterances.csv in --corpus unless given"
option conf cpu "sizes of model and training: conf/cpu.yaml, conf/gpu.yaml, or a conf of yours"
number_option steps 0 "steps of training; 0 = as the conf has them"
encoder_option
model_option init "trained model to start from: the folder 'model' of a training"
option max_lost 0.01 "share of the rows that may be unusable"
mini_flag corpus data_mini/corpus steps 6 decode_options "--max_length=40"
parse_options "$@"
need corpus "the folder of your recordings and utterances.csv; README.md says what it holds"
use_encoder
csv=${csv:-$corpus/utterances.csv} confs=$exp/conf
[ -n "$mini" ] || [ -f "$csv" ] || refuse "$csv: no such file; README.md says what it holds"
activate
check_encoder "$init"
[ -z "$mini" ] || python local/make_example.py --recordings 60 --out "$corpus"
keep_marks "$exp" "$csv"
# with FILE SET ...: the data dirs among those sets that have the file.
with() { for one in "${@:2}"; do [ ! -e "$data/$one/$1" ] || echo "$data/$one"; done; }
train_sets=(train{,_asr,_nlu}) all=({train,dev,test}{,_asr,_nlu})

if stage 0 "Data dirs of what the csv has: train, dev and test of other speakers"; then
  python local/prepare.py --corpus "$corpus" --csv "$csv" --out "$data" --max_lost "$max_lost"
fi
if stage 2 "Validate the data dirs"; then
  for one in $(with utt2spk "${all[@]}"); do atat datadir validate "$one" --nj "$nj"; done
fi
if stage 4 "Features of all recordings; mean and variance of those of train"; then
  for one in $(with wav.scp "${all[@]}"); do
    atat features --data "$one" --arks "$data/$arks" --nj "$nj" --max_lost "$max_lost" \
      ${features_options[@]+"${features_options[@]}"}
  done
  with wav.scp "${train_sets[@]}" | xargs -r atat cmvn --out "$data/cmvn.ark" --data
fi
if stage 5 "Tokenizer: word pieces (those of --init), and the tags of the trees"; then
  vocabulary=(train --vocab_size 500)
  [ -z "$init" ] || vocabulary=(extend --tokenizer "$init/tokenizer")
  atat tokenizer "${vocabulary[@]}" --out "$data/tokenizer" --data $(with utt2spk "${train_sets[@]}")
fi
if stage 6 "Train on all tasks that the columns of the csv allow"; then
  atat conf_copy "conf/$conf.yaml" --fit --move data "$data" --out "$confs" \
    $( ((steps == 0)) || echo "--set steps=$steps") ${conf_options[@]+"${conf_options[@]}"}
  train joint "$init" "$conf"
  run_queue
fi
if stage 8 "Decode the test sets, as every task they have the files of"; then
  while read -r -u 3 name task; do decode joint "$name" "$task"; done 3<"$data/decodings"
fi
if stage 9 "Score and write the table"; then
  while read -r -u 3 name task; do score joint "$name" "$task"; done 3<"$data/decodings"
  table conf/results.yaml "$exp/RESULTS.md"
  report
fi
