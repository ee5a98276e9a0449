#!/usr/bin/env bash
# The main job: a voice assistant's corpus made on this machine, a joint audio/text model trained on
# it, and a table of how well it understands. No network is needed once the packages are installed.
#
#   egs/synthetic_tts/run.sh                              every step in small, for 2 CPU cores
#   egs/synthetic_tts/run.sh --size mini                  the same in two minutes; learns nothing
#   egs/synthetic_tts/run.sh --size full --seeds "1 2 3"  some hours; writes RESULTS.md here
#   egs/synthetic_tts/run.sh --experiments "main low_resource full_music real_audio ablations"
#
# The assistant plays music and reads books. Music is learned from speech; books come only in
# finetuning, as text alone or as text and synthetic speech (the paper's zero-shot experiment).
# Experiments, each with a table of its own: main, this one; low_resource, with the meaning of a tenth
# of the music (the paper's Table 1); full_music, against recogniser and tagger (Table 2); real_audio,
# against training on "real" speech (Table 6); ablations. local/experiments.sh lists what they train.
#
# Stages: 0 corpus, 1 speech, 2 validate, 3 alignments, 4 LFB, 5 tokenizer, 6 pretrain, 7 finetune,
# 8 decode, 9 score, 10 demo. Interrupted, the same command continues where it stopped.

. "$(dirname "$0")/../../utils/recipe.sh"
option size tiny "mini, tiny or full"
option seeds 1 "one training of every model for each of these, e.g. \"1 2 3\""
option experiments main "of: main low_resource full_music real_audio ablations"
path_option embeddings "" "word embeddings of the BiLSTM-CRF, GloVe's text format; random without"
path_option bert "" "folder of bert-base-uncased, for the rows of the ablations that need it"
number_option vocab_size 500 "word pieces at most; with fewer words there are fewer"
path_option exp "" "folder of models and results; exp/SIZE unless given"
parse_options "$@"

data=data/$size
exp=${exp:-exp/$size}
conf=conf/$size
# The committed table is the full one; the others stay with their models.
case $size in
  full) results=$(table_file RESULTS.md) note="" ;;
  tiny) results=$exp/RESULTS.md note="Miniature (--size tiny): shows every step, not what the model can do" ;;
  mini) results=$exp/RESULTS.md note="Mini (--size mini): a few steps of training, to see every stage run" ;;
  *) refuse "--size is mini, tiny or full, found '$size'" ;;
esac
[ -z "$bert" ] || [ -f "$bert/config.json" ] || refuse "--bert: no config.json in '$bert'"
[[ $seeds =~ ^[0-9]+(\ [0-9]+)*$ ]] || refuse "--seeds wants whole numbers, found '$seeds'"

# Mini has the confs of tiny with a few steps, and shows the two-stage systems, too.
if [ "$size" = mini ]; then
  conf=$exp/conf
  is_given experiments || experiments="main full_music"
fi

. local/experiments.sh
. local/two_stage.sh
activate
keep_marks "$exp"

# Data dirs with speech, and with text only.
spoken=("$data"/{train,dev,test}_{music,books} "$data"/test_{music,books}_real
  "$data"/{train,dev}_everyday)
text=("$data"/{train,dev}_books_text)
if is_among real_audio $experiments; then spoken+=("$data/train_books_real"); fi

# train NAME [START [CONF]]: queue, for each seed, a training from scratch or from START of that seed.
train() {
  local name=$1 start=${2:-} file=${3:-$1} seed weights=""
  if [ "$name" = pretrain_bert ]; then weights=$bert; fi
  for seed in $seeds; do
    queue atat train --config "$conf/$file.yaml" --out "$exp/$name/seed$seed" --seed "$seed" \
      ${start:+--init "$exp/$start/seed$seed/model"} ${weights:+--set "model.text_encoder.bert=$weights"}
  done
}

# each_decoding COMMAND: calls it with model folder, test set, task and option, for each seed.
each_decoding() {
  local seed line model set task option
  for seed in $seeds; do
    for line in "${decodings[@]}"; do
      read -r model set task option <<<"$line"
      "$1" "$exp/$model/seed$seed" "$set" "$task" "$option"
    done
  done
}

decode() {
  atat decode --model "$1/model" --data "$data/$2" --task "$3" ${4:+"--$4"} \
    --nj "$nj" --out "$1/decode_$2_$3${4:+_$4}"
}

# table_of EXPERIMENT: RESULTS.md for the main one, RESULTS.NAME.md beside it for the others.
table_of() {
  if [ "$1" = main ]; then echo "$results"; else echo "${results%.md}.$1.md"; fi
}

score() {
  atat score --data "$data/$2" --decoded "$1/decode_$2_$3${4:+_$4}"
}

if stage 0 "Corpus: sentences with their meaning, from our grammar"; then
  python local/make_corpus.py --size "$size" --out "$data"
fi

if stage 1 "Speech: every sentence spoken, with the times of its words"; then
  atat synthesis --data "${spoken[@]}" --wavs "wavs/$size" --nj "$nj"
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

if stage 4 "LFB and their mean and variance; subsets of the data dirs"; then
  atat features --data "${spoken[@]}" --arks "lfb/$size" --nj "$nj"
  # Of what pretraining hears; books are unknown then.
  atat cmvn --data "$data"/train_{music,everyday} --out "$data/cmvn.ark"
  for share in 10 90; do
    atat datadir subset --list "$data/train_music_$share.list" \
      "$data/train_music" "$data/train_music_$share"
  done
  atat datadir subset --speaker_list "$data/real_held.list" \
    "$data/test_books_real" "$data/test_books_real_held"
fi

if stage 5 "Tokenizer: pieces and tags of pretraining, then the tags of books"; then
  atat tokenizer train --data "$data"/train_{music,everyday} \
    --vocab_size "$vocab_size" --out "$data/tokenizer"
  atat tokenizer extend --tokenizer "$data/tokenizer" --data "$data/train_books_text" \
    --out "$data/tokenizer_books"
fi

if [ "$size" = mini ]; then
  atat conf_copy conf/tiny/*.yaml --out "$conf" --move data/tiny "$data" --set steps=6
fi

if stage 6 "Train from scratch: speech to meaning alone (E2E), and several tasks (AT-AT)"; then
  for line in "${scratch[@]}"; do train $line; done
  run_queue
fi

if stage 7 "Finetune: on music, and on books in several ways"; then
  for line in ${finetuned[@]+"${finetuned[@]}"}; do train $line; done
  run_queue
fi

if stage 8 "Decode the test sets; the two-stage systems; align one set with our own model"; then
  each_decoding decode
  if [ -n "${readings[*]-}" ]; then two_stage_decode; fi
  if is_among main $experiments; then
    atat align --backend ctc --data "$data/test_music" --out "$exp/align/ctc.ctm" \
      --model "$exp/pretrain/seed${seeds%% *}/model"
  fi
fi

if stage 9 "Score and write a table for each experiment"; then
  each_decoding score
  if [ -n "${readings[*]-}" ]; then two_stage_score; fi
  if is_among main $experiments; then
    atat align report --reference "$data/test_music/ctm" --out "$exp/alignment.md" \
      pocketsphinx="$exp/align/pocketsphinx.ctm" ctc="$exp/align/ctc.ctm"
  fi
  for experiment in $experiments; do
    file=results_$experiment.yaml
    fill "conf/${file/_main/}" "$exp/$file" exp "$exp" data "$data"
    atat results --config "$exp/$file" --out "$(table_of "$experiment")" --title_note "$note"
  done
fi

if is_among main $experiments && stage 10 "Demo: what the last model makes of some recordings"; then
  python local/demo.py --model "$exp/books_tts/seed${seeds%% *}/model" \
    --data "$data"/test_{books,books_real}
  echo "How well all of them do: $(realpath "$results")"
fi
