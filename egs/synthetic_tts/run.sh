#!/usr/bin/env bash
# The main job: a voice assistant's corpus made on this machine, a joint audio/text model trained on
# it, and a table of how well it understands. No network is needed once the packages are installed.
#
#   egs/synthetic_tts/run.sh                              every step in small, for 2 CPU cores
#   egs/synthetic_tts/run.sh --size mini                  the same in two minutes; learns nothing
#   egs/synthetic_tts/run.sh --size full --seeds "1 2 3"  some hours; writes RESULTS.md here
#
# The assistant plays music and reads books. Music is learned from speech; books come only in
# finetuning, as text alone or as text and synthetic speech (the paper's zero-shot experiment).
#
# Stages: 0 corpus, 1 speech, 2 validate, 3 alignments, 4 LFB, 5 tokenizer, 6 pretrain, 7 finetune,
# 8 decode, 9 score, 10 demo. Interrupted, the same command continues where it stopped.

. "$(dirname "$0")/../../utils/recipe.sh"
option size tiny "mini, tiny or full"
option seeds 1 "one training of every model for each of these, e.g. \"1 2 3\""
number_option vocab_size 500 "word pieces at most; with fewer words there are fewer"
path_option exp "" "folder of models and results; exp/SIZE unless given"
parse_options "$@"

data=data/$size
exp=${exp:-exp/$size}
conf=conf/$size
# The committed table is the full one; the others stay with their models.
case $size in
  full) results=RESULTS.md note="" ;;
  tiny) results=$exp/RESULTS.md note="Miniature (--size tiny): shows every step, not what the model can do" ;;
  mini) results=$exp/RESULTS.md note="Mini (--size mini): a few steps of training, to see every stage run" ;;
  *) refuse "--size is mini, tiny or full, found '$size'" ;;
esac
[[ $seeds =~ ^[0-9]+(\ [0-9]+)*$ ]] || refuse "--seeds wants whole numbers, found '$seeds'"

# Data dirs with speech, and with text only.
spoken=("$data"/{train,dev,test}_{music,books} "$data"/test_{music,books}_real
  "$data"/{train,dev}_everyday)
text=("$data"/{train,dev}_books_text)

activate
keep_marks "$exp"

# What is decoded: model, test set, task, and an option of atat.decode.
decodings=(
  "e2e test_music slu"
  "e2e test_music_real slu"
  "pretrain test_music slu"
  "pretrain test_music_real slu"
  "pretrain test_music asr"
  "pretrain test_music nlu"
  "finetune test_music slu"
  "finetune test_music slu well_formed"
  "finetune test_music_real slu"
  "books_e2e test_books slu"
  "books_e2e test_books_real slu"
  "books_zeroshot test_books slu"
  "books_zeroshot test_books slu well_formed"
  "books_zeroshot test_books_real slu"
  "books_zeroshot test_books nlu"
  "books_replay test_books slu"
  "books_replay test_books slu well_formed"
  "books_replay test_books_real slu"
  "books_tts test_books slu"
  "books_tts test_books slu well_formed"
  "books_tts test_books_real slu"
)

# Mini trains and decodes a part of what tiny does, with the same settings, for a few steps.
if [ "$size" = mini ]; then
  conf=$exp/conf
  decodings=("pretrain test_music slu" "pretrain test_music asr" "books_zeroshot test_books slu well_formed")
fi

# train NAME [START]: queue, for each seed, a training from scratch or from START of the same seed.
train() {
  local name=$1 start=${2:-} seed
  for seed in $seeds; do
    queue atat.train --config "$conf/$name.yaml" --out "$exp/$name/seed$seed" \
      --seed "$seed" ${start:+--init "$exp/$start/seed$seed/model"}
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
  python -m atat.decode --model "$1/model" --data "$data/$2" --task "$3" ${4:+"--$4"} \
    --out "$1/decode_$2_$3${4:+_$4}"
}

score() {
  python -m atat.score --data "$data/$2" --decoded "$1/decode_$2_$3${4:+_$4}"
}

if stage 0 "Corpus: sentences with their meaning, from our grammar"; then
  python local/make_corpus.py --size "$size" --out "$data"
fi

if stage 1 "Speech: every sentence spoken, with the times of its words"; then
  python -m atat.synthesis --data "${spoken[@]}" --wavs "wavs/$size" --nj "$nj"
fi

if stage 2 "Validate the data dirs"; then
  for folder in "${spoken[@]}" "${text[@]}"; do
    python -m atat.datadir validate "$folder" --nj "$nj"
  done
fi

if stage 3 "Alignments: pocketsphinx beside the synthesiser's own"; then
  # It cannot follow some synthetic voices; the table of stage 9 counts what it misses.
  python -m atat.align --backend pocketsphinx --data "$data/test_music" --nj "$nj" --max_lost 1 \
    --out "$exp/align/pocketsphinx.ctm" --write_textgrids "$exp/align/textgrids"
fi

if stage 4 "LFB and their mean and variance"; then
  python -m atat.features --data "${spoken[@]}" --arks "lfb/$size" --nj "$nj"
  # Of what pretraining hears; books are unknown then.
  python -m atat.cmvn --data "$data"/train_{music,everyday} --out "$data/cmvn.ark"
fi

if stage 5 "Tokenizer: pieces and tags of pretraining, then the tags of books"; then
  python -m atat.tokenizer train --data "$data"/train_{music,everyday} \
    --vocab_size "$vocab_size" --out "$data/tokenizer"
  python -m atat.tokenizer extend --tokenizer "$data/tokenizer" --data "$data/train_books_text" \
    --out "$data/tokenizer_books"
fi

if [ "$size" = mini ]; then
  mkdir -p "$conf"
  for file in conf/tiny/*.yaml; do
    sed "s|data/tiny/|$data/|; s|^steps: .*|steps: 6|" "$file" >"$conf/${file##*/}"
  done
fi

if stage 6 "Pretrain: speech to meaning alone (E2E), and all tasks (AT-AT)"; then
  train pretrain
  train e2e
  run_queue
fi

if stage 7 "Finetune on music, and on books in four ways"; then
  train finetune pretrain
  for name in books_e2e books_tts books_replay books_zeroshot; do train "$name" pretrain; done
  run_queue
fi

if stage 8 "Decode the test sets, and align one with our own model"; then
  each_decoding decode
  python -m atat.align --backend ctc --data "$data/test_music" --out "$exp/align/ctc.ctm" \
    --model "$exp/pretrain/seed${seeds%% *}/model"
fi

if stage 9 "Score and write the table"; then
  each_decoding score
  python -m atat.align report --reference "$data/test_music/ctm" --out "$exp/alignment.md" \
    pocketsphinx="$exp/align/pocketsphinx.ctm" ctc="$exp/align/ctc.ctm"
  sed "s|{exp}|$exp|; s|{data}|$data|" conf/results.yaml >"$exp/results.yaml"
  python -m atat.results --config "$exp/results.yaml" --out "$results" --title_note "$note"
fi

if stage 10 "Demo: what the last model makes of some recordings"; then
  python local/demo.py --model "$exp/books_tts/seed${seeds%% *}/model" \
    --data "$data"/test_{books,books_real}
  echo "How well all of them do: $(realpath "$results")"
fi
