#!/usr/bin/env bash
# SNIPS smart lights: the rows of AT-AT, Table 4, by cross-validation on close and far field. An
# end-to-end model from scratch; the same with a pretrained audio encoder; a pretrained model
# (--init) finetuned.
#
#   egs/snips/run.sh --mini                     every stage on a made-up miniature; learns nothing
#   egs/snips/run.sh --corpus ~/snips_slu_data_v1.0 \
#     --init egs/pretrain/exp/two_tasks/model   the table: 3 models x 5 folds x 2 fields
#   ... --field far --folds 10                  the far field only, in 10 folds
#
# Without --init only the model from scratch is trained.
# Stages: 0 data dirs, 2 validate, 4 LFB and folds, 5 tokenizers and confs of the folds, 6 train from
# scratch, 7 finetune, 8 decode, 9 score. Interrupted, the same command continues where it stopped.

. "$(dirname "$0")/../../utils/recipe.sh"
path_option corpus "" "folder that holds smart-lights-en-close-field and smart-lights-en-far-field"
flag mini "run on a made-up miniature instead: every stage in minutes, nothing is learned"
path_option init "" "packed model to finetune: the folder 'model' of a training"
option field both "close, far or both"
number_option folds 5 "parts of the cross-validation"
number_option seed 1 "of every training"
option max_lost 0.01 "share of recordings that may be unusable before it is an error"
path_option exp "" "folder of models and results; exp unless given"
parse_options "$@"

case $field in
  close | far) fields=("$field") ;;
  both) fields=(close far) ;;
  *) refuse "--field is close, far or both, found '$field'" ;;
esac
[ -z "$init" ] || [ -d "$init/tokenizer" ] || refuse "--init $init: expected a packed model, with a \
folder tokenizer; the folder 'model' of a finished training, e.g. egs/pretrain/exp/two_tasks/model"

data=data exp=${exp:-exp} conf=conf table=RESULTS.md note="" standin="" base=$init/tokenizer
if [ -n "$mini" ]; then
  [ -z "$corpus" ] || refuse "--mini makes its own corpus; leave out --corpus, or --mini"
  data=data_mini corpus=data_mini/corpus
  is_given exp || exp=exp_mini
  is_given folds || folds=2
  note=$mini_note
  # Of so few recordings the one that was planted as missing is more than 1 %.
  is_given max_lost || max_lost=0.05
  conf=$exp/conf
fi
[ -n "$corpus" ] || refuse "--corpus is missing: the folder that holds smart-lights-en-close-field and
smart-lights-en-far-field. Its makers give it to researchers who ask:
  https://github.com/sonos/spoken-language-understanding-research-datasets
To see the recipe run without it: $0 --mini"
((folds >= 2)) || refuse "--folds wants at least 2"
if [ -n "$mini" ] && [ -z "$init" ]; then
  # A real run starts from a model that was pretrained elsewhere. The miniature trains a stand-in on
  # its own training set, with other tags, so that those of the corpus are new to it.
  standin=yes init=$exp/standin/model base=$data/tokenizer_standin
fi
[ -n "$init" ] || echo "no --init: only E2E is trained, the other rows will say \"not run\""
# What 5 folds have trained is nothing to 10 folds.
parts=$data/folds$folds run=$exp/folds$folds
if [ -n "$mini" ] || ((folds != 5)) || is_given exp; then table=$run/RESULTS.md; fi
[ -z "$mini" ] || table=$exp/RESULTS.md

activate
keep_marks "$run"

# each_fold COMMAND MODEL ...: calls it with model, data folder, conf and training folder of a fold.
each_fold() {
  local command=$1 model name fold
  for name in "${fields[@]}"; do
    for model in "${@:2}"; do
      for ((fold = 0; fold < folds; fold++)); do
        "$command" "$model" "$parts/$name/$fold" "$run/conf/$name/$fold/$model.yaml" \
          "$run/$name/$model/fold$fold"
      done
    done
  done
}

write_conf() {
  atat conf_copy "$conf/$1.yaml" --out "${3%/*}" --fill fold "$2"
}

train() {
  local start=$init
  [ "$1" != e2e ] || start=""
  queue atat train --config "$3" --out "$4" --seed "$seed" ${start:+--init "$start"}
}

decode() {
  # A model that learned nothing writes and writes.
  atat decode --model "$4/model" --data "$2/test" --out "$4/decode_test" \
    --nj "$nj" ${mini:+--max_length 40}
}

score() {
  atat score --data "$2/test" --decoded "$4/decode_test"
}

# CMVN and tokenizers of a fold, of its training part alone.
prepare_fold() {
  atat cmvn --data "$2/train" --out "$2/cmvn.ark"
  atat tokenizer train --data "$2/train" --vocab_size 5000 --out "$2/tokenizer"
  [ -z "$init" ] || atat tokenizer extend --tokenizer "$base" --data "$2/train" \
    --out "$2/tokenizer_atat"
}

# Data, tokenizer and confs of the stand-in: a training part, its tags renamed.
prepare_standin() {
  cp -R "$parts/${fields[0]}/0/train/." "$data/standin"
  sed -i 's/\[\(IN\|SL\):/&STANDIN_/g' "$data/standin/semantics"
  atat tokenizer train --data "$data/standin" --vocab_size 500 \
    --out "$data/tokenizer_standin"
  atat cmvn --data "$data/standin" --out "$data/standin/cmvn.ark"
}

models=(e2e ${init:+e2e_encoder atat})

if stage 0 "Data dirs, a tree for each sentence"; then
  [ -z "$mini" ] || python local/make_mini.py --out "$corpus"
  python local/prepare_snips.py --corpus "$corpus" --out "$data" --fields "${fields[@]}" \
    --max_lost "$max_lost"
fi

if stage 2 "Validate the data dirs"; then
  for name in "${fields[@]}"; do atat datadir validate "$data/$name" --nj "$nj"; done
fi

if stage 4 "LFB; folds"; then
  atat features --data "${fields[@]/#/$data/}" --arks "$data/lfb" --nj "$nj" \
    --max_lost "$max_lost"
  for name in "${fields[@]}"; do
    python local/make_folds.py --data "$data/$name" --folds "$folds" --out "$parts/$name"
  done
fi

if stage 5 "Of each fold: mean and variance, tokenizers, confs"; then
  [ -z "$mini" ] || atat miniature_conf conf/{e2e,e2e_encoder,atat,standin}.yaml \
    --out "$conf" --data "$data"
  [ -z "$standin" ] || prepare_standin
  each_fold prepare_fold any
  each_fold write_conf "${models[@]}"
fi

if stage 6 "Train from scratch"; then
  [ -z "$standin" ] || queue atat train --config "$conf/standin.yaml" --out "$exp/standin"
  each_fold train e2e
  run_queue
fi

if [ -n "$init" ] && stage 7 "Finetune: the audio encoder alone with a new decoder, the whole model"; then
  each_fold train e2e_encoder atat
  run_queue
fi

if stage 8 "Decode the test part of each fold"; then
  each_fold decode "${models[@]}"
fi

if stage 9 "Score and write the table"; then
  each_fold score "${models[@]}"
  fill conf/results.yaml "$run/results.yaml" exp "$run" folds "$folds"
  atat results --config "$run/results.yaml" --out "$table" --title_note "$note"
fi
