#!/usr/bin/env bash
# TOP: nested intents and slots, learned from text and understood when spoken (Table 5 of the paper).
#
#   egs/top/run.sh --corpus ~/top-dataset-semantic-parsing --stop ~/stop \
#     --init egs/pretrain/exp/four_tasks/model               the paper's sizes, for a GPU
#   egs/top/run.sh --corpus ~/top-dataset-semantic-parsing --conf cpu \
#     --pretrain_data egs/synthetic_tts/data/full            small models, for 2 CPU cores
#   egs/top/run.sh --mini       every stage on made-up data, in a minute or two; learns nothing
#
# TOP is text; training speech is synthetic. People who say its test sentences come from STOP, or
# from a folder and a csv of yours; without them only synthetic voices of another engine are tested.
#
# Stages: 0 corpus, 1 synthetic speech, 2 validate, 4 LFB, 5 tokenizer, 6 pretrain (without --init),
# 7 finetune, 8 decode, 9 score. Interrupted, the same command continues where it stopped.

. "$(dirname "$0")/../../utils/recipe.sh"
path_option corpus "" "TOP: folder of train.tsv, eval.tsv, test.tsv; without it, STOP's own text"
path_option stop "" "STOP: folder of manifests/ and audio"
path_option audio "" "folder of recordings of test sentences ..."
path_option audio_csv "" "... and what is said in them: columns file, row or text, speaker"
path_option init "" "model pretrained on four tasks, such as egs/pretrain makes"
option conf paper "sizes of models and trainings: paper (conf/) or cpu (conf/cpu/)"
path_option pretrain_data "" "with --conf cpu, without --init: data of egs/synthetic_tts to pretrain on"
path_option librispeech_text "" "further sentences to be read for pretraining, lines <utt> <WORDS>"
option leave_out "" "words of intents; their sentences are left out, e.g. \"UNSUPPORTED MUSIC\""
number_option spoken 0 "training sentences that are spoken; 0 = all"
number_option tested 1915 "test sentences that synthetic voices speak; 0 = all"
number_option vocab_size 500 "word pieces at most, where the model is pretrained here"
number_option seed 1 "of every training"
option max_lost 0.01 "share of sentences or recordings that may be unusable"
path_option exp "" "folder of models; exp unless given, exp/cpu with --conf cpu"
flag mini "a made-up miniature of everything"
parse_options "$@"

case $conf in
  paper)
    confs=conf data=data tokenizer=data/tokenizer_top models=(e2e tts zeroshot)
    exp=${exp:-exp} results=$(table_file RESULTS.md) note=""
    ;;
  cpu)
    confs=conf/cpu data=data tokenizer=data/cpu/tokenizer_top models=(e2e tts zeroshot)
    exp=${exp:-exp/cpu} results=$(table_file RESULTS.cpu.md)
    note="Small models (--conf cpu), trained on two CPU cores; they were pretrained on little speech"
    ;;
  *) refuse "--conf is paper or cpu, found '$conf'" ;;
esac
if [ -n "$mini" ]; then
  data=data_mini tokenizer=data_mini${tokenizer#data}
  is_given exp || exp=exp_mini${exp#exp}
  results=$exp/RESULTS.md
  note=$mini_note
  corpus=$data/corpus/top stop=$data/corpus/stop
  audio=$data/corpus/audio audio_csv=$data/corpus/audio.csv
  is_given max_lost || max_lost=0.5 # of few sentences, the planted faults are many per cent
  is_given nj || nj=1 # with so little to do, a process more costs more than it gives
fi
source=(--corpus "$corpus")
[ -n "$corpus" ] || source=(--stop "$stop")
[ -n "$corpus$stop" ] || refuse "--corpus is missing: Facebook's TOP, the folder of the zip at
http://fb.me/semanticparsingdialog (or STOP alone: --stop, https://dl.fbaipublicfiles.com/stop/stop.tar.gz).
Every stage on made-up data: ${0##*/} --mini"

[ -z "$init" ] || [ -f "$init/config.yaml" ] || refuse "--init $init: is no packed model (no \
config.yaml); expected a folder like egs/pretrain/exp/four_tasks/model"

# What is pretrained here, where there is no --init: in small, on what egs/synthetic_tts has made.
# The miniature's stand-in learns the same four tasks from made-up music; TOP's tags are new to it.
pretrain=""
if [ -z "$init" ] && [ -n "$mini$pretrain_data" ]; then
  [ -n "$mini" ] || [ "$conf" = cpu ] || refuse "--pretrain_data goes with --conf cpu; models of \
the paper's sizes start from one of egs/pretrain: --init egs/pretrain/exp/four_tasks/model"
  [ -n "$mini" ] || [ -f "$pretrain_data/train_music/feats.scp" ] || refuse "$pretrain_data: no \
train_music/feats.scp; expected what this makes: egs/synthetic_tts/run.sh --size full --stop_stage 4"
  pretrain=pretrain${librispeech_text:+_reading}
  init=$exp/pretrain/model base=$data/cpu/tokenizer
else
  librispeech_text="" base=$init/tokenizer
fi
if [ -z "$init" ]; then
  echo "Without --init (or --conf cpu with --pretrain_data) nothing can be trained: data are prepared, \
and the table says \"not run\"."
fi
# Replay wants what was pretrained on.
replay=""
if [ -n "$pretrain" ] && [ "$conf" = cpu ]; then
  replay=yes
  models+=(replay)
fi

speech=("$data"/tts_{train,dev,test})
tests=(tts_test)
if [ -n "$stop$audio" ]; then tests+=(real_test); fi
pretrained_on=("$data"/pretrain/train_{music,everyday})
if [ -n "$librispeech_text" ]; then
  speech+=("$data"/reading_{train,dev})
  pretrained_on+=("$data/reading_train")
fi
if [ -n "$mini" ]; then speech+=("$data"/pretrain/{train,dev}_{music,everyday}); fi
with_audio=("${speech[@]}")
if [ -n "$stop$audio" ]; then with_audio+=("$data/real_test"); fi

activate
keep_marks "$exp"

# train NAME [START]: queue a training from scratch or from another model.
train() {
  queue atat train --config "$confs/$1.yaml" --out "$exp/${1%_reading}" --seed "$seed" \
    ${2:+--init "$2"}
}

# What is decoded: model, test set, task, and an option of atat decode. The miniature, a part of it.
decodings=()
for set in "${tests[@]}"; do
  for model in "${models[@]}"; do
    decodings+=("$model $set slu" "$model $set slu well_formed")
  done
  decodings+=("zeroshot $set nlu")
done
if [ -n "$mini" ]; then
  decodings=("e2e real_test slu" "zeroshot real_test slu" "zeroshot real_test slu well_formed"
    "zeroshot real_test nlu" "tts real_test slu" "tts tts_test slu" ${replay:+"replay real_test slu"})
fi

each_decoding() {
  local line model set task option
  for line in "${decodings[@]}"; do
    read -r model set task option <<<"$line"
    "$1" "$model" "$set" "$task" "$option"
  done
}

decode() {
  atat decode --model "$exp/$1/model" --data "$data/$2" --task "$3" ${4:+"--$4"} \
    --nj "$nj" --out "$exp/$1/decode_$2_$3${4:+_$4}"
}

score() {
  atat score --data "$data/$2" --decoded "$exp/$1/decode_$2_$3${4:+_$4}"
}

if stage 0 "Corpus: sentences with their trees, recordings, who speaks what has none"; then
  if [ -n "$mini" ]; then
    python local/make_mini.py --out "$data/corpus" --pretrain "$data/pretrain"
  elif [ -n "$pretrain" ]; then
    mkdir -p "$data" && ln -sfn "$pretrain_data" "$data/pretrain"
  fi
  python local/prepare_text.py "${source[@]}" --out "$data" --leave_out $leave_out \
    --max_lost "$max_lost"
  python local/prepare_speech.py --data "$data" --spoken "$spoken" --tested "$tested" \
    ${librispeech_text:+--librispeech_text "$librispeech_text"}
  if [ -n "$stop$audio" ]; then
    python local/prepare_audio.py ${stop:+--stop "$stop"} ${audio:+--audio "$audio"} \
      ${audio_csv:+--audio_csv "$audio_csv"} --out "$data" --max_lost "$max_lost"
  fi
fi

if stage 1 "Synthetic speech"; then
  atat synthesis --data "${speech[@]}" --wavs "$data/wavs" --nj "$nj"
fi

if stage 2 "Validate the data dirs"; then
  for folder in "$data"/text_{train,dev,test} "${with_audio[@]}"; do
    atat datadir validate "$folder" --nj "$nj"
  done
fi

if stage 4 "LFB; their mean and variance where a model is pretrained here"; then
  atat features --data "${with_audio[@]}" --arks "$data/lfb" --nj "$nj"
  if [ -n "$pretrain" ]; then
    atat cmvn --data "${pretrained_on[@]}" --out "$data/cpu/cmvn.ark"
  fi
fi

if stage 5 "Tokenizer: that of the pretrained model, then the tags of TOP"; then
  if [ -n "$pretrain" ]; then
    atat tokenizer train --data "${pretrained_on[@]}" --vocab_size "$vocab_size" \
      --out "$data/cpu/tokenizer"
  fi
  if [ -n "$init" ]; then
    python local/known_tags.py --tokenizer "$base" --data "$data/text_train"
    # With dev's: what only dev has is not learned, but it is counted in its loss.
    atat tokenizer extend --tokenizer "$base" --data "$data"/text_{train,dev} \
      --out "$tokenizer"
  fi
fi

if [ -n "$mini" ]; then
  atat miniature_conf "$confs"/{e2e,zeroshot,tts}.yaml conf/cpu/{pretrain*,replay}.yaml \
    --out "$exp/conf" --data "$data"
  confs=$exp/conf
fi

if stage 6 "Pretrain on four tasks, where --init names no model"; then
  if [ -n "$pretrain" ]; then
    train "$pretrain"
    run_queue
  fi
fi

if stage 7 "Finetune: E2E on synthetic speech; AT-AT on text, and on both"; then
  if [ -n "$init" ]; then
    for name in "${models[@]}"; do train "$name" "$init"; done
    run_queue
  fi
fi

if stage 8 "Decode recordings and the synthetic test"; then
  if [ -n "$init" ]; then each_decoding decode; fi
fi

if stage 9 "Score and write the table"; then
  if [ -n "$init" ]; then each_decoding score; fi
  fill conf/results.yaml "$exp/results.yaml" exp "$exp" data "$data" \
    engine "$(<"$data/tts_test/engine")"
  atat results --config "$exp/results.yaml" --out "$results" --title_note "$note"
  echo "The table: $(realpath "$results")"
fi
