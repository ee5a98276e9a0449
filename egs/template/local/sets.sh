# The data dirs of the recipe, and which of them there are; sourced by run.sh.

train_sets=(train{,_asr,_nlu} sentences spoken_train)
all=({train,dev,test}{,_asr,_nlu} sentences spoken_{train,dev,test})

# with FILE SET ...: the data dirs among those sets that have the file.
with() { for one in "${@:2}"; do [ ! -e "$data/$one/$1" ] || echo "$data/$one"; done; }

# tests COMMAND ...: the command with each test set and each task that it has the files of.
tests() {
  while read -r -u 3 name task; do "$@" "$name" "$task"; done \
    3< <(
      [ -z "$csv" ] || cat "$data/decodings"
      [ -z "$grammar" ] || printf 'spoken_test %s\n' slu asr nlu
    )
}

# remove_others: data dirs of an earlier run with a csv, or a grammar, that this run does not have.
remove_others() {
  [ -n "$csv" ] || rm -rf "$data"/{train,dev,test}{,_asr,_nlu} "$data/decodings"
  [ -n "$grammar" ] || rm -rf "$data"/{grammar,sentences,spoken_{train,dev,test}}
}
