#!/usr/bin/env bash
# The models that other recipes start from: AT-AT pretrained on two tasks (slu, asr), three (mlm)
# and four (nlu), from data dirs that other recipes have made.
#
#   egs/pretrain/run.sh --slu egs/synthetic_tts/data/full/train_music \
#     --dev_slu egs/synthetic_tts/data/full/dev_music \
#     --asr egs/librispeech/data/train/asr --dev_asr egs/librispeech/data/train/dev
#   ... --encoder moonshine-tiny        over a pretrained speech encoder
#   egs/pretrain/run.sh --mini          made-up data, three models of a few steps, two minutes
#
# Several dirs: --asr DIR --asr DIR. The packed models, for --init of fluentspeech and snips
# (two_tasks) and of top (four_tasks): exp/{two,three,four}_tasks/seed1/model.

. "$(dirname "$0")/../../utils/recipe.sh"
. "$atat_root/utils/models.sh"
paths_option slu "data dir to learn slu from: speech with semantics"
paths_option asr "data dir to learn asr and mlm from: speech with text and ctm"
paths_option nlu "data dir to learn nlu from: text with semantics; those of --slu unless given"
paths_option dev_slu "data dir that models are validated on"
paths_option dev_asr "the same for asr"
paths_option dev_nlu "the same for nlu; those of --dev_slu unless given"
words_option models "two_tasks three_tasks four_tasks" "two_tasks three_tasks four_tasks" \
  "which confs to train"
encoder_option
path_option data "data" "folder of what is gathered"
number_option vocab_size 5000 "word pieces at most"
option max_lost 0.01 "share of utterances that may be unusable, or without word times for mlm"
# Some utterances of the miniature have no alignment; processes cost more than they give.
mini_flag max_lost 0.2 nj 1
parse_options "$@"

corpus=$(realpath -m "$data")/corpus
use_encoder
if [ -n "$mini" ]; then
  [ -z "${slu[*]-}${asr[*]-}${nlu[*]-}${dev_slu[*]-}${dev_asr[*]-}${dev_nlu[*]-}" ] ||
    refuse "--mini makes its own data dirs; leave out --slu, --asr and the like, or --mini"
  slu=("$corpus/music/train_music") dev_slu=("$corpus/music/dev_music")
  asr=("$corpus"/read/train_{clean_100,other_500}) dev_asr=("$corpus/read/dev_clean")
fi
for name in slu asr dev_slu dev_asr; do
  need "$name" "data dirs that other recipes have made, such as
  --slu egs/synthetic_tts/data/full/train_music --dev_slu egs/synthetic_tts/data/full/dev_music
    (made by egs/synthetic_tts/run.sh --size full --stop_stage 4)
  --asr egs/librispeech/data/train/asr --dev_asr egs/librispeech/data/train/dev
    (made by egs/librispeech/run.sh --corpus DIR --stop_stage 4)"
done
confs=$exp/conf
activate
check_encoder
keep_marks "$exp"

if stage 0 "Gather the data dirs"; then
  if [ -n "$mini" ]; then local/make_mini.sh "$corpus"; fi
  python local/gather.py --out "$data" --models $models --max_lost "$max_lost" \
    ${features_options[@]+"${features_options[@]}"} \
    --slu "${slu[@]}" --dev_slu "${dev_slu[@]}" --asr "${asr[@]}" --dev_asr "${dev_asr[@]}" \
    --nlu ${nlu[@]+"${nlu[@]}"} --dev_nlu ${dev_nlu[@]+"${dev_nlu[@]}"}
fi

if stage 2 "Validate them; their audio is read by stage 4"; then
  for folder in "$data"/parts/*; do
    atat datadir validate "$folder" --no_audio --nj "$nj"
  done
fi

if stage 4 "Features where there are none, data dirs by task, mean and variance"; then
  for folder in "$data"/parts/{train,dev}_{slu,asr}_*; do
    if [ -f "$folder/feats.scp" ]; then continue; fi
    atat features --data "$folder" --arks "$data/$arks" --nj "$nj" --compress \
      --max_lost "$max_lost" ${features_options[@]+"${features_options[@]}"}
  done
  python local/join.py --data "$data"
  for folder in "$data"/dev_*; do
    atat datadir overlap --train "$data/train_${folder##*/dev_}" --test "$folder"
  done
  atat cmvn --data "$data"/train_{slu,asr} --out "$data/cmvn.ark" --max_utterances 50000
fi

if stage 5 "Tokenizer"; then
  atat tokenizer train --data "$data"/train_{slu,asr,nlu} --vocab_size "$vocab_size" \
    --out "$data/tokenizer"
fi

if stage 6 "Pretrain on two, three and four tasks"; then
  for model in $models; do
    copy_confs data "$data" "conf/$model.yaml"
    train "$model"
  done
  run_queue
fi

decodings=()
for model in $models; do
  decodings+=("$model dev_slu slu" "$model dev_asr asr")
  if [ "$model" = four_tasks ]; then decodings+=("$model dev_nlu nlu"); fi
done

if stage 8 "Decode the dev sets"; then
  each_of decode "${decodings[@]}"
fi

if stage 9 "Score and write the tables"; then
  each_of score "${decodings[@]}"
  python local/validations.py "$exp"/{two,three,four}_tasks --out "$exp/validations.md"
  table conf/results.yaml "$(table_file RESULTS.md)"
  report
fi
