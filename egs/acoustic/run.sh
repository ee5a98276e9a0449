#!/usr/bin/env bash
# The acoustic model of Lugosch et al. (2019): which phone and which word each frame of a recording
# is, learned from people reading (speechocean762) and from synthetic speech. The systems over it start
# from it (--init of egs/fluentspeech), and need less speech for it.
#
#   egs/acoustic/run.sh --speechocean ~/speechocean762 --speak_text text
#   ... --librispeech ~/LibriSpeech/test-other --textgrids ~/aligned    further tests
#   ... --aligned egs/librispeech/data/train/mlm                        further speech to learn from
#   egs/acoustic/run.sh --mini          made-up data, a few steps, two minutes
#
# The packed model: exp/rooms/seed1/model. With all of LibriSpeech: egs/librispeech/run.sh.

. "$(dirname "$0")/../../utils/recipe.sh"
. "$atat_root/utils/models.sh"
path_option speechocean "" "speechocean762 (openslr.org/101), people reading aloud"
paths_option speak_text "sentences for synthesisers: lines <utterance> <words>, or a data dir"
paths_option aligned "data dir with phones.ctm to learn from as well"
path_option librispeech "" "any folder of LibriSpeech to test on"
path_option textgrids "" "recordings beside TextGrids with words and phones to test on"
number_option sentences 3600 "sentences spoken to learn from"
number_option held_out 150 "the same for validation, and for the test with another engine"
option max_lost 0.02 "share of a corpus' recordings that may be unusable or unaligned"
corpora=data_mini/corpus wavs=wavs
# Of so few recordings the planted faults are many per cent.
mini_flag speechocean $corpora/speechocean762 librispeech $corpora/LibriSpeech/test-clean \
  textgrids $corpora/aligned sentences 8 held_out 2 wavs data_mini/wavs max_lost 0.2 nj 1
parse_options "$@"

need speechocean "the folder of the corpus. Get it from https://www.openslr.org/101"
[ -z "$mini" ] || ! is_given speak_text ||
  refuse "--mini speaks sentences of its own; leave out --speak_text, or --mini"
[ -z "$mini" ] || speak_text=("$speechocean/train/text")
need speak_text "sentences for synthesisers to speak, such as the transcripts of another corpus"
people=(people/{train,dev} test_speechocean ${librispeech:+test_librispeech})
tests=(test_speechocean ${librispeech:+test_librispeech} ${textgrids:+test_textgrids})
confs=$exp/conf
activate
keep_marks "$exp"

if stage 0 "People reading; sentences to speak"; then
  [ -z "$mini" ] || local/make_mini.sh "$corpora"
  python local/prepare_people.py --speechocean "$speechocean" --out "$data" --max_lost "$max_lost" \
    ${librispeech:+--librispeech "$librispeech"} ${textgrids:+--textgrids "$textgrids"}
  python local/prepare_spoken.py --text "${speak_text[@]}" --out "$data/spoken" \
    --sentences "$sentences" --held_out "$held_out"
fi

if stage 1 "Synthetic speech"; then
  atat synthesis --data "$data"/spoken/{train,dev,test}_* --wavs "$wavs" --nj "$nj"
fi

if stage 2 "Validate the data dirs; sentences and speakers of a test that training has"; then
  for name in "${people[@]}" ${textgrids:+test_textgrids}; do
    atat datadir validate "$data/$name" --nj "$nj"
  done
  atat datadir overlap --train "$data/people/train" --test "$data/test_speechocean"
fi

if stage 3 "When words and phones are spoken: TextGrids, espeak-ng itself, else pocketsphinx"; then
  [ -z "$textgrids" ] || atat align --backend textgrid --textgrids "$textgrids" --phones \
    --data "$data/test_textgrids" --max_lost "$max_lost"
  for folder in "${people[@]/#/$data/}" "$data"/spoken/*; do
    if [ -f "$folder/phones.ctm" ] && [ ! -f "$folder/ctm.json" ]; then continue; fi
    atat align --backend pocketsphinx --phones --data "$folder" --nj "$nj" --max_lost "$max_lost"
  done
fi

if stage 5 "The training set; confs"; then
  atat datadir combine "$data/train" "$data"/people/train "$data"/spoken/train_* \
    ${aligned[@]+"${aligned[@]}"}
  copy_confs data "$data" conf/{acoustic,rooms}.yaml
fi

if stage 6 "Train"; then
  train acoustic
  run_queue
fi

if stage 7 "Train further in noise and rooms"; then
  train rooms acoustic
  run_queue
fi

if stage 8 "Count the frames that are right"; then
  for model in acoustic rooms; do
    for name in "${tests[@]}"; do frames "$model" "$name"; done
    for folder in "$data"/spoken/{dev,test}_*; do frames "$model" "spoken/${folder##*/}"; done
  done
fi

if stage 9 "Write the table"; then
  table conf/results.yaml "$(table_file RESULTS.md)"
  report
fi
