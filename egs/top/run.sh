#!/usr/bin/env bash
# TOP: nested intents and slots, learned from text, understood when spoken (Table 5 of the paper).
#
#   egs/top/run.sh --corpus ~/top-dataset-semantic-parsing --stop ~/stop \
#     --init egs/pretrain/exp/four_tasks/seed1/model         the paper's sizes, for a GPU
#   egs/top/run.sh --corpus ~/top-dataset-semantic-parsing --conf cpu \
#     --pretrain_data egs/synthetic_tts/data/full            small models, for 2 CPU cores
#   ... --encoder moonshine-tiny                              over a pretrained speech encoder
#   egs/top/run.sh --mini       every stage on made-up data, in a minute or two; learns nothing
#
# TOP is text; training speech is synthetic. People who say its test sentences come from STOP, or
# from a folder and a csv of yours; without them only synthetic voices of another engine are tested.

. "$(dirname "$0")/../../utils/recipe.sh"
. "$atat_root/utils/models.sh"
path_option corpus "" "TOP: folder of train.tsv, eval.tsv, test.tsv; without it, STOP's own text"
path_option stop "" "STOP: folder of manifests/ and audio"
path_option audio "" "folder of recordings of test sentences ..."
path_option audio_csv "" "... and what is said in them: columns file, row or text, speaker"
model_option init "model pretrained on four tasks, such as egs/pretrain makes"
choice_option conf paper "paper cpu" "sizes of models and trainings, conf/ or conf/cpu/"
path_option pretrain_data "" "with --conf cpu, without --init: data of egs/synthetic_tts"
path_option librispeech_text "" "further sentences to be read for pretraining, lines <utt> <WORDS>"
encoder_option
option leave_out "" "words of intents; their sentences are left out, e.g. \"UNSUPPORTED MUSIC\""
number_option spoken 0 "training sentences that are spoken; 0 = all"
number_option tested 1915 "test sentences that synthetic voices speak; 0 = all"
number_option vocab_size 500 "word pieces at most, where the model is pretrained here"
option max_lost 0.01 "share of sentences or recordings that may be unusable"
# Of few sentences, the planted faults are many per cent; processes cost more than they give.
mini_flag max_lost 0.5 nj 1 corpus data_mini/corpus/top stop data_mini/corpus/stop \
  audio data_mini/corpus/audio audio_csv data_mini/corpus/audio.csv
parse_options "$@"

[ -n "$stop" ] || need corpus "Facebook's TOP, the folder of the zip at
  http://fb.me/semanticparsingdialog
or STOP alone: --stop, https://dl.fbaipublicfiles.com/stop/stop.tar.gz"
[ -z "$audio_csv" ] || [ -n "$audio" ] || refuse "--audio_csv says what is in --audio; give both"
use_encoder
if [ -n "$pretrain_data" ]; then
  [ "$conf" = cpu ] || refuse "--pretrain_data goes with --conf cpu; models of the paper's sizes \
start from one of egs/pretrain: --init egs/pretrain/exp/four_tasks/seed1/model"
  [ -f "$pretrain_data/train_music/feats.scp" ] || refuse "$pretrain_data: no \
train_music/feats.scp; expected what this makes: egs/synthetic_tts/run.sh --size full \
--stop_stage 4${encoder:+ --encoder $encoder}"
fi

. local/rows.sh
activate
check_encoder "$init" "${pretrain_data:+$pretrain_data/train_music}"
keep_marks "$exp"

if stage 0 "Corpus: sentences with their trees, recordings, who speaks what has none"; then
  if [ -n "$mini" ]; then
    python local/make_mini.py --out "$(dirname "$corpus")" --pretrain "$data/pretrain"
  elif [ -n "$pretrain" ]; then
    mkdir -p "$data" && ln -sfn "$pretrain_data" "$data/pretrain"
  fi
  python local/prepare_text.py ${corpus:+--corpus "$corpus"} ${text_of_stop:+--stop "$stop"} \
    --out "$data" --leave_out $leave_out --max_lost "$max_lost"
  python local/prepare_speech.py --data "$data" --spoken "$spoken" --tested "$tested" \
    ${librispeech_text:+--librispeech_text "$librispeech_text"}
  if [ -n "$stop$audio" ]; then
    python local/prepare_audio.py ${stop:+--stop "$stop"} ${audio:+--audio "$audio"} \
      ${audio_csv:+--audio_csv "$audio_csv"} --out "$data" --max_lost "$max_lost"
  fi
fi

if stage 1 "Synthetic speech"; then
  atat synthesis --data "${speech[@]}" --wavs "$lfb_data/wavs" --nj "$nj"
fi

if stage 2 "Validate the data dirs; which test sentences stand in training, too"; then
  for folder in "$data"/text_{train,dev,test} "${with_audio[@]}"; do
    atat datadir validate "$folder" --nj "$nj"
  done
  atat datadir overlap --train "$data"/text_{train,dev} --test "$data/text_test"
fi

if stage 4 "Features; their mean and variance where a model is pretrained here"; then
  atat features --data "${with_audio[@]}" --arks "$data/$arks" --nj "$nj" \
    ${features_options[@]+"${features_options[@]}"}
  if [ -n "$pretrain" ]; then
    atat cmvn --data "${pretrained_on[@]}" --out "$data/cpu/cmvn.ark"
  fi
fi

if stage 5 "Tokenizer: that of the pretrained model, then the tags of TOP; confs"; then
  if [ -n "$pretrain" ]; then
    atat tokenizer train --data "${pretrained_on[@]}" --vocab_size "$vocab_size" \
      --out "$data/cpu/tokenizer"
  fi
  if [ -n "$start" ]; then
    python local/known_tags.py --tokenizer "$base" --data "$data/text_train"
    # With dev's: what only dev has is not learned, but it is counted in its loss.
    atat tokenizer extend --tokenizer "$base" --data "$data"/text_{train,dev} \
      --out "$tokenizer"
  fi
  copy_confs data "$data" "$pretrain_folder"/{pretrain*,replay}.yaml \
    "$start_folder"/{e2e,zeroshot,tts}.yaml
fi

if stage 6 "Pretrain on four tasks, where --init names no model"; then
  if [ -n "$pretrain" ]; then
    train pretrain "" "$pretrain"
    run_queue
  fi
fi

if stage 7 "Finetune: E2E on synthetic speech; AT-AT on text, and on both"; then
  if [ -n "$start" ]; then
    for name in "${models[@]}"; do train "$name" "$start"; done
    run_queue
  fi
fi

if stage 8 "Decode recordings and the synthetic test; Moonshine before our nlu"; then
  if [ -n "$start" ]; then
    for name in ${heard[@]+"${heard[@]}"}; do hear moonshine "$name"; done
    each_of decode "${decodings[@]}"
  fi
fi

if stage 9 "Score and write the table"; then
  if [ -n "$start" ]; then each_of score "${decodings[@]}"; fi
  table conf/results.yaml "$results" engine "$(<"$data/tts_test/engine")"
  report
fi
