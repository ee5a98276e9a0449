# What run.sh, which sources this, decodes: the test sets, $tests, and the lines of `decode`
# (utils/models.sh), $decodings: MODEL SET TASK [OPTION ...].

tests=(real)
for snr in $snrs; do tests+=("noisy_$(printf %02d "$snr")"); done

known="well_formed values=$data/text_barista/train" # options: slots have values of the grammar
decodings=()

# over_tests "MODEL ..." ["OPTION ..."]: the recordings, clean and at each level of noise.
over_tests() {
  local name model
  for name in "${tests[@]}"; do
    for model in $1; do decodings+=("$model ${name}_trimmed slu${2:+ $2}"); done
  done
}

over_folds() {
  local fold
  for ((fold = 0; fold < folds; fold++)); do decodings+=("folds/$fold folds/$fold/test slu"); done
}

# The rows of the table; each also so that only well-formed trees come out, and some so that slots
# have only values of the grammar.
decode_all() {
  local model
  over_tests "zeroshot replay tts"
  if [ -n "$encoder" ]; then
    over_tests "zeroshot replay" bridge
    over_tests tts bridge=0.5
  fi
  over_folds
  decodings+=("zeroshot real_heard nlu")
  if [ "$encoder" = moonshine-tiny ]; then
    for model in zeroshot tts; do decodings+=("$model real_heard_by_moonshine nlu"); done
  fi
  decodings+=("${decodings[@]/%/ well_formed}")
  for model in zeroshot tts; do decodings+=("$model real_trimmed slu $known"); done
  if [ -n "$encoder" ]; then
    over_tests zeroshot "bridge $known"
    over_tests tts "bridge=0.5 $known"
  fi
  if [ "$encoder" = moonshine-tiny ]; then
    decodings+=("zeroshot real_heard_by_moonshine nlu $known")
  fi
}

# With --mini: one of each kind, since each loads a model again.
decode_some() {
  decodings=("zeroshot real_trimmed slu" "tts ${tests[-1]}_trimmed slu well_formed")
  if [ -n "$encoder" ]; then
    decodings+=("replay ${tests[-1]}_trimmed slu bridge well_formed"
      "tts real_trimmed slu bridge=0.5 $known")
  else
    decodings+=("tts real_trimmed slu $known")
  fi
  over_folds
  decodings+=("zeroshot real_heard nlu")
  if [ "$encoder" = moonshine-tiny ]; then decodings+=("zeroshot real_heard_by_moonshine nlu"); fi
}

if [ -n "$mini" ]; then decode_some; else decode_all; fi
