#!/usr/bin/env bash
# Fluent Speech Commands: the rows of AT-AT, Table 3. An end-to-end model from scratch, and a
# pretrained model (--init) finetuned on the corpus, on its test set.
#
#   egs/fluentspeech/run.sh --mini              every stage on a made-up miniature; learns nothing
#   egs/fluentspeech/run.sh --corpus ~/fluent_speech_commands_dataset \
#     --init egs/pretrain/exp/two_tasks/seed1/model   the table
#   ... --subsets_10 10 --subsets_1 20          also with 10 % and 1 % of the training set
#   ... --split unseen                          another public split (see README.md)
#   ... --encoder moonshine-tiny                over a pretrained speech encoder
#   ... --system lugosch                        those of Lugosch et al. 2019, distill: of Cho et al. 2020
#   ... --system stbert --pairs DIR             those of ST-BERT, pretrained on the data dir DIR
#   ... --system cascade                        a recogniser, then our nlu
#   ... --speak                                 the csv files alone: synthetic voices say the sentences
#   ... --conf cpu                              small models, short trainings
#
# Without --init only the models from scratch are trained. Other systems have another --init, without
# which one is trained on the corpus itself (README.md).

. "$(dirname "$0")/../../utils/recipe.sh"
. "$atat_root/utils/models.sh"
. "$atat_root/utils/stbert.sh"
. local/systems.sh
path_option corpus "" "folder fluent_speech_commands_dataset, as it is unpacked"
model_option init "packed model to finetune: the folder 'model' of a training"
choice_option split original "original unseen challenge" "which csv files are train and test"
number_option subsets_10 0 "random subsets of 10 % to train on as well; published: 10"
number_option subsets_1 0 "random subsets of 1 %; published: 20"
choice_option system joint "joint lugosch distill stbert cascade" "whose rows are made (README.md)"
distill_and_stbert_options
words_option recognisers pocketsphinx "pocketsphinx moonshine google" "of --system cascade"
choice_option conf paper "paper cpu" "sizes of models and trainings, conf/ or conf/cpu/"
flag speak "synthetic voices say the sentences of the csv files; no recordings are needed"
numbers_option speak_limit 0 "--speak: rows of train, dev and each test at most; 0: all"
path_option data "data" "folder of data dirs"
encoder_option
option max_lost 0.01 "share of recordings that may be unusable before it is an error"
# Of so few recordings the two planted faults are more than 1 %; what learns nothing writes on.
mini_flag corpus data_mini/corpus subsets_10 2 students hybrid_err_mae max_lost 0.05 \
  decode_options "--max_length=40"
parse_options "$@"

need corpus "the folder fluent_speech_commands_dataset, from
  https://fluent.ai/fluent-speech-commands-a-dataset-for-spoken-language-understanding-research/"
use_voices
use_conf
use_encoder
tests=(test) results=conf/results.yaml file=$(table_file "$(table_name)")
if [ "$split" != original ]; then
  ! is_given subsets_10 && ! is_given subsets_1 || refuse "subsets are of --split original"
  tests=(test_speaker test_utterance) results=conf/results_resplit.yaml
  data=$data/$split lfb_data=$lfb_data/$split exp=$exp/$split subsets_10=0 file=$exp/RESULTS.md
fi
confs=$exp/conf first_seed=${seeds%% *}
choose_system
activate
check_encoder "$init"
keep_marks "$exp"

if stage 0 "Data dirs, a tree for each command"; then
  [ -z "$mini" ] || python local/make_mini.py --out "$corpus"
  prepare="prepare_fluentspeech.py"
  [ -z "$speak" ] || prepare="prepare_spoken.py --limit $speak_limit"
  python local/$prepare --corpus "$corpus" --split "$split" --out "$data" --max_lost "$max_lost"
fi

if [ -n "$speak" ] && stage 1 "Synthetic speech"; then
  atat synthesis --data "$data"/{train,dev} "${tests[@]/#/$data/}" --wavs "$lfb_data/wavs" --nj "$nj"
fi

if stage 2 "Validate the data dirs; sentences and speakers of a test that training has"; then
  for name in train dev "${tests[@]}"; do
    atat datadir validate "$data/$name" --nj "$nj"
  done
  atat datadir overlap --train "$data/train" --test "${tests[@]/#/$data/}"
fi

if [ -n "$acoustic" ] && stage 3 "When the words and phones of the training set are spoken"; then
  # The synthesisers have told them, where they know.
  [ -n "$speak" ] ||
    atat align --backend pocketsphinx --data "$data/train" --phones --nj "$nj" --max_lost "$max_lost"
  atat datadir subset --aligned "$data"/train{,_timed}
fi

if stage 4 "Features and their mean and variance; subsets, confs"; then
  if [ "$system" = joint ]; then
    atat features --data "$data"/{train,dev} "${tests[@]/#/$data/}" --arks "$data/$arks" \
      --nj "$nj" --max_lost "$max_lost" ${features_options[@]+"${features_options[@]}"}
    atat cmvn --data "$data/train" --out "$data/cmvn.ark"
  fi
  copy_confs data "$data" "${conf_files[@]}"
  [ "$bert" != "$data/bert" ] || atat miniature_bert --data "$data/train" --out "$bert"
  [ "$system" != stbert ] || prepare_stbert "$data/train"
  draw_subsets 10 "$subsets_10"
  draw_subsets 1 "$subsets_1"
fi

if [ -n "$tokenized" ] && stage 5 "Tokenizers: of this corpus; that of --init with its tags"; then
  atat tokenizer train --data "$data/train" --vocab_size 5000 --out "$data/tokenizer"
  [ -z "$standin" ] || prepare_standin "$data/train" 40
  [ -z "$start" ] || atat tokenizer extend --tokenizer "$base" --data "$data/train" \
    --out "$data/tokenizer_atat"
fi

if stage 6 "Train from scratch"; then
  [ -z "$standin" ] || train "$standin"
  [ -z "$acoustic" ] || seeds=$first_seed train "$acoustic"
  of_teachers train
  for model in "${scratch[@]}"; do each_training train "$model"; done
  [ "$system" != stbert ] || pretrain_stbert
  run_queue
fi

if [ -n "$start" ] && stage 7 "Finetune the pretrained model"; then
  finetune
  run_queue
fi

if stage 8 "Decode"; then
  [ "$system" != cascade ] || each_transcript transcribe
  for model in "${models[@]}"; do
    for name in "${decoded_sets[@]}"; do each_training decode "$model" "$name" "$task"; done
  done
  for name in "${tests[@]}"; do of_teachers decode "$name"; done
fi

if stage 9 "Score and write the table"; then
  for model in "${models[@]}"; do
    for name in "${decoded_sets[@]}"; do each_training score "$model" "$name" "$task"; done
  done
  for name in "${tests[@]}"; do of_teachers score "$name"; done
  table "$results" "$file" split "$split"
  [ "$system" != distill ] || [ "$split" != original ] ||
    table conf/results_distill.yaml "$(table_file "$(table_name RESULTS_distill)")"
  report
fi
