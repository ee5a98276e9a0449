#!/usr/bin/env bash
# Fluent Speech Commands: the rows of AT-AT, Table 3. An end-to-end model from scratch, and a
# pretrained model (--init) finetuned on the corpus, on its test set.
#
#   egs/fluentspeech/run.sh --mini              every stage on a made-up miniature; learns nothing
#   egs/fluentspeech/run.sh --corpus ~/fluent_speech_commands_dataset \
#     --init egs/pretrain/exp/two_tasks/model   the table
#   ... --subsets_10 10 --subsets_1 20          also with 10 % and 1 % of the training set
#   ... --split unseen                          another public split (see README.md)
#
# Without --init only the models from scratch are trained.
# Stages: 0 data dirs, 2 validate, 4 LFB and subsets, 5 tokenizers, 6 train from scratch,
# 7 finetune, 8 decode, 9 score. Interrupted, the same command continues where it stopped.

. "$(dirname "$0")/../../utils/recipe.sh"
path_option corpus "" "folder fluent_speech_commands_dataset, as it is unpacked"
flag mini "run on a made-up miniature instead: every stage in minutes, nothing is learned"
path_option init "" "packed model to finetune: the folder 'model' of a training"
option split original "original, unseen or challenge: which csv files are train and test"
option seeds 1 "one training of every model for each of these, e.g. \"1 2 3\""
number_option subsets_10 0 "random subsets of 10 % to train on as well; published: 10"
number_option subsets_1 0 "random subsets of 1 %; published: 20"
option max_lost 0.01 "share of recordings that may be unusable before it is an error"
path_option exp "" "folder of models and results; exp unless given"
parse_options "$@"

case $split in
  original) tests=(test) results=conf/results.yaml ;;
  unseen | challenge) tests=(test_speaker test_utterance) results=conf/results_resplit.yaml ;;
  *) refuse "--split is original, unseen or challenge, found '$split'" ;;
esac
[[ $seeds =~ ^[0-9]+(\ [0-9]+)*$ ]] || refuse "--seeds wants whole numbers, found '$seeds'"
[ "$split" = original ] || ((subsets_10 + subsets_1 == 0)) || refuse "subsets are of --split original"
[ -z "$init" ] || [ -d "$init/tokenizer" ] || refuse "--init $init: expected a packed model, with a \
folder tokenizer; the folder 'model' of a finished training, e.g. egs/pretrain/exp/two_tasks/model"

data=data exp=${exp:-exp} table=RESULTS.md note="" standin=""
if [ -n "$mini" ]; then
  [ -z "$corpus" ] || refuse "--mini makes its own corpus; leave out --corpus, or --mini"
  data=data_mini corpus=data_mini/corpus
  is_given exp || exp=exp_mini
  is_given subsets_10 || [ "$split" != original ] || subsets_10=2
  note=$mini_note
  # Of so few recordings the two planted faults are more than 1 %.
  is_given max_lost || max_lost=0.05
fi
[ -n "$corpus" ] || refuse "--corpus is missing: the folder fluent_speech_commands_dataset, from
  https://fluent.ai/fluent-speech-commands-a-dataset-for-spoken-language-understanding-research/
To see the recipe run without it: $0 --mini"
if [ "$split" != original ]; then data=$data/$split exp=$exp/$split; fi
if [ -n "$mini" ] || [ "$split" != original ] || is_given exp; then table=$exp/RESULTS.md; fi
# The confs name data/...; those for other folders are written to $exp/conf.
conf=conf
[ "$data" = data ] || conf=$exp/conf
base=$init/tokenizer
if [ -n "$mini" ] && [ -z "$init" ]; then
  # A real run starts from a model that was pretrained elsewhere. The miniature trains a stand-in on
  # its own training set, with other tags, so that those of the corpus are new to it.
  standin=yes init=$exp/standin/model base=$data/tokenizer_standin
fi
[ -n "$init" ] || echo "no --init: AT-AT is not trained, its rows will say \"not run\""

activate
keep_marks "$exp"

# each_training COMMAND MODEL ...: calls it with model, conf, folder and seed of every training.
each_training() {
  local command=$1 model seed percent number
  for model in "${@:2}"; do
    for seed in $seeds; do
      "$command" "$model" "$conf/$model.yaml" "$exp/$model/seed$seed" "$seed"
    done
    for percent in 10 1; do
      number=subsets_$percent
      for ((seed = 1; seed <= ${!number}; seed++)); do
        "$command" "$model" "$exp/conf/$percent/$seed/${model}_subset.yaml" \
          "$exp/${model}_$percent/subset$seed" "$seed"
      done
    done
  done
}

train() {
  local start=""
  [ "$1" != atat ] || start=$init
  queue atat train --config "$2" --out "$3" --seed "$4" ${start:+--init "$start"}
}

decode() {
  local name
  for name in "${tests[@]}"; do
    # A model that learned nothing writes and writes.
    atat decode --model "$3/model" --data "$data/$name" --out "$3/decode_$name" \
      --nj "$nj" ${mini:+--max_length 40}
  done
}

score() {
  local name
  for name in "${tests[@]}"; do
    atat score --data "$data/$name" --decoded "$3/decode_$name"
  done
}

# Confs for another data folder, in miniature with --mini.
write_confs() {
  local files=(conf/{e2e,atat}{,_subset}.yaml conf/standin.yaml)
  [ "$conf" != conf ] || return 0
  if [ -n "$mini" ]; then
    atat miniature_conf "${files[@]}" --out "$conf" --data "$data"
    return
  fi
  atat conf_copy "${files[@]}" --out "$conf" --move data "$data"
}

# Data and tokenizer of the stand-in: a part of the training set, its tags renamed.
prepare_standin() {
  atat datadir subset "$data/train" "$data/standin" --utterances 40
  sed -i 's/\[\(IN\|SL\):/&STANDIN_/g' "$data/standin/semantics"
  atat tokenizer train --data "$data/standin" --vocab_size 500 \
    --out "$data/tokenizer_standin"
}

# prepare_subsets PERCENT NUMBER: subsets of the training set with their mean and variance and confs.
prepare_subsets() {
  local folder=$data/subsets/$1 seed
  (($2 > 0)) || return 0
  python local/draw_subsets.py --data "$data/train" --percent "$1" --number "$2" --out "$folder"
  for ((seed = 1; seed <= $2; seed++)); do
    atat cmvn --data "$folder/$seed/train" --out "$folder/$seed/cmvn.ark"
    atat conf_copy "$conf"/{e2e,atat}_subset.yaml --out "$exp/conf/$1/$seed" \
      --fill subset "$folder/$seed"
  done
}

if stage 0 "Data dirs, a tree for each command"; then
  [ -z "$mini" ] || python local/make_mini.py --out "$corpus"
  python local/prepare_fluentspeech.py --corpus "$corpus" --split "$split" --out "$data" \
    --max_lost "$max_lost"
fi

if stage 2 "Validate the data dirs"; then
  for name in train valid "${tests[@]}"; do
    atat datadir validate "$data/$name" --nj "$nj"
  done
fi

if stage 4 "LFB and their mean and variance; subsets"; then
  atat features --data "$data"/{train,valid} "${tests[@]/#/$data/}" --arks "$data/lfb" \
    --nj "$nj" --max_lost "$max_lost"
  atat cmvn --data "$data/train" --out "$data/cmvn.ark"
  write_confs
  prepare_subsets 10 "$subsets_10"
  prepare_subsets 1 "$subsets_1"
fi

if stage 5 "Tokenizers: of this corpus for E2E; that of --init with the tags of this corpus"; then
  atat tokenizer train --data "$data/train" --vocab_size 5000 --out "$data/tokenizer"
  [ -z "$standin" ] || prepare_standin
  [ -z "$init" ] || atat tokenizer extend --tokenizer "$base" --data "$data/train" \
    --out "$data/tokenizer_atat"
fi

if stage 6 "Train from scratch"; then
  [ -z "$standin" ] || queue atat train --config "$conf/standin.yaml" --out "$exp/standin"
  each_training train e2e
  run_queue
fi

if [ -n "$init" ] && stage 7 "Finetune the pretrained model"; then
  each_training train atat
  run_queue
fi

if stage 8 "Decode"; then
  each_training decode e2e ${init:+atat}
fi

if stage 9 "Score and write the table"; then
  each_training score e2e ${init:+atat}
  fill "$results" "$exp/results.yaml" exp "$exp" split "$split"
  atat results --config "$exp/results.yaml" --out "$table" --title_note "$note"
fi
