#!/usr/bin/env bash
# Coffee orders of real people (Picovoice's speech-to-intent benchmark), understood by a model that
# has never heard one of them: learned from text alone, and from text and synthetic speech.
#
#   egs/barista/run.sh --corpus ~/speech-to-intent-benchmark --speechocean ~/speechocean762 \
#     --librispeech ~/LibriSpeech --snips_nlu ~/2017-06-custom-intent-engines --top ~/top
#   ... --encoder moonshine-tiny     with a pretrained speech encoder; RESULTS.moonshine-tiny.md
#   ... --seeds "1 2 3"              three trainings of every model; the table has their mean
#   egs/barista/run.sh --mini        every stage on made-up data, in two minutes; learns nothing

. "$(dirname "$0")/../../utils/recipe.sh"
. "$atat_root/utils/models.sh"
path_option corpus "" "clone of github.com/Picovoice/speech-to-intent-benchmark"
path_option speechocean "" "speechocean762 (openslr.org/101): people reading aloud, for asr"
path_option librispeech "" "LibriSpeech (openslr.org/12), any subset: more of them"
path_option snips_nlu "" "SNIPS NLU benchmark, folder of seven intents: commands of other domains"
path_option top "" "TOP: more of them, the folder with train.tsv, eval.tsv and test.tsv"
number_option sentences 20000 "orders of the grammar to learn from as text"
number_option spoken 3000 "orders of the grammar that are spoken"
number_option spoken_commands 8000 "commands of other domains that are spoken"
number_option folds 5 "folds of the rows with real speech"
encoder_option
number_option pretrain_seed "" "finetune every seed from the pretraining of this one, not its own"
words_option snrs "6 9 12 15 18 21 24" "6 9 12 15 18 21 24" "dB of kitchen noise in the test (\"\": none)"
option max_lost 0.01 "share of the recordings or sentences of a corpus that may be unusable"
wavs=wavs mini_corpora=data_mini/corpus
# Of so few recordings and rows the planted faults are many per cent; what learns nothing writes on.
mini_flag corpus $mini_corpora/picovoice speechocean $mini_corpora/speechocean762 \
  librispeech $mini_corpora/LibriSpeech snips_nlu $mini_corpora/snips_nlu top $mini_corpora/top \
  wavs data_mini/wavs sentences 60 spoken 8 spoken_commands 8 folds 2 snrs 12 max_lost 0.2 \
  decode_options "--max_length=20"
parse_options "$@"

need corpus "the folder of the recordings. Get them with:
  git clone https://github.com/Picovoice/speech-to-intent-benchmark"
[ -n "$speechocean$librispeech" ] || refuse "give --speechocean or --librispeech or both: without \
any human speech a model cannot learn to listen to people"
[ -n "$snips_nlu$top" ] || refuse "give --snips_nlu or --top or both: commands of other domains"
((folds >= 2)) || refuse "--folds wants at least 2"
use_encoder
templates=(conf/{pretrain,zeroshot,replay,tts}.yaml) fold_template=conf/fold.yaml
if [ -n "$encoder" ]; then # confs for states
  templates=(conf/encoder/{pretrain,zeroshot,replay,tts}.yaml) fold_template=conf/encoder/fold.yaml
  conf_options=(--set model.audio_encoder.kind=pretrained
    --set "model.audio_encoder.pretrained=$(quoted "$encoder")")
fi
confs=$exp/conf start=pretrain
if [ -n "$pretrain_seed" ]; then
  start=$exp/pretrain/seed$pretrain_seed/model
  note="${note:+$note. }All seeds are finetuned from one pretraining (--pretrain_seed $pretrain_seed)"
fi
activate
check_encoder
keep_marks "$exp"

spoken_sets=(tts_barista/{train,dev} tts_commands/{train,dev})
room_sets=(human_train tts_barista/train tts_commands/train)
. local/decodings.sh # tests, decodings

if stage 0 "Corpora: recordings, sentences of the grammar, people reading, other commands"; then
  [ -z "$mini" ] || local/make_mini.sh "$mini_corpora"
  python local/prepare_barista.py --corpus "$corpus" --out "$data" --snrs $snrs --max_lost "$max_lost"
  python local/prepare_text.py --corpus "$corpus" --out "$data" --sentences "$sentences" \
    --spoken "$spoken"
  python local/prepare_human.py --out "$data" ${speechocean:+--speechocean "$speechocean"} \
    ${librispeech:+--librispeech "$librispeech"} --max_lost "$max_lost"
  python local/prepare_outdomain_text.py --out "$data" --spoken "$spoken_commands" \
    ${snips_nlu:+--snips_nlu "$snips_nlu"} ${top:+--top "$top"} --max_lost "$max_lost"
  python local/prepare_outsiders.py --out "$data/outsiders" --wavs "$wavs/outsiders" \
    ${mini:+--times 1 --clips 2}
  for name in "${tests[@]}"; do
    python local/trim_silence.py --data "$data/$name" --out "$data/${name}_trimmed"
  done
fi

if stage 1 "Synthetic speech, clean and in rooms"; then
  for name in tts_barista tts_commands; do
    atat synthesis --data "$data/$name"/{train,dev} --wavs "$wavs/$name" --nj "$nj"
  done
  atat synthesis --data "${outsiders[@]/#/$data/}" --wavs "$wavs/outsiders" --nj "$nj"
  for name in "${room_sets[@]}"; do
    python local/add_rooms.py --data "$data/$name" --out "$data/${name}_rooms" \
      --wavs "$wavs/rooms/$name" --nj "$nj"
  done
fi

if stage 2 "Validate the data dirs"; then
  for name in human_{train,dev} "${spoken_sets[@]}" "${room_sets[@]/%/_rooms}" \
    "${outsiders[@]}" outsiders/music_{a,b} text_barista/train; do
    atat datadir validate "$data/$name" --nj "$nj"
  done
fi

if stage 3 "Wording of the recordings by pocketsphinx told the label, and folds"; then
  python local/transcribe_with_labels.py --data "$data"/real_trimmed --corpus "$corpus" \
    --out "$data"/real_transcribed --nj "$nj"
  atat features --data "$data"/real_trimmed --arks "$data"/arks/real --nj "$nj" \
    ${features_options[@]+"${features_options[@]}"}
  python local/make_folds.py --data "$data"/real_trimmed --text "$data"/real_transcribed \
    --out "$data"/folds --folds "$folds"
fi

if stage 4 "Features and their mean and variance"; then
  for name in human_{train,dev} "${spoken_sets[@]}" "${room_sets[@]/%/_rooms}" \
    "${tests[@]/%/_trimmed}"; do
    atat features --data "$data/$name" --arks "$data/arks/$name" --nj "$nj" --compress \
      ${features_options[@]+"${features_options[@]}"}
  done
  # Masking words needs their times, which not every synthesiser tells.
  atat datadir subset --aligned "$data"/tts_commands/train{,_timed}
  atat cmvn --out "$data"/cmvn.ark --data "$data"/human_train{,_rooms} \
    "$data"/tts_commands/train{,_rooms}
fi

if stage 5 "Tokenizer: pieces and tags of pretraining, then the tags of coffee; confs"; then
  atat tokenizer train --data "$data"/human_train "$data"/nlu_outdomain/train \
    --vocab_size 1000 --out "$data"/tokenizer
  atat tokenizer extend --tokenizer "$data"/tokenizer --data "$data"/text_barista/train \
    --out "$data"/tokenizer_barista
  copy_confs data "$data" "${templates[@]}"
fi

if stage 6 "Pretrain on everything but coffee"; then
  seeds=${pretrain_seed:-$seeds} train pretrain
  run_queue
fi

if stage 7 "Finetune: text, text with replay, text and synthetic speech, folds of real speech"; then
  for name in tts replay zeroshot; do train "$name" "$start"; done
  run_queue
  copy_confs data "$data" "$fold_template"
  for ((fold = 0; fold < folds; fold++)); do
    confs=$exp/conf/folds/$fold copy_confs "{fold}" "$data/folds/$fold" "$exp/conf/fold.yaml"
    train "folds/$fold" tts "folds/$fold/fold"
  done
  run_queue
fi

if stage 8 "Decode clean and noisy recordings; pocketsphinx, alone and before our nlu"; then
  for name in "${tests[@]}"; do
    python local/pocketsphinx_grammar.py --data "$data/${name}_trimmed" --corpus "$corpus" \
      --out "$exp/pocketsphinx_grammar/decode_$name" --nj "$nj"
  done
  atat transcribe --data "$data"/real_trimmed --lm_text "$data"/text_barista/train --nj "$nj" \
    --out "$exp/pocketsphinx/decode_real"
  atat heard --data "$data"/real_trimmed --decoded "$exp/pocketsphinx/decode_real" \
    --out "$data"/real_heard
  if [ "$encoder" = moonshine-tiny ]; then
    atat transcribe --engine moonshine --data "$data"/real_trimmed --nj "$nj" \
      --out "$exp/moonshine/decode_real"
    atat heard --data "$data"/real_trimmed --decoded "$exp/moonshine/decode_real" \
      --out "$data"/real_heard_by_moonshine
  fi
  each_of decode "${decodings[@]}"
fi

if stage 9 "Score and write the table"; then
  each_of score "${decodings[@]}"
  for name in "${tests[@]}"; do
    atat score --data "$data/${name}_trimmed" --task slu \
      --decoded "$exp/pocketsphinx_grammar/decode_$name"
  done
  table conf/results.yaml "$(table_file RESULTS.md)" folds "$folds"
  report
fi
