# What the run.sh of all recipes share: strict mode, options, environment, stages. A run.sh reads:
#
#   #!/usr/bin/env bash
#   # What the recipe does. This block of comments is what --help prints.
#   . "$(dirname "$0")/../../utils/recipe.sh"      # also goes to the folder of run.sh
#   option lists "a b" "which lists"               # declares --lists and the variable $lists
#   choice_option size tiny "tiny full" "how much" # one of several words
#   words_option models "a b" "a b c" "which"      # some of several words: --models "a c"
#   numbers_option limit "0 0" "rows at most"      # whole numbers: --limit "100 20"
#   distinct_option seeds 1 "one training for each" # whole numbers, none twice: --seeds "1 2 3"
#   path_option corpus "" "folder of the corpus"   # the same for a path
#   paths_option asr "data dirs"                   # the same for several: --asr A --asr B; an array
#   model_option init "model to start from"        # the same for a packed model
#   flag all "every folder"                        # declares --all; $all is "yes" or empty
#   mini_flag max_lost 0.2                         # declares --mini, see below
#   parse_options "$@"
#   need corpus "the folder ..., from https://..." # refuses a run without --corpus
#   activate                                       # the Python environment, built when missing
#   keep_marks "$exp"                              # where to note which stages are done; one run at a time
#
#   if stage 0 "Corpus"; then
#     python local/make_corpus.py --size "$size"
#   fi
#   if stage 1 ...
#
# A number means the same in every recipe; a recipe leaves out the numbers it does not need:
#
#   0 corpus: data dirs     1 synthetic speech            2 validation; what train and test share
#   3 alignments            4 features, CMVN; subsets      5 tokenizers, confs
#   6 training from scratch, pretraining                  7 finetuning
#   8 decoding              9 scores and tables          10 a demonstration
#
# Stages that are done are skipped, unless --stage names where to start. A command that fails ends
# the recipe with the command line that continues there.
#
# `if stage` is more than style: inside the body of an `if` the first command that fails ends the
# recipe; inside a function that is called as a condition bash would go on (it switches off `set -e`).
#
# Knows nothing of what stages do, nor of the options of the programs they call. What recipes do
# with models is in models.sh.

if [ -z "${BASH_VERSION:-}" ]; then
  echo "error: recipes are written for bash; start them as ./run.sh or bash run.sh" >&2
  exit 2
fi

unset CDPATH # cd would go elsewhere, and print where
set -euo pipefail
shopt -s inherit_errexit 2>/dev/null || true # known to bash 4.4 and newer
shopt -u patsub_replacement 2>/dev/null || true # of bash 5.2: & is a letter like others
export LC_ALL=C

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

recipe_caller=$PWD
recipe_arguments=("$@")
cd "$(dirname "$0")"

refuse() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

# refuse_control_characters PATH: a line break cannot stand in a table of Kaldi, nor in a conf.
refuse_control_characters() {
  [[ $1 != *[[:cntrl:]]* ]] ||
    refuse "a path with a line break or another control character, which tables and confs cannot hold:
  $(printf '%q' "$1")"
}
refuse_control_characters "$PWD"

# ------------------------------------------------------------------------------------- options

option_names=()
option_kinds=()
option_helps=()
option_defaults=()
declare -A option_choices=() # of choice_option and words_option: name -> words
mini_values=()

# option NAME DEFAULT HELP: declares --NAME, and the variable NAME that holds its value.
option() { declare_option value "$@"; }

# The same for a file or folder: a path relative to the user's folder is made absolute.
path_option() { declare_option path "$@"; }

# The same for any number of them: the option may be repeated, and the variable is an array.
paths_option() {
  declare_option paths "$1" "" "$2 (may be repeated)"
  declare -ga "$1=()"
}

# The same for a whole number.
number_option() { declare_option number "$@"; }

# The same for several whole numbers, separated by blanks.
numbers_option() { declare_option numbers "$@"; }

# The same, each number once.
distinct_option() { declare_option distinct "$@"; }

# choice_option NAME DEFAULT "WORD WORD ..." HELP: the same for one of some words.
choice_option() { declare_words choice "$1" "$2" "$3" "$4: "; }

# words_option NAME DEFAULT "WORD WORD ..." HELP: the same for some of them, separated by blanks.
words_option() { declare_words words "$1" "$2" "$3" "$4, some of: "; }

declare_words() {
  local words
  read -r -a words <<<"$4"
  declare_option "$1" "$2" "$3" "$5${words[*]}"
  option_choices[$2]=${words[*]}
}

# model_option NAME HELP: the same for a packed model, the folder that a training calls model.
model_option() { declare_option model "$1" "" "$2"; }

# flag NAME HELP: declares --NAME, which takes no value; the variable NAME is "yes" or empty.
flag() { declare_option flag "$1" "" "$2"; }

# mini_flag [NAME VALUE ...]: declares --mini, a run on made-up data that shows that every stage
# works but learns nothing. With it $data is data_mini, $exp exp_mini, $note says so above the table,
# and the variables NAME are VALUE; options on the command line still win.
mini_flag() {
  flag mini "made-up data and a few steps of training: every stage in minutes, learns nothing"
  mini_values=(data data_mini exp exp_mini
    note "Miniature (--mini): made-up data, a few steps of training; shows that every stage runs, \
nothing else" "$@")
}

use_mini() {
  local index
  [ -n "${mini-}" ] || return 0
  ! is_given corpus || refuse "--mini makes its own corpus; leave out --corpus, or --mini"
  for ((index = 0; index < ${#mini_values[@]}; index += 2)); do
    is_given "${mini_values[index]}" ||
      printf -v "${mini_values[index]}" '%s' "${mini_values[index + 1]}"
  done
}

# need NAME WHAT: refuses a run in which the option NAME has no value; WHAT says what it is and
# where to get it.
need() {
  local -n value=$1
  [ -z "${value[*]-}" ] || return 0
  refuse "--$1 is missing: $2${mini_values:+
Every stage on made-up data: $0 --mini}"
}

# An option declared again gets a new kind, default and help: this is how a recipe adapts a shared one.
declare_option() {
  local index=0
  while ((index < ${#option_names[@]})) && [ "${option_names[index]}" != "$2" ]; do
    index=$((index + 1))
  done
  option_kinds[index]=$1
  option_names[index]=$2
  option_helps[index]=$4
  option_defaults[index]=$3
  printf -v "$2" '%s' "$3"
}

# parse_options "$@": sets the variables from the command line; answers --help.
parse_options() {
  local name="" again=""
  while (($#)); do
    case $1 in
      -h | --help)
        print_help
        exit 0
        ;;
      --*=*)
        name=${1%%=*}
        [ "$(kind_of "${name#--}")" != flag ] || refuse "$name takes no value, found '${1#*=}'"
        set -- "$name" "${1#*=}" "${@:2}"
        ;;
      --*) ;;
      *)
        [ "$(kind_of "$name")" != paths ] || again="; for several, --$name stands before each"
        refuse "'$1' is not an option; options are written --name value$again (see --help)"
        ;;
    esac
    name=${1#--}
    if [ "$(kind_of "$name")" = flag ]; then
      printf -v "$name" yes
      shift
      continue
    fi
    if (($# < 2)) || [[ $2 == --* ]]; then
      is_option "$name" || refuse_option "$name"
      refuse "--$name wants a value${2:+, found the option '$2'}"
    fi
    set_option "$name" "$2"
    shift 2
  done
  ((nj > 0)) || refuse "--nj wants at least 1"
  ((gpu_jobs > 0)) || refuse "--gpu_jobs wants at least 1"
  ((ngpu <= gpus)) || refuse "--ngpu $ngpu, but $gpus GPUs can be seen here"
  is_given stage || recipe_skips_done=yes
  use_mini
  ((stage <= stop_stage)) || refuse "--stage $stage comes after --stop_stage $stop_stage"
  limit_hardware
}

# What the options say of the machine, in the words that torch listens to.
limit_hardware() {
  if [ -n "$cluster" ]; then
    [ -f "$cluster" ] || refuse "--cluster $cluster: no such file; atat cluster run --help shows one"
    export ATAT_CLUSTER=$cluster # atat shares out what has --nj over its machines
    return
  fi
  if ((ngpu == 0)); then export CUDA_VISIBLE_DEVICES=""; fi
  # One thread a core, shared by the processes of several GPUs. Programs that share out their work
  # over --nj processes give each one thread themselves.
  local processes=$((ngpu > 0 ? ngpu : 1))
  export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(((cores + processes - 1) / processes))}
}

set_option() {
  local name=$1 value=$2 index
  for index in "${!option_names[@]}"; do
    [ "${option_names[index]}" = "$name" ] || continue
    case ${option_kinds[index]} in
      number) [[ $value =~ ^[0-9]{1,9}$ ]] || refuse "--$name wants a whole number, found '$value'" ;;
      numbers | distinct) [[ $value =~ ^[0-9]{1,9}(\ [0-9]{1,9})*$ ]] ||
        refuse "--$name wants whole numbers such as \"1 2 3\", found '$value'" ;;
      choice) [[ " ${option_choices[$name]} " == *" $value "* && $value != *\ * ]] ||
        refuse "--$name is one of: ${option_choices[$name]}; found '$value'" ;;
      words)
        local word words
        read -r -a words <<<"$value"
        for word in ${words[@]+"${words[@]}"}; do
          [[ " ${option_choices[$name]} " == *" $word "* ]] ||
            refuse "--$name are some of: ${option_choices[$name]}; found '$word'"
        done
        refuse_twice "$name" "$value"
        ;;
      path | paths | model)
        # Without a folder everything below it would be looked for, and written, below /.
        [[ -n $value || ( -z ${option_defaults[index]} && ${option_kinds[index]} != paths ) ]] ||
          refuse "--$name wants a path, found an empty one"
        [[ -z $value || $value == /* ]] || value=$recipe_caller/$value
        while [[ $value == ?*/ ]]; do value=${value%/}; done
        refuse_control_characters "$value"
        ;;
    esac
    [ "${option_kinds[index]}" != model ] || [ -z "$value" ] || check_model "$name" "$value"
    if [ "${option_kinds[index]}" = paths ]; then
      local -n values=$name
      values+=("$value")
      return
    fi
    case ${option_kinds[index]} in
      number | numbers | distinct) set_numbers "$name" "$value" "${option_kinds[index]}" ;;
      *) printf -v "$name" '%s' "$value" ;;
    esac
    return
  done
  refuse_option "$name"
}

# Not 010: bash would read it as octal.
set_numbers() {
  local number numbers=()
  for number in $2; do numbers+=("$((10#$number))"); done
  [ "$3" != distinct ] || refuse_twice "$1" "${numbers[*]}"
  printf -v "$1" '%s' "${numbers[*]}"
}

# refuse_twice NAME "WORD WORD ...": what is named twice would be made twice, at once, in one folder.
refuse_twice() {
  local word words found=""
  read -r -a words <<<"$2"
  for word in ${words[@]+"${words[@]}"}; do
    [[ " $found " != *" $word "* ]] || refuse "--$1 wants each once, found $word again in '$2'"
    found+=" $word"
  done
}

check_model() {
  [ -f "$2/config.yaml" ] && [ -f "$2/SHA256SUMS" ] || refuse "--$1 $2: is no packed model; \
expected a folder with config.yaml and SHA256SUMS, the folder 'model' of a finished training, such as
egs/pretrain/exp/two_tasks/seed1/model"
}

is_option() {
  [[ " ${option_names[*]} " == *" $1 "* ]]
}

# value, path, number, ...; nothing for an unknown option.
kind_of() {
  local index
  for index in "${!option_names[@]}"; do
    [ "${option_names[index]}" != "$1" ] || printf '%s' "${option_kinds[index]}"
  done
}

# Whether an option is on the command line.
is_given() {
  [[ " ${recipe_arguments[*]-} " == *" --$1"[\ =]* ]]
}

# fill TEMPLATE FILE KEY VALUE ...: writes FILE, a YAML template of conf/ with VALUE wherever {KEY}
# stands. In the templates that is between double quotes, unless the value is a number. For a conf
# with a base: atat conf_copy --fill, since the base is looked for beside FILE.
fill() {
  local text value target=$2
  text=$(<"$1")
  [[ $'\n'$text != *$'\n'base:* ]] || refuse "$1 has a base; fill it by atat conf_copy --fill"
  shift 2
  while (($# > 0)); do
    refuse_control_characters "$2"
    value=${2//\\/\\\\} value=${value//\"/\\\"}
    text=${text//"{$1}"/"$value"}
    shift 2
  done
  mkdir -p "$(dirname "$target")"
  printf '%s\n' "$text" >"$target"
}

# quoted TEXT: as a text of YAML, whatever is in it.
quoted() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

refuse_option() {
  local name known=""
  for name in "${option_names[@]}"; do known+=" --$name"; done
  refuse "unknown option --$1; the options are:$known"
}

# The comment block at the top of run.sh, then the options with their defaults.
print_help() {
  local line index name
  while IFS= read -r line; do
    [[ $line == '#'* ]] || break
    [[ $line == '#!'* ]] && continue
    line=${line#\#}
    printf '%s\n' "${line# }"
  done <"$(basename "$0")"
  printf '\nStages; interrupted, the same command continues where it stopped:\n'
  while IFS= read -r line; do
    if [[ $line =~ ^if.*\ stage\ ([0-9]+)\ \"([^\"]*)\" ]]; then
      printf '  %2s  %s\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
    fi
  done <"$(basename "$0")"
  printf '\nOptions (relative paths are meant from the folder you are in):\n'
  for index in "${!option_names[@]}"; do
    name=${option_names[index]}
    printf '  --%-14s %s%s\n' "$name" "${option_helps[index]}" "${!name:+ (${!name})}"
  done
}

# How many GPUs torch would see.
count_gpus() {
  local devices count
  if [ -n "${CUDA_VISIBLE_DEVICES+set}" ]; then
    IFS=, read -r -a devices <<<"$CUDA_VISIBLE_DEVICES"
    # A negative entry ends the list: -1 hides all.
    for ((count = 0; count < ${#devices[@]}; count++)); do
      [[ ${devices[count]} != -* ]] || break
    done
    echo "$count"
  else
    { nvidia-smi --list-gpus 2>/dev/null || true; } | grep -c '^GPU' || true
  fi
}

cores=$(env -u OMP_NUM_THREADS nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
gpus=$(count_gpus)

number_option stage 0 "first stage to run, whether done before or not"
number_option stop_stage 99 "last stage to run"
number_option nj "$cores" "processes at a time where the work is shared out"
number_option ngpu $((gpus > 0)) "GPUs to train on; 0 = CPU"
number_option gpu_jobs 1 "trainings at a time on one GPU; small models leave most of it idle"
path_option exp "exp" "folder of trained models and what they decode"
path_option cluster "" "settings of a Slurm cluster that does the work: atat cluster run --help"

# queue COMMAND ARGUMENTS: remember to run a command, on the GPUs of --ngpu, on the CPU or on the
# cluster. Only `atat train` shares itself out over several GPUs.
queue() {
  local launcher=()
  if [ -z "$cluster" ] && ((ngpu > 1)) && [ "$1 ${2-}" = "atat train" ]; then
    launcher=(python -m torch.distributed.run --standalone --nproc_per_node "$ngpu" --module)
  fi
  recipe_queue+=("$(command_line ${launcher[@]+"${launcher[@]}"} "$@")")
}

# in_turn COMMAND ARGUMENTS: the same for a command of atat that shares out its own work, such as a
# decoding: these run after the others, one after the other in one process, which loads torch once.
in_turn() { recipe_in_turn+=("$(command_line "$@")"); }

# command_line WORD ...: the words, quoted where need be as every shell and Python read it (those of
# printf's %q may be bash's alone).
command_line() {
  local word line="" mark="'\\''"
  for word in "$@"; do
    [[ $word =~ ^[[:alnum:]_./=:@%+,-]+$ ]] || word="'${word//\'/$mark}'"
    line+="${line:+ }$word"
  done
  printf '%s' "$line"
}

# Runs all queued commands: --nj at a time on the CPU, --gpu_jobs on one GPU, one after the other on
# several. Small models train faster in parallel, on one core each, than one after the other on all.
# On a cluster trainings are one array of tasks, and everything else (decoding) is another.
run_queue() {
  if [ -n "$cluster" ]; then
    local line train=() decode=()
    for line in ${recipe_queue[@]+"${recipe_queue[@]}"} ${recipe_in_turn[@]+"${recipe_in_turn[@]}"}; do
      if [[ $line == "atat train "* ]]; then train+=("$line"); else decode+=("$line"); fi
    done
    # With the status in words: in a trap, `return` alone has that of before the trap.
    run_on_cluster train ${train[@]+"${train[@]}"} || return $?
    run_on_cluster decode ${decode[@]+"${decode[@]}"} || return $?
    recipe_queue=() recipe_in_turn=()
    return
  fi
  run_at_once || return $?
  ((${#recipe_in_turn[@]} == 0)) || printf '%s\0' "${recipe_in_turn[@]}" | atat in_turn || return $?
  recipe_in_turn=()
}

# The commands of `queue`, several at a time.
run_at_once() {
  local at_once=$((ngpu > 1 ? 1 : ngpu == 1 ? gpu_jobs : nj)) count=${#recipe_queue[@]} threads
  ((count > 0)) || return 0
  ((at_once < count)) || at_once=$count
  local allowed=${OMP_NUM_THREADS%%,*} # OpenMP takes "2,1", a number for each level
  threads=$(((ngpu > 0 ? allowed : cores) / at_once))
  ((threads <= allowed)) || threads=$allowed
  printf '%s\0' "${recipe_queue[@]}" |
    OMP_NUM_THREADS=$((threads > 0 ? threads : 1)) xargs -0 -n 1 -P "$at_once" \
      --process-slot-var=TQDM_POSITION bash -c || return $?
  recipe_queue=()
}

# run_on_cluster KIND LINE ...: command lines as one array of tasks, with the share of their kind.
run_on_cluster() {
  (($# == 1)) || printf '%s\0' "${@:2}" | atat cluster run "$cluster" --kind "$1"
}

recipe_queue=() recipe_in_turn=()

# What a stage has queued and not run, such as decodings for a cluster, belongs to the stage.
finish_queue() { ((${#recipe_queue[@]} + ${#recipe_in_turn[@]} == 0)) || run_queue; }

# -------------------------------------------------------------------------------------- stages

recipe_held=""           # the folder that this run holds
recipe_marks=""          # folder of the marks; empty: none are kept
recipe_skips_done=""     # whether stages with a mark are skipped
recipe_open_stage=""     # number and title of the stage at work
recipe_open_title=""
recipe_stages=""         # the numbers of all stages met so far
recipe_work=0            # how many of them did run
recipe_skipped=0         # how many were done before
recipe_stage_started=0

# hold FOLDER: keeps a folder, which is made if missing, for this run until it and what it started
# have ended; refuses to run if another run holds it, and says who.
hold() {
  [ "$recipe_held" != "$1" ] || return 0
  local file=$1/.recipe.lock descriptor code=0 who
  check_writable "$1" exp
  mkdir -p "$1"
  exec {descriptor}>>"$file"
  if command -v flock >/dev/null; then flock -n -E 9 "$descriptor" || code=$?; fi
  who=$(<"$file") # may be read just before it is written
  ((code != 9)) || refuse "$1: ${who:-another run} is at work in this folder, or what it started is.
Wait until it is done, or stop it and run this command again to go on from there, or give another
folder: --exp DIR"
  recipe_held=$1
  printf '%s (process %s on %s, since %(%Y-%m-%d %H:%M:%S %z)T)' \
    "$PWD/$(basename "$0")" $$ "$HOSTNAME" -1 >"$file"
}

# check_writable FOLDER OPTION: refuses a run that could not write in a folder, or make it; OPTION is
# the one that names another.
check_writable() {
  local above found folder=$1
  [[ $folder == /* ]] || folder=$PWD/$folder
  above=$folder
  while [ ! -e "$above" ]; do above=$(dirname "$above"); done
  if ! found=$(mktemp -d "$above/.writable.XXXXXX" 2>&1); then
    local advice="Give a folder that can: --$2 DIR"
    is_option "$2" || advice="This recipe keeps its $2 there: clone the repository to where you may write"
    refuse "$folder: cannot be written (${found##*: }). $advice"
  fi
  rmdir "$found"
}

# keep_marks FOLDER [FILE ...]: done stages leave a mark in FOLDER/.stages. A mark holds what it was
# made with (options, files of conf/ and local/, each FILE) and counts only as long as that is the same.
keep_marks() {
  hold "$1"
  # Trainings (stage 6) and what follows only read data.
  ((stage > 5)) || [ -z "${data-}" ] || check_writable "$data" data
  recipe_marks=$1/.stages
  mkdir -p "$recipe_marks"
  recipe_circumstances=$(
    for name in "${option_names[@]}"; do
      local -n values=$name
      case $name in
        stage | stop_stage | nj | ngpu | gpu_jobs | cluster | no_report) ;;
        *) printf '%s %s\n' "$name" "${values[*]-}" ;;
      esac
    done
    for folder in conf local; do
      [ ! -d "$folder" ] || find "$folder" -type f -not -path '*/__pycache__/*' -exec cksum {} + | sort
    done
    [ $# -lt 2 ] || cksum "${@:2}"
  )
}

# stage N "Title": whether stage N has to run; the stage before it is then done.
stage() {
  local number=$1 title=$2 mark later
  finish_queue || exit
  end_stage || refuse "cannot write in $recipe_marks (is the disk full?)"
  recipe_stages+=" $number"
  if ((number < stage || number > stop_stage)); then return 1; fi
  mark=$recipe_marks/$number
  if [ -n "$recipe_skips_done" ] && is_done "$mark"; then
    recipe_skipped=$((recipe_skipped + 1))
    echo "stage $number: $title: done before"
    return 1
  fi
  # Later stages use what this stage makes, so they no longer count as done.
  for later in ${recipe_marks:+"$recipe_marks"/*}; do
    if [[ ${later##*/} =~ ^[0-9]+$ ]] && ((${later##*/} >= number)); then rm -f "$later"; fi
  done
  recipe_open_stage=$number
  recipe_open_title=$title
  recipe_work=$((recipe_work + 1))
  recipe_stage_started=$SECONDS
  printf '\n=== stage %s: %s (%(%H:%M:%S)T)\n' "$number" "$title" -1
}

is_done() {
  [ -n "$recipe_marks" ] && [ -f "$1" ] && [ "$(<"$1")" = "$recipe_circumstances" ]
}

end_stage() {
  [ -n "$recipe_open_stage" ] || return 0
  echo "--- stage $recipe_open_stage took $(duration $((SECONDS - recipe_stage_started)))"
  if [ -n "$recipe_marks" ]; then
    printf '%s\n' "$recipe_circumstances" >"$recipe_marks/mark.tmp" || return 1
    mv "$recipe_marks/mark.tmp" "$recipe_marks/$recipe_open_stage" || return 1
  fi
  recipe_open_stage=""
}

duration() {
  if (($1 < 60)); then echo "$1 s"; else echo "$(($1 / 60)) min $(($1 % 60)) s"; fi
}

# The command line of the user, to be continued from a stage.
continue_command() {
  local argument skip=""
  printf '%q' "$0"
  for argument in ${recipe_arguments[@]+"${recipe_arguments[@]}"}; do
    if [ -n "$skip" ]; then
      skip=""
    elif [ "$argument" = --stage ]; then
      skip=yes
    elif [[ $argument != --stage=* ]]; then
      printf ' %q' "$argument"
    fi
  done
  printf ' --stage %s\n' "$1"
}

finish() {
  local code=$?
  trap - EXIT
  ((code != 0)) || finish_queue || code=$?
  if ((code == 0)); then
    end_stage || exit 1
    report_end
    exit
  fi
  if [ -n "$recipe_open_stage" ]; then
    local what="error: stage %s (%s) failed with exit code $code"
    if ((code == 130)); then what="stage %s (%s) was interrupted"; fi
    printf "\n$what after %s. To continue there:\n  %s\n" "$recipe_open_stage" \
      "$recipe_open_title" "$(duration $((SECONDS - recipe_stage_started)))" \
      "$(continue_command "$recipe_open_stage")" >&2
  fi
  exit "$code"
}

report_end() {
  if ((recipe_work > 0)); then
    printf '\nDone in %s.\n' "$(duration $SECONDS)"
  elif ((recipe_skipped > 0)); then
    printf '\nNothing to do: all stages are up to date. --stage N reruns from stage N; finished trainings are kept\n(to train again, remove the folder of the training).\n'
  elif [ -n "$recipe_stages" ]; then
    refuse "there is no stage from $stage to $stop_stage; the stages are:$recipe_stages"
  fi
}

trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
