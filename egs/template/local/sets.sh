# The data dirs of the recipe, and which of them there are; sourced by run.sh.

train_sets=(train{,_asr,_nlu} sentences spoken_train)
spoken_sets=(spoken_{train,dev,test})
all=({train,dev,test}{,_asr,_nlu} sentences "${spoken_sets[@]}")

# on SETS FILE COMMAND ...: the command, with the data dirs of these sets that have the file as its
# last arguments; SETS is an array above. Nothing where none has it.
on() {
  local -n sets=$1
  local one dirs=()
  for one in "${sets[@]}"; do [ ! -e "$data/$one/$2" ] || dirs+=("$data/$one"); done
  ((${#dirs[@]} == 0)) || "${@:3}" "${dirs[@]}"
}

validate() {
  local one
  for one in "$@"; do atat datadir validate "$one" --nj "$nj"; done
}

# tests COMMAND ...: the command with each test set and each task that it has the files of.
tests() {
  local lines=""
  if [ -n "$csv" ]; then
    [ -f "$data/decodings" ] || refuse "$data/decodings is missing: a run without the csv has made other \
data there since. Begin with --stage 0, and give each its own folder: --data DIR"
    lines=$(<"$data/decodings")
  fi
  while read -r -u 3 name task; do "$@" "$name" "$task"; done \
    3< <(
      [ -z "$lines" ] || printf '%s\n' "$lines"
      [ -z "$grammar" ] || printf 'spoken_test %s\n' slu asr nlu
    )
}

# remove_others: data dirs of an earlier run with a csv, or a grammar, that this run does not have.
# Refuses folders of these names that are not ours.
remove_others() {
  local name
  for name in grammar "${all[@]}"; do
    may_be_written "$data/$name" || refuse "$data/$name is no data dir (it has no utt2spk), but this \
recipe makes one of this name, or removes it. Give another folder: --data DIR"
  done
  [ -n "$csv" ] || rm -rf "$data"/{train,dev,test}{,_asr,_nlu} "$data/decodings"
  [ -n "$grammar" ] || rm -rf "$data"/{grammar,sentences,spoken_{train,dev,test}}
}

# may_be_written FOLDER: whether it is a data dir, empty, not there, or one that a killed run has begun.
may_be_written() {
  [ -f "$1/utt2spk" ] || [ -d "$1/.committed" ] || [ -z "$(ls "$1" 2>/dev/null)" ]
}
