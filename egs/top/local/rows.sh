# What is trained and decoded, and from which data; run.sh sources this when its options are known.
# With an --init, models start from it. Without, --conf cpu with --pretrain_data pretrains a small one
# on what egs/synthetic_tts has made, and --mini on made-up music, to which TOP's tags are new.
# Otherwise nothing can be trained.

conf_folder=conf tokenizer=$data/tokenizer_top results=$(table_file RESULTS.md)
if [ "$conf" = cpu ]; then
  conf_folder=conf/cpu tokenizer=$data/cpu/tokenizer_top
  is_given exp || exp+=/cpu
  results=$(table_file RESULTS.cpu.md)
  note=${note:-Small models (--conf cpu), trained on two CPU cores, pretrained on little speech}
fi
confs=$exp/conf
text_of_stop="" # whether text and trees are STOP's own
[ -n "$corpus" ] || text_of_stop=yes

# Where models start, the tokenizer of that, and the conf of what is pretrained here.
start=$init base=$init/tokenizer pretrain=""
if [ -z "$init" ] && [ -n "$mini$pretrain_data" ]; then
  start=pretrain base=$data/cpu/tokenizer pretrain=pretrain${librispeech_text:+_reading}
elif [ -n "$librispeech_text" ]; then
  refuse "--librispeech_text is read in pretraining; give --conf cpu and --pretrain_data, without --init"
fi
[ -z "$librispeech_text" ] || [ -f "$librispeech_text" ] ||
  refuse "--librispeech_text $librispeech_text: no such file"
[ -z "$init" ] || [ -z "$pretrain_data" ] ||
  refuse "--pretrain_data is for a model that is pretrained here; leave it out, or --init"
check_start init joint
[ -z "$init" ] || ! grep -q '^tasks:' "$init/config.yaml" || grep -qx -e '- nlu' "$init/config.yaml" ||
  refuse "--init $init: has learned nothing of text, which zero-shot learning needs; expected a model \
of four tasks, such as egs/pretrain/exp/four_tasks/seed1/model"
# With --conf cpu, what is pretrained here over a speech encoder has a bridge; models of others need not
# have one.
pretrain_folder=conf/cpu start_folder=$conf_folder bridge=""
if [ "$conf" = cpu ] && [ -n "$pretrain" ] && [ -n "$encoder" ]; then
  pretrain_folder=conf/cpu/encoder start_folder=conf/cpu/encoder bridge=yes
fi
[ -n "$start" ] || echo "Without --init (or --conf cpu with --pretrain_data) nothing can be \
trained: data are prepared, and the table says \"not run\"."

models=(e2e tts zeroshot)
# Replay wants what was pretrained on.
if [ -n "$pretrain" ] && [ "$conf" = cpu ]; then models+=(replay); fi

# Data dirs that are spoken, that have speech, that are tested, and that pretraining learns from.
speech=("$data"/tts_{train,dev,test})
tests=(tts_test)
pretrained_on=("$data"/pretrain/train_{music,everyday})
if [ -n "$librispeech_text" ]; then
  speech+=("$data"/reading_{train,dev})
  pretrained_on+=("$data/reading_train")
fi
if [ -n "$mini" ]; then speech+=("$data"/pretrain/{train,dev}_{music,everyday}); fi
with_audio=("${speech[@]}")
if [ -n "$stop$audio" ]; then
  tests+=(real_test)
  with_audio+=("$data/real_test")
fi

# What is decoded: model, test set, task, and options of atat decode. The miniature, a part of it. And
# what the encoder's own recogniser writes down for our nlu.
decodings=() heard=()
for set in "${tests[@]}"; do
  for model in "${models[@]}"; do
    decodings+=("$model $set slu" "$model $set slu well_formed")
  done
  decodings+=("zeroshot $set nlu")
  if [ "$encoder" = moonshine-tiny ]; then
    heard+=("$set")
    decodings+=("zeroshot ${set}_heard_by_moonshine nlu"{," well_formed"})
  fi
  if [ -n "$bridge" ]; then
    decodings+=({zeroshot,replay}" $set slu bridge" {zeroshot,replay}" $set slu bridge well_formed"
      "tts $set slu bridge=0.5 well_formed")
  fi
done
if [ -n "$mini" ]; then
  decodings=("e2e real_test slu" "zeroshot real_test slu" "zeroshot real_test slu well_formed"
    "zeroshot real_test nlu" "tts real_test slu" "tts tts_test slu")
  if [ "${models[*]: -1}" = replay ]; then decodings+=("replay real_test slu"); fi
  [ -z "$bridge" ] || decodings+=("zeroshot real_test slu bridge well_formed")
  ((${#heard[@]} == 0)) || heard=(real_test) decodings+=("zeroshot real_test_heard_by_moonshine nlu")
fi
