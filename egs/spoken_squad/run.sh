#!/usr/bin/env bash
# Answers out of spoken paragraphs: SpeechBERT (Chuang et al. 2020), which reads the sounds of words, beside
# the same BERT on a recogniser's words, and both together.
#
#   egs/spoken_squad/run.sh --mini              every stage in a minute or two; learns nothing
#   egs/spoken_squad/run.sh                     a generated corpus and small models
#   egs/spoken_squad/run.sh --asr moonshine     the same, recognised by Moonshine: RESULTS.md
#   egs/spoken_squad/run.sh --corpus ~/Spoken-SQuAD --bert bert-base-uncased
#                                               the paper's corpus and sizes
#   egs/spoken_squad/run.sh --asr moonshine --bert minilm-l6
#                                               beginning with a small pretrained BERT
#   ... --encoder moonshine-tiny                states of a pretrained speech encoder instead of MFCC
#   ... --speech ../barista/data/human_train    people, too, for the autoencoder of spoken words
#
# --corpus is a folder of spoken_train-v1.1.json, spoken_test-v1.1.json, SQuAD's own train-v1.1.json and
# dev-v1.1.json, and the recordings in train_wav and dev_wav (README.md says where to get them).

. "$(dirname "$0")/../../utils/recipe.sh"
. "$atat_root/utils/models.sh"
. local/rows.sh
path_option corpus "" "folder of Spoken-SQuAD and SQuAD; without it a corpus is generated"
path_option data "data" "folder of data dirs"
choice_option size small "small paper" "of the generated corpus and the models; paper with --corpus"
choice_option asr pocketsphinx "pocketsphinx moonshine" "recogniser of the generated corpus"
option bert "" "BERT that the first training starts from, instead of that of the confs"
numbers_option limit "0 0" "paragraphs of the training and the test set at most; 0: all"
encoder_option
paths_option speech "data dir of further speech, with text, that the autoencoder learns from, too"
option max_lost 0.02 "share of paragraphs or questions that may be unusable before it is an error"
mini_flag
parse_options "$@"

[[ $limit == *\ * && $limit != *\ *\ * ]] ||
  refuse "--limit wants two numbers, for the training and the test set, found '$limit'"
choose_corpus
use_encoder
also_people
confs=$exp/conf
[ -z "$encoder" ] || conf_options+=(--set "encoder=$(quoted "$encoder")")
[ -z "$mini" ] || conf_options+=(--set scratch.width=32 --set scratch.layers=1 --set scratch.heads=2
  --set autoencoder.hidden=16)
activate
check_encoder
keep_marks "$exp"

if [ -n "$generated" ] && stage 0 "Corpus: paragraphs of facts and questions about them, from our grammar"; then
  python local/make_corpus.py --size "$generated" --out "$corpus"
fi

if [ -n "$generated" ] && stage 1 "Speech of every sentence, and what a recogniser hears"; then
  atat synthesis --data "$corpus"/sentences/{train,dev}_wav --wavs "$corpus/Spoken-SQuAD_audio" --nj "$nj"
  for part in train_wav dev_wav; do recognise "$part"; done
  python local/write_spoken.py --corpus "$corpus"
fi

if stage 2 "Data dirs: a paragraph is an utterance, with its questions"; then
  python local/prepare_spoken_squad.py --corpus "$corpus" --out "$data" --limit $limit \
    --max_lost "$max_lost"
  if ((${#speech[@]} > 0)); then atat datadir combine "$data/people" "${speech[@]}"; fi
  for set in "${spoken[@]}" "${heard[@]}" ${noisy[@]+"${noisy[@]}"} ${people[@]+"${people[@]}"}; do
    atat datadir validate "$data/$set" --nj "$nj"
  done
fi

if stage 3 "When words are spoken, those that were said and those that were heard; times of answers"; then
  for set in "${spoken[@]}" "${heard[@]}" ${people[@]+"${people[@]}"}; do align_words "$set"; done
  each_pair time_answers
fi

if stage 4 "Features of the words' sounds"; then
  atat features --data "${spoken[@]/#/$data/}" ${people[@]+"${people[@]/#/$data/}"} --arks "$data/$arks" --nj "$nj" \
    --max_lost "$max_lost" ${features_options[@]+"${features_options[@]}"}
  each_pair same_features
fi

if stage 5 "Confs; no tokenizer: BERT has whole words here, which its training counts"; then
  copy_confs data "$data" "$folder"/{text_bert,audio_words,joint,speechbert,cascade,text}.yaml
fi

if stage 6 "Pretrain: BERT on text, sounds of words near its embeddings, masked words of both"; then
  taken_over text_bert || train text_bert
  run_queue
  train audio_words text_bert
  run_queue
  train joint audio_words
  run_queue
fi

if stage 7 "Finetune on questions: SpeechBERT, and BERT on words that were said or heard"; then
  finetune
  run_queue
fi

if stage 8 "Answer the questions of the test, each model and two together"; then
  each_of answer "${rows[@]}"
fi

if stage 9 "Score and write the tables"; then
  each_of score_row "${rows[@]}"
  table conf/results.yaml "$(table_file "$results")"
  beside_the_other
  report
fi
