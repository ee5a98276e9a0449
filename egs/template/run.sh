#!/usr/bin/env bash
# Your own domain: from a folder of recordings and a csv file, from a grammar of what people may say,
# or from both, to a model and a table.
#
#   egs/template/run.sh --corpus ~/commands   ~/commands/utterances.csv says what is said there
#   egs/template/run.sh --grammar coffee.yaml --encoder moonshine-tiny
#                                             no recording at all: its sentences are read and spoken
#   egs/template/run.sh --mini                every stage on a made-up miniature; learns nothing
#
# README.md: what the csv may hold, how much data it takes and what to expect; grammar.md: how to
# write a grammar. Interrupted, the same command continues.

. "$(dirname "$0")/../../utils/recipe.sh"
. "$atat_root/utils/models.sh"
path_option corpus "" "folder that the paths of the csv start from"
path_option data "data" "folder of data dirs"
path_option csv "" "the csv file; utterances.csv in --corpus unless given"
path_option grammar "" "grammar of the domain; its sentences teach as text and as synthetic speech"
number_option sentences 5000 "sentences of the grammar"
number_option spoken 2000 "utterances of synthetic speech of these sentences"
option conf cpu "sizes of model and training, by name: conf/cpu.yaml, conf/gpu.yaml, or one of yours in conf/"
number_option steps 0 "steps of training; 0 = as the conf has them"
encoder_option
model_option init "trained model to start from: the folder 'model' of a training"
option max_lost 0.01 "share of the rows that may be unusable"
mini_flag grammar "$PWD/conf/grammar.yaml" sentences 60 spoken 10 steps 6 \
  decode_options "--max_length=40"
parse_options "$@"
[ -n "$corpus$csv$grammar" ] || need corpus "the folder of your recordings and utterances.csv (README.md \
says what it holds), or --grammar, a file that says what people may say (grammar.md), or both"
[ -z "$mini" ] || corpus=$data/corpus
use_encoder
[ -z "$corpus" ] || csv=${csv:-$corpus/utterances.csv}
corpus=${corpus:-$(dirname "$csv")} confs=$exp/conf
[ -n "$mini" ] || [ -z "$csv" ] || [ -f "$csv" ] ||
  refuse "$csv: no such file; README.md says what it holds"
[ -f "conf/$conf.yaml" ] || refuse "--conf $conf: no $PWD/conf/$conf.yaml; expected cpu, gpu, or the \
name of a conf of yours in that folder, without .yaml"
[ -z "$grammar" ] || [ -f "$grammar" ] || refuse "$grammar: no such file; grammar.md says what it holds"
activate
check_encoder "$init"
hold "$exp"
[ -z "$mini" ] || python local/make_example.py --recordings 60 --out "$corpus"
keep_marks "$exp" ${csv:+"$csv"} ${grammar:+"$grammar"}
. local/sets.sh # train_sets, spoken_sets, all, on, validate, tests, remove_others

if stage 0 "Data dirs of what the csv has: train, dev and test of other speakers; sentences"; then
  remove_others
  [ -z "$csv" ] ||
    python local/prepare.py --corpus "$corpus" --csv "$csv" --out "$data" --max_lost "$max_lost"
  if [ -n "$grammar" ]; then
    atat grammar expand "$grammar" --number "$sentences" --out "$data/grammar"
    atat cast --data "$data/grammar" --voices conf/voices.yaml --out "$data" --spoken "$spoken"
  fi
fi
if stage 1 "Synthetic speech of the grammar's sentences"; then
  on spoken_sets spk2voice atat synthesis --wavs "$data/wavs" --nj "$nj" --data
fi
if stage 2 "Validate the data dirs"; then
  on all utt2spk validate
fi
if stage 4 "Features of all recordings; mean and variance of those of train"; then
  on all wav.scp atat features --arks "$data/$arks" --nj "$nj" --max_lost "$max_lost" \
    ${features_options[@]+"${features_options[@]}"} --data
  on train_sets wav.scp atat cmvn --out "$data/cmvn.ark" --data
fi
if stage 5 "Tokenizer: word pieces (those of --init), and the tags of the trees"; then
  vocabulary=(train --vocab_size 500)
  [ -z "$init" ] || vocabulary=(extend --tokenizer "$init/tokenizer")
  on train_sets utt2spk atat tokenizer "${vocabulary[@]}" --out "$data/tokenizer" --data
fi
if stage 6 "Train on all tasks that the columns of the csv allow"; then
  atat conf_copy "conf/$conf.yaml" --fit --move data "$data" --out "$confs" \
    $( ((steps == 0)) || echo "--set steps=$steps") ${conf_options[@]+"${conf_options[@]}"}
  train joint "$init" "$conf"
  run_queue
fi
if stage 8 "Decode the test sets, as every task they have the files of"; then
  tests decode joint
fi
if stage 9 "Score and write the table"; then
  tests score joint
  table conf/results.yaml "$exp/RESULTS.md"
  report
fi
