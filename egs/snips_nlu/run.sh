#!/usr/bin/env bash
# SNIPS NLU spoken by synthesisers: the last column of ST-BERT's Table 2, and whole trees with slots by
# AT-AT. The benchmark's 13,084 + 700 + 700 sentences are text; voices of an engine of its own speak the
# test.
#
#   egs/snips_nlu/run.sh --mini                 every stage on made-up sentences; learns nothing
#   egs/snips_nlu/run.sh --corpus ~/nlu-benchmark/2017-06-custom-intent-engines \
#     --init egs/pretrain/exp/two_tasks/seed1/model   AT-AT, and E2E from scratch
#   ... --system lugosch                        a classifier of the intent: Lugosch et al. 2019
#   ... --system stbert --pairs DIR             ST-BERT, pretrained on the data dir DIR
#   ... --limit "2000 200 700"                  fewer sentences of train, dev and test
#   ... --conf cpu                              small models, short trainings
#   ... --encoder moonshine-tiny                over a pretrained speech encoder
#
# Without --init only the models from scratch are trained. For --system lugosch, --init is a model of
# phones and words (task acoustic); without it one is pretrained on the spoken sentences. For --system
# stbert it is a pretrained ST-BERT (README.md).

. "$(dirname "$0")/../../utils/recipe.sh"
. "$atat_root/utils/models.sh"
. "$atat_root/utils/stbert.sh"
. local/systems.sh
path_option corpus "" "folder 2017-06-custom-intent-engines, which holds a folder for each intent"
path_option data "data" "folder of data dirs"
model_option init "packed model to finetune: the folder 'model' of a training"
choice_option system joint "joint lugosch stbert" "whose rows are made (README.md)"
stbert_options
choice_option conf paper "paper cpu" "sizes of models and trainings, conf/ or conf/cpu/"
numbers_option limit 0 "sentences of train, dev and test at most; 0: all"
encoder_option
option max_lost 0.01 "share of sentences that may be unusable before it is an error"
mini_flag corpus data_mini/corpus decode_options "--max_length=40"
parse_options "$@"

need corpus "the folder 2017-06-custom-intent-engines. Get it with:
  git clone https://github.com/sonos/nlu-benchmark"
use_conf
use_encoder
confs=$exp/conf
choose_system
sets=("$data"/{train,dev,test})
activate
check_encoder "$init"
keep_marks "$exp"

if stage 0 "Sentences, a tree and a voice for each"; then
  [ -z "$mini" ] || python local/make_mini.py --out "$corpus"
  python local/prepare_snips_nlu.py --corpus "$corpus" --out "$data" --limit $limit
fi

if stage 1 "Synthetic speech"; then
  atat synthesis --data "${sets[@]}" --wavs "$lfb_data/wavs" --nj "$nj" --max_lost "$max_lost"
fi

if stage 2 "Validate the data dirs; sentences of the test that training has"; then
  for set in "${sets[@]}"; do atat datadir validate "$set" --nj "$nj"; done
  atat datadir overlap --train "$data/train" --test "$data/test"
fi

if [ -n "$acoustic" ] && stage 3 "The sentences whose words and phones have times"; then
  atat datadir subset --aligned "$data"/train{,_timed}
fi

if stage 4 "Features and their mean and variance; intents alone, for classifiers; confs"; then
  if [ "$system" = joint ]; then
    atat features --data "${sets[@]}" --arks "$data/$arks" --nj "$nj" --max_lost "$max_lost" \
      ${features_options[@]+"${features_options[@]}"}
    atat cmvn --data "$data/train" --out "$data/cmvn.ark"
  else
    python local/intents.py --data "${sets[@]}"
  fi
  copy_confs data "$data" "${conf_files[@]}"
  [ "$system" != stbert ] || prepare_stbert "$data/train"
fi

if [ "$system" = joint ] && stage 5 "Tokenizers: of these sentences; that of --init with their tags"; then
  atat tokenizer train --data "$data/train" --vocab_size 5000 --out "$data/tokenizer"
  [ -z "$standin" ] || prepare_standin "$data/train" 30
  [ -z "$start" ] || atat tokenizer extend --tokenizer "$base" --data "$data/train" \
    --out "$data/tokenizer_atat"
fi

if stage 6 "Train from scratch"; then
  [ -z "$standin" ] || train "$standin"
  [ -z "$acoustic" ] || seeds=${seeds%% *} train "$acoustic"
  for model in "${scratch[@]}"; do train "$model"; done
  [ "$system" != stbert ] || pretrain_stbert
  run_queue
fi

if [ -n "$start" ] && stage 7 "Finetune the pretrained model"; then
  finetune
  run_queue
fi

if stage 8 "Decode"; then
  for model in "${models[@]}"; do decode "$model" "test$kind" "$task"; done
fi

if stage 9 "Score and write the table"; then
  for model in "${models[@]}"; do score "$model" "test$kind" "$task"; done
  name=RESULTS.$conf.md
  table conf/results.yaml "$(table_file "${name/.paper/}")"
  report
fi
