# The two-stage systems of experiment full_music; run.sh sources this. A recogniser (our asr, or
# pocketsphinx, which knows the sentences of training) writes down what it hears; then a tagger or
# our nlu reads that. Their lists are in experiments.sh.

sphinx=$exp/pocketsphinx/decode_test_music

# Recognises, trains the taggers and lets them read. Our own asr has decoded before.
two_stage_decode() {
  run_queue # what our asr makes of a part is there before taggers learn from it
  atat transcribe --data "$data/test_music" --lm_text "$data/train_music" --nj "$nj" \
    --out "$sphinx"
  each_of_seeds train_tagger "${taggers[@]}"
  run_queue
  each_of_seeds read_words "${readings[@]}"
}

two_stage_score() {
  each_of_seeds score_reading "${readings[@]}"
  atat score --data "$data/test_music" --decoded "$sphinx"
}

# each_of_seeds COMMAND LINE ...: calls it with a seed and the words of each line.
each_of_seeds() {
  local seed line words
  for seed in $seeds; do
    for line in "${@:2}"; do
      read -r -a words <<<"$line"
      "$1" "$seed" "${words[@]}"
    done
  done
}

# train_tagger SEED NAME: on the true text; one called _heard also on what our asr makes of a part.
train_tagger() {
  local kind=${2%_heard} options=()
  if [ "$2" != "$kind" ]; then
    options+=(--heard "$exp/pretrain/seed$1/decode_train_music_10_asr")
  fi
  if [ "$kind" = bilstm_crf ] && [ -n "$embeddings" ]; then
    options+=(--embeddings "$embeddings")
  fi
  queue atat pipeline train --kind "$kind" --seed "$1" --data "$data/train_music" \
    --valid "$data/dev_music" --out "$exp/$2/seed$1" ${options[@]+"${options[@]}"}
}

# read_words SEED MODEL WORDS
read_words() {
  local out=$exp/$2/seed$1 source
  case $3 in
    text) source=$data/test_music ;;
    asr) source=$exp/pretrain/seed$1/decode_test_music_asr ;;
    sphinx) source=$sphinx ;;
  esac
  if [ "$2" = pretrain ]; then
    atat heard --data "$data/test_music" --decoded "$source" --out "$out/heard_$3"
    in_turn atat decode --model "$out/model" --data "$out/heard_$3" --task nlu \
      --out "$out/decode_test_music_after_$3"
  else
    in_turn atat pipeline decode --model "$out/model" --text "$source" \
      --out "$out/decode_test_music_after_$3"
  fi
}

score_reading() {
  atat score --data "$data/test_music" --decoded "$exp/$2/seed$1/decode_test_music_after_$3"
}
