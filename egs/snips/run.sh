#!/usr/bin/env bash
# SNIPS smart lights: the rows of AT-AT, Table 4, by cross-validation on close and far field. An
# end-to-end model from scratch; the same with a pretrained audio encoder; a pretrained model
# (--init) finetuned.
#
#   egs/snips/run.sh --mini                     every stage on a made-up miniature; learns nothing
#   egs/snips/run.sh --corpus ~/snips_slu_data_v1.0 \
#     --init egs/pretrain/exp/two_tasks/seed1/model   the table: 3 models x 5 folds x 2 fields
#   ... --field far --folds 10                  the far field only, in 10 folds
#   ... --encoder moonshine-tiny                over a pretrained speech encoder
#   ... --system stbert --folds 10 --pairs PAIRS --acoustic_model MODEL   the rows of ST-BERT instead
#   ... --system lugosch                        those of Lugosch et al. 2019
#
# Without --init only the model from scratch is trained. Other systems have another --init (README.md).

. "$(dirname "$0")/../../utils/recipe.sh"
. "$atat_root/utils/models.sh"
. "$atat_root/utils/stbert.sh"
. local/systems.sh
path_option corpus "" "folder that holds smart-lights-en-close-field and smart-lights-en-far-field"
model_option init "packed model to finetune: the folder 'model' of a training"
choice_option field both "close far both" "where the microphone is"
number_option folds 5 "parts of the cross-validation"
choice_option system joint "joint lugosch stbert" "whose rows are made (README.md)"
stbert_options
encoder_option
option max_lost 0.01 "share of recordings that may be unusable before it is an error"
# Of so few recordings the one planted as missing is more than 1 %; what learns nothing writes on.
mini_flag corpus data_mini/corpus folds 2 max_lost 0.05 pairs data_mini/heard \
  decode_options "--max_length=40"
parse_options "$@"

need corpus "the folder that holds smart-lights-en-close-field and
smart-lights-en-far-field. Its makers give it to researchers who ask:
  https://github.com/sonos/spoken-language-understanding-research-datasets"
((folds >= 2)) || refuse "--folds wants at least 2"
fields=("${field/both/close}")
if [ "$field" = both ]; then fields+=(far); fi
use_encoder
# What 5 folds have trained is nothing to 10 folds.
exp=$exp/folds$folds
confs=$exp/conf results=$(table_file RESULTS.md)
if ((folds != 5)); then results=$exp/RESULTS.md; fi
choose_system
activate
check_encoder "$init"
keep_marks "$exp"

# The folds, FIELD/NUMBER; what is decoded: model, test set, task.
parts=() decodings=()
for name in "${fields[@]}"; do
  for ((fold = 0; fold < folds; fold++)); do
    parts+=("$name/$fold")
    for model in "${models[@]}"; do
      decodings+=("$name/$fold/$model folds$folds/$name/$fold/test $task")
    done
  done
done

if stage 0 "Data dirs, a tree for each sentence"; then
  [ -z "$mini" ] || python local/make_mini.py --out "$corpus"
  python local/prepare_snips.py --corpus "$corpus" --out "$data" --fields "${fields[@]}" \
    --max_lost "$max_lost"
  [ -z "$mini" ] || ln -sfn "$(realpath "$data/${fields[0]}")" "$data/heard"
fi

if stage 2 "Validate the data dirs"; then
  for name in "${fields[@]}"; do atat datadir validate "$data/$name" --nj "$nj"; done
fi

if [ -n "$acoustic" ] && stage 3 "When the words and phones of a miniature are spoken"; then
  atat align --backend pocketsphinx --data "$data/heard" --phones --nj "$nj" --max_lost "$max_lost"
fi

if stage 4 "Features; folds"; then
  [ "$system" != joint ] ||
    atat features --data "${fields[@]/#/$data/}" --arks "$data/$arks" --nj "$nj" \
      --max_lost "$max_lost" ${features_options[@]+"${features_options[@]}"}
  for name in "${fields[@]}"; do
    python local/make_folds.py --data "$data/$name" --folds "$folds" \
      --out "$data/folds$folds/$name"
  done
fi

if stage 5 "Of each fold: mean and variance, tokenizers, confs"; then
  prepare_systems
  for part in "${parts[@]}"; do
    fold=$data/folds$folds/$part
    confs=$exp/conf/$part copy_confs "{fold}" "$fold" "${fold_confs[@]}"
    [ "$system" = joint ] || continue
    atat cmvn --data "$fold/train" --out "$fold/cmvn.ark"
    atat tokenizer train --data "$fold/train" --vocab_size 5000 --out "$fold/tokenizer"
    [ -z "$start" ] || atat tokenizer extend --tokenizer "$base" --data "$fold/train" \
      --out "$fold/tokenizer_atat"
  done
fi

if stage 6 "Train from scratch, pretrain"; then
  pretrain
  run_queue
fi

if [ -n "$start" ] && stage 7 "Finetune on each fold: all of it; the audio encoder with a new decoder"; then
  finetune
  run_queue
fi

if stage 8 "Decode the test part of each fold"; then
  each_of decode "${decodings[@]}"
fi

if stage 9 "Score and write the table"; then
  each_of score "${decodings[@]}"
  table conf/results.yaml "$results" folds "$folds"
  report
fi
