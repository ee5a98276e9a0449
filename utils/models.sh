# What recipes do with models: train each with several seeds, decode, score, write the table. A
# run.sh sources this after recipe.sh and before it parses its options:
#
#   . "$atat_root/utils/models.sh"         # declares --seeds and --no_report
#
#   confs=$exp/conf                        # folder of the confs of this run
#   copy_confs data "$data" conf/*.yaml    # makes them, in miniature with --mini
#   train pretrain                         # queues $exp/pretrain/seed1, ... by $confs/pretrain.yaml
#   train finetune pretrain                # ... that start from pretrain's model of the same seed
#   run_queue
#   decode finetune test slu well_formed   # queues $exp/finetune/seed1/decode_test_slu_well_formed, ...
#   score finetune test slu well_formed
#   frames acoustic test                   # $exp/acoustic/seed1/frames_test, ...
#   table conf/results.yaml "$(table_file RESULTS.md)"
#   report                                 # $exp/report.html, a page of pictures
#
# Knows no recipe; from a recipe it needs the variables below, exp, nj and, if they exist, init and
# mini.

distinct_option seeds 1 "one training of every model for each of these, e.g. \"1 2 3\""
flag no_report "no page of pictures after the table (it takes seconds to a minute)"

data=data            # folder of data dirs
confs=conf           # folder of training confs
note=""              # stands below the title of the table
arks=lfb             # name of the folder of features: with --encoder, states
encoder=""           # of --encoder, see encoder_option; its name is part of names of folders
encoder_name=""
features_options=()
conf_options=()
decode_options=()    # further options of every decoding
declare -A train_set # training -> KEY=VALUE that replaces a value of its conf

# encoder_option: declares --encoder. A recipe calls use_encoder once it has parsed its options, then
# names its folders; check_encoder when the environment is active; and gives features_options to every
# `atat features`, conf_options to every `atat conf_copy` (copy_confs does).
encoder_option() {
  option encoder none "states of this speech encoder instead of LFB, such as moonshine-tiny"
}

# from_caller NAME: a published model's name as it is; its folder, from where the user is.
from_caller() {
  local name=${1%/}
  [ ! -f "$recipe_caller/$name/config.json" ] || name=$recipe_caller/$name
  echo "$name"
}

# use_encoder: data dirs, models and tables of an encoder have names of their own, with its name.
# What does not depend on an encoder, such as synthetic speech, may be in $lfb_data.
use_encoder() {
  lfb_data=$data
  [ "$encoder" != none ] || encoder=""
  [ -n "$encoder" ] || return 0
  encoder=$(from_caller "$encoder")
  encoder_name=${encoder##*/}
  [[ $encoder_name != *[[:space:]]* ]] ||
    refuse "--encoder: the name '$encoder_name' has a blank, and folders here are called after it; rename it"
  is_given exp || exp+=_$encoder_name
  is_given data || data+=_$encoder_name
  arks=states
  features_options=(--encoder "$encoder")
  conf_options=(--encoder "$encoder")
}

# check_encoder [MODEL [DATA]]: refuses an --encoder that is not on this machine, a model to start
# from that reads other features, and a data dir that has others; MODEL and DATA may be empty. And
# Moonshine among --recognisers where it is not.
check_encoder() {
  [[ " ${recognisers-} " != *" moonshine "* ]] || atat encoder check moonshine-tiny
  [ -n "$encoder${1-}${2-}" ] || return 0
  atat encoder check "${encoder:-none}" ${1:+--model "$1"} ${2:+--data "$2"}
}

# find_bert: what --bert names: a folder, from where the user is, minilm-l6 or a name of the hub.
find_bert() {
  [ -z "$bert" ] || bert=$(from_caller "$bert")
  case $bert in
    /* | ./* | ../*) [ -f "$bert/config.json" ] || refuse "--bert: no config.json in '$bert'" ;;
  esac
}

# copy_confs OLD NEW CONF ...: copies of training confs in $confs, in which all that lies below the
# folder OLD lies below NEW. With --mini their models are tiny and trained for a few steps.
copy_confs() {
  local program=conf_copy
  if [ -n "${mini-}" ]; then program=miniature_conf; fi
  atat "$program" "${@:3}" --out "$confs" --move "$1" "$2" \
    ${conf_options[@]+"${conf_options[@]}"}
}

# train NAME [START [CONF]]: queues a training for each seed, by $confs/CONF.yaml (CONF is NAME
# unless given) or, where each seed has a conf of its own, $confs/CONF/SEED.yaml. START is a training
# of this recipe, whose model of the same seed it starts from, or the folder of a packed model.
train() {
  local name=$1 start=${2-} conf=$confs/${3:-$1} seed file model
  for seed in $seeds; do
    file=$conf.yaml model=$start
    [ ! -d "$conf" ] || file=$conf/$seed.yaml
    [ -z "$start" ] || [[ $start == */* ]] || model=$exp/$start/seed$seed/model
    queue atat train --config "$file" --out "$exp/$name/seed$seed" --seed "$seed" \
      ${model:+--init "$model"} ${train_set[$name]:+--set "${train_set[$name]}"}
  done
}

# decode NAME SET TASK [OPTION ...]: queues that the models of a training decode $data/SET; OPTION is one
# of atat decode, without its dashes: well_formed, bridge=0.5, values=DIR.
decode() {
  local seed folder flags=("${@:4}")
  for seed in $seeds; do
    folder=$exp/$1/seed$seed
    in_turn atat decode --model "$folder/model" --data "$data/$2" --task "$3" ${flags[@]+"${flags[@]/#/--}"} \
      ${decode_options[@]+"${decode_options[@]}"} --nj "$nj" \
      --out "$folder/$(decoded_name "${@:2}")"
  done
}

# score NAME SET TASK [OPTION ...]: scores what `decode` with the same arguments has made.
score() {
  local seed
  for seed in $seeds; do
    atat score --data "$data/$2" --decoded "$exp/$1/seed$seed/$(decoded_name "${@:2}")"
  done
}

# hear ENGINE SET [OPTION ...]: what a recogniser writes down of $data/SET, and that as
# $data/SET_heard_by_ENGINE, for an nlu to read.
hear() {
  atat transcribe --engine "$1" --data "$data/$2" --out "$exp/$1/decode_$2" --nj "$nj" "${@:3}"
  heard_by "$1" "$2"
}

# heard_by NAME SET: the second half of `hear`, where the transcripts are there already.
heard_by() {
  atat heard --data "$data/$2" --decoded "$exp/$1/decode_$2" --out "$data/$2_heard_by_$1"
}

# frames NAME SET: queues which frames of $data/SET the acoustic models of a training get right, scored.
frames() {
  local seed
  for seed in $seeds; do
    in_turn atat frames --model "$exp/$1/seed$seed/model" --data "$data/$2" --max_lost "${max_lost:-0.01}" \
      --out "$exp/$1/seed$seed/frames_${2##*/}"
  done
}

# decoded_name SET TASK [OPTION ...]: of folds/0/test slu values=DIR it is decode_test_slu_values.
decoded_name() {
  local IFS=_ options=("${@:3}")
  options=(${options[@]+"${options[@]%%=*/*}"})
  echo "decode_${1##*/}_$2${options[*]:+_${options[*]}}"
}

# each_of COMMAND LINE ...: calls COMMAND with the words of each line; for lists of decodings.
each_of() {
  local line words
  for line in "${@:2}"; do
    read -r -a words <<<"$line"
    "$1" "${words[@]}"
  done
}

# table_file NAME: where a results table is written. With --exp or --mini it is in that folder, so
# that it does not replace the committed one; that of an encoder has its name.
table_file() {
  local file=${1%.md}${encoder_name:+.$encoder_name}.md
  if is_given exp || [ -n "${mini-}" ]; then echo "$exp/$file"; else echo "$file"; fi
}

# table TEMPLATE FILE [KEY VALUE ...]: fills a template of conf/ (see `fill`) and writes the table.
table() {
  local filled=$exp/${1##*/} notes=$note
  if [ -n "$encoder_name" ]; then
    notes+="${note:+. }Models read the states of the speech encoder $encoder_name (--encoder)"
  fi
  fill "$1" "$filled" exp "$exp" data "$data" "${@:3}"
  atat results --config "$filled" --out "$2" --title_note "$notes"
  echo "The table: $(realpath "$2")"
}

# report: a page of pictures about all of $exp, if anything was trained or decoded there.
report() {
  [ -z "$no_report" ] || return 0
  [ -n "$(find "$exp" \( -name train.log -o -name hyp \) -print -quit)" ] || return 0
  atat report "$exp"
  echo "Pictures of all this: $(realpath "$exp/report.html")"
}

# check_start OPTION SYSTEM: refuses a packed model, the value of an option, of another system.
check_start() {
  local found=""
  [ -z "${!1}" ] || found=$(sed -n 's/^system: *//p' "${!1}/config.yaml")
  [ -z "$found" ] || [ "$found" = "$2" ] ||
    refuse "--$1 ${!1}: a model of the system $found; expected one of the system $2"
}

# start_from_init: finetuning starts from the model of --init, $start; its tokenizer is $base.
# A miniature without --init trains a stand-in on its own training set, with other tags ($standin).
start_from_init() {
  check_start init joint
  start=$init base=$init/tokenizer standin=""
  if [ -n "$mini" ] && [ -z "$init" ]; then
    standin=standin start=$exp/standin/seed${seeds%% *}/model base=$data/tokenizer_standin
  fi
  [ -n "$start" ] || echo "no --init: rows that start from a pretrained model will say \"not run\""
}

# prepare_standin SOURCE [N]: data dir and tokenizer of the stand-in, from N utterances of SOURCE.
prepare_standin() {
  atat miniature_standin --data "$1" --out "$data/standin" ${2:+--utterances "$2"}
  atat tokenizer train --data "$data/standin" --vocab_size 500 \
    --out "$data/tokenizer_standin"
}
