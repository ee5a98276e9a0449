# What run.sh, which sources this, decodes: the test sets, $tests, and the lines of `decode`
# (utils/models.sh), $decodings: MODEL SET TASK [OPTION ...].

outsiders=(outsiders/{told,asked,refused,off_menu,player}_{a,b}) # that are spoken; no order among them

tests=(real)
for snr in $snrs; do tests+=("noisy_$(printf %02d "$snr")"); done

decodings=()
known="well_formed values=$data/text_barista/train" # slots have only values of the grammar

add() { decodings+=("$@"); }

# either_way LINE ...: as the model likes, and so that only well-formed trees come out.
either_way() { decodings+=("$@" "${@/%/ well_formed}"); }

# over_noise MODEL OPTION ...: the recordings at each level of noise.
over_noise() {
  local name
  for name in "${tests[@]:1}"; do add "$1 ${name}_trimmed slu ${*:2}"; done
}

# over_tests MODEL OPTION ...: clean as well.
over_tests() {
  add "$1 real_trimmed slu ${*:2}"
  over_noise "$@"
}

# over_folds COMMAND OPTION ...: calls it with the line of each fold.
over_folds() {
  local fold
  for ((fold = 0; fold < folds; fold++)); do
    "$1" "folds/$fold folds/$fold/test slu${2:+ ${*:2}}"
  done
}

# The rows of the table.
decode_all() {
  local model
  for model in zeroshot replay tts; do
    either_way "$model real_trimmed slu"
    over_noise "$model" well_formed
  done
  for model in zeroshot tts; do add "$model real_trimmed slu $known"; done
  over_folds either_way
  either_way "zeroshot real_heard nlu"
  if [ -n "$encoder" ]; then
    either_way "zeroshot real_trimmed slu bridge" "tts real_trimmed slu bridge=0.5"
    add "replay real_trimmed slu bridge well_formed"
    over_folds add bridge=0.5 well_formed
    over_noise zeroshot bridge well_formed
    over_noise tts bridge=0.5 well_formed
    over_tests zeroshot bridge $known
    over_tests tts bridge=0.5 $known
  fi
  if [ "$encoder" = moonshine-tiny ]; then
    either_way "zeroshot real_heard_by_moonshine nlu"
    add "tts real_heard_by_moonshine nlu well_formed" "zeroshot real_heard_by_moonshine nlu $known"
  fi
}

# With --mini: one of each kind, since each loads a model again.
decode_some() {
  add "zeroshot real_trimmed slu" "tts ${tests[-1]}_trimmed slu well_formed"
  if [ -n "$encoder" ]; then
    add "replay ${tests[-1]}_trimmed slu bridge well_formed" "tts real_trimmed slu bridge=0.5 $known"
  else
    add "tts real_trimmed slu $known"
  fi
  over_folds add
  add "zeroshot real_heard nlu"
  if [ "$encoder" = moonshine-tiny ]; then add "zeroshot real_heard_by_moonshine nlu"; fi
}

if [ -n "$mini" ]; then decode_some; else decode_all; fi
