#!/usr/bin/env bash
# The main job: a voice assistant's corpus made on this machine, a joint audio/text model trained on
# it, and a table of how well it understands. No network is needed once the packages are installed.
#
#   egs/synthetic_tts/run.sh                              every step in small, for 2 CPU cores
#   egs/synthetic_tts/run.sh --mini                       the same in two minutes; learns nothing
#   egs/synthetic_tts/run.sh --size full --seeds "1 2 3"  some hours; writes RESULTS.md here
#   egs/synthetic_tts/run.sh --experiments "main low_resource full_music real_audio ablations"
#
# The assistant plays music and reads books. Music is learned from speech; books come only in
# finetuning, as text alone or as text and synthetic speech (the paper's zero-shot experiment).
# Experiments, each with a table of its own: main, this one; low_resource, with the meaning of a
# tenth of the music (the paper's Table 1); full_music, against recogniser and tagger (Table 2);
# real_audio, against training on "real" speech (Table 6); ablations. local/experiments.sh lists what
# they train.

. "$(dirname "$0")/../../utils/recipe.sh"
. "$atat_root/utils/models.sh"
choice_option size tiny "mini tiny full" "how much data and how large the models"
flag mini "the same as --size mini"
words_option experiments main "main low_resource full_music real_audio ablations" "which tables"
encoder_option
path_option embeddings "" "word embeddings of the BiLSTM-CRF, GloVe's text format; random without"
option bert "" "BERT for those of the ablations that need one: folder, minilm-l6 or hub name"
number_option vocab_size 500 "word pieces at most; with fewer words there are fewer"
parse_options "$@"

if [ -n "$mini" ]; then size=mini; fi
use_encoder
variant=$size${encoder_name:+_$encoder_name}
is_given exp || exp=exp/$variant
data=data/$variant confs=conf/$size results=$exp/RESULTS.md
case $variant in
  full) results=$(table_file RESULTS.md) ;; # the committed one; others stay with their models
  tiny*) note="Miniature (--size tiny): shows every step, not what the model can do" ;;
  mini*) note="Mini (--size mini): a few steps of training, to see every stage run" ;;
esac
[ -z "$encoder" ] || confs=$exp/conf
if [ "$size" = mini ]; then
  # It has the confs of tiny with a few steps, and shows the two-stage systems, too.
  confs=$exp/conf
  is_given experiments || experiments="main full_music"
fi
find_bert
train_set[pretrain_bert]=${bert:+model.text_encoder.bert=$(quoted "$bert")}

. local/experiments.sh
. local/two_stage.sh
refuse_unread
activate
check_encoder
keep_marks "$exp"

# Data dirs with speech, and with text only.
spoken=("$data"/{train,dev,test}_{music,books} "$data"/test_{music,books}_real
  "$data"/{train,dev}_everyday)
text=("$data"/{train,dev}_books_text)
if is_among real_audio $experiments; then spoken+=("$data/train_books_real"); fi

if stage 0 "Corpus: sentences with their meaning, from our grammar"; then
  python local/make_corpus.py --size "$size" --out "$data"
fi

if stage 1 "Speech: every sentence spoken, with the times of its words"; then
  atat synthesis --data "${spoken[@]}" --wavs "wavs/$variant" --nj "$nj"
fi

if stage 2 "Validate the data dirs"; then
  for folder in "${spoken[@]}" "${text[@]}"; do
    atat datadir validate "$folder" --nj "$nj"
  done
fi

if stage 3 "Alignments: pocketsphinx beside the synthesiser's own"; then
  # It cannot follow some synthetic voices; the table of stage 9 counts what it misses.
  atat align --backend pocketsphinx --data "$data/test_music" --nj "$nj" --max_lost 1 \
    --out "$exp/align/pocketsphinx.ctm" --write_textgrids "$exp/align/textgrids"
fi

if stage 4 "Features and their mean and variance; subsets of the data dirs"; then
  atat features --data "${spoken[@]}" --arks "lfb/$variant" --nj "$nj" \
    ${features_options[@]+"${features_options[@]}"}
  # Of what pretraining hears; books are unknown then.
  atat cmvn --data "$data"/train_{music,everyday} --out "$data/cmvn.ark"
  for share in 10 90; do
    atat datadir subset --list "$data/train_music_$share.list" \
      "$data/train_music" "$data/train_music_$share"
  done
  atat datadir subset --speaker_list "$data/real_held.list" \
    "$data/test_books_real" "$data/test_books_real_held"
fi

if stage 5 "Tokenizer: pieces and tags of pretraining, then the tags of books; other confs"; then
  atat tokenizer train --data "$data"/train_{music,everyday} \
    --vocab_size "$vocab_size" --out "$data/tokenizer"
  atat tokenizer extend --tokenizer "$data/tokenizer" --data "$data/train_books_text" \
    --out "$data/tokenizer_books"
  if [ "$size" = mini ]; then
    atat conf_copy conf/tiny/*.yaml --out "$confs" --move data/tiny "$data" --set steps=6 \
      ${conf_options[@]+"${conf_options[@]}"}
  elif [ -n "$encoder" ]; then
    atat conf_copy "conf/$size"/*.yaml --out "$confs" --move "data/$size" "$data" \
      "${conf_options[@]}"
  fi
fi

if stage 6 "Train from scratch: speech to meaning alone (E2E), and several tasks (AT-AT)"; then
  each_of train "${scratch[@]}"
  run_queue
fi

if stage 7 "Finetune: on music, and on books in several ways"; then
  each_of train ${finetuned[@]+"${finetuned[@]}"}
  run_queue
fi

if stage 8 "Decode the test sets; the two-stage systems; align one set with our own model"; then
  each_of decode "${decodings[@]}"
  if [ -n "${readings[*]-}" ]; then two_stage_decode; fi
  if is_among main $experiments; then
    atat align --backend ctc --data "$data/test_music" --out "$exp/align/ctc.ctm" \
      --model "$exp/pretrain/seed${seeds%% *}/model"
  fi
fi

if stage 9 "Score and write a table for each experiment"; then
  each_of score "${decodings[@]}"
  if [ -n "${readings[*]-}" ]; then two_stage_score; fi
  if is_among main $experiments; then
    atat align report --reference "$data/test_music/ctm" --out "$exp/alignment.md" \
      pocketsphinx="$exp/align/pocketsphinx.ctm" ctc="$exp/align/ctc.ctm"
  fi
  for experiment in $experiments; do
    name=_$experiment
    name=${name/#_main/}
    table "conf/results$name.yaml" "${results%.md}${name/#_/.}.md"
  done
  report
fi

if is_among main $experiments && stage 10 "Demo: what the last model makes of some recordings"; then
  python local/demo.py --model "$exp/books_tts/seed${seeds%% *}/model" \
    --data "$data"/test_{books,books_real}
  echo "How well all of them do: $(realpath "$results")"
fi
