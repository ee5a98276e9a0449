# What the systems whose rows this recipe makes have of their own; run.sh sources it.

# choose_system: the models to train, decode and score, their task and confs, the sets that they decode,
# and the model to start from; of distill also the teachers, which read text. Systems over the acoustic
# model of Lugosch et al. start from --init or, without it, from $acoustic.
choose_system() {
  local folder=conf
  [ "$conf" = paper ] || folder=conf/$conf
  [ "$system" = cascade ] || ! is_given recognisers || refuse "--recognisers are of --system cascade"
  [ "$system" = distill ] || ! is_given students || refuse "--students are of --system distill"
  case $system in
    stbert) ;;
    distill) refuse_stbert_options ;;
    *) refuse_stbert_options bert ;;
  esac
  acoustic="" standin="" scratch=() tokenized="" decoded_sets=("${tests[@]}") teachers=()
  if [ "$system" = joint ]; then
    start_from_init
    models=(e2e ${start:+atat}) scratch=(e2e) task=slu tokenized=yes
    conf_files=("$folder"/{e2e,atat}{,_subset}.yaml conf/standin.yaml)
    return
  fi
  [ -z "$encoder" ] || refuse "--encoder is for --system joint: $system reads no states"
  if [ "$system" = cascade ]; then
    [ -z "$init" ] || refuse "--init is not for --system cascade: its nlu is trained from scratch"
    start="" models=(nlu) scratch=(nlu) task=nlu tokenized=yes conf_files=(conf/nlu{,_subset}.yaml)
    each_transcript add_heard
    [[ " $recognisers " != *" google "* ]] || [ -f "$corpus/gcloud_transcription.csv" ] ||
      [ -f "$corpus/data/gcloud_transcription.csv" ] ||
      refuse "--recognisers google: no $corpus/gcloud_transcription.csv (README.md, A recogniser)"
    return
  fi
  if [ "$system" = stbert ]; then
    # Its miniature pretrains on little.
    if [ -n "$mini" ] && [ -z "$pairs" ]; then pairs=$data/dev; fi
    choose_stbert
    models=("${stbert[@]}") task=intent start=$(stbert_start stbert)
    conf_files=("$folder"/stbert{,_10,_1}.yaml "$folder"/stbert_pretrain_dapt{,_10,_1}.yaml)
    if [ -z "$init$acoustic_model" ]; then acoustic=acoustic conf_files+=("$folder/acoustic.yaml"); fi
    return
  fi
  check_start init lugosch
  start=$init models=(lugosch lugosch_frozen) task=intent conf_files=("$folder"/"$system"{,_subset}.yaml)
  [ "$system" != distill ] || choose_students "$folder"
  if [ -z "$start" ]; then
    acoustic=acoustic start=$exp/acoustic/seed$first_seed/model
    conf_files+=("$folder/acoustic.yaml")
  fi
}

# distill_and_stbert_options: declares them.
distill_and_stbert_options() {
  stbert_options
  option students "teacher_exp_mae professor_exp_mae hybrid_err_mae" \
    "of --system distill: WHO_SCHEDULE_LOSS ..., or all"
}

# choose_students FOLDER: the models of Cho et al. 2020, and who teaches them, with confs of a folder.
choose_students() {
  local teacher
  students_of "$students"
  models=("${students_chosen[@]/#/distill_}") teachers=(${of_teacher:+teacher} ${of_professor:+professor})
  conf_files+=("$1"/{teacher,professor}.yaml)
  find_bert
  [ "$bert" != none ] || refuse "--bert none is for --system stbert; teachers need a BERT"
  if [ -n "$mini" ] && ! is_given bert; then bert=$data/bert; fi
  for teacher in "${teachers[@]}"; do
    train_set[$teacher]="teacher.bert=$(quoted "$bert")"
  done
}

# students_of "NAME NAME ...": the array students_chosen, and which teachers these students need.
students_of() {
  local who name columns=(0.1_mse 0.5_mse err_mse err_mae exp_mae tri_mae)
  of_teacher="" of_professor="" students_chosen=()
  if [ "$1" = all ]; then
    for who in teacher professor hybrid; do students_chosen+=("${columns[@]/#/${who}_}"); done
  else
    read -r -a students_chosen <<<"$1"
  fi
  [ ${#students_chosen[@]} -gt 0 ] || refuse "--students names none; e.g. hybrid_err_mae, or all"
  for name in "${students_chosen[@]}"; do
    [[ $name =~ ^(teacher|professor|hybrid)_(0\.[0-9]+|err|exp|tri)_(mse|mae)$ ]] ||
      refuse "--students: '$name' is not WHO_SCHEDULE_LOSS: teacher, professor or hybrid; a \
share such as 0.1, err, exp or tri; mse or mae"
    [[ $name == professor_* ]] || of_teacher=yes
    [[ $name == teacher_* ]] || of_professor=yes
  done
}

# of_teachers COMMAND [SET]: calls it with each teacher, of which there is one.
of_teachers() {
  local name
  for name in ${teachers[@]+"${teachers[@]}"}; do
    seeds=$first_seed "$1" "$name" ${2:+"$2" teacher}
  done
}

# use_conf: with --conf cpu models and table have names of their own; their data are the same.
use_conf() {
  [ "$conf" = cpu ] || return 0
  is_given exp || exp+=_cpu
  small_stbert
  note+="${note:+. }Small models and short trainings (--conf cpu)"
}

# use_voices: with --speak data dirs, models and table have names of their own.
use_voices() {
  if [ -z "$speak" ]; then
    ! is_given speak_limit || refuse "--speak_limit is for --speak, sentences that synthetic voices say"
    return 0
  fi
  is_given data || data+=_spoken
  is_given exp || exp+=_spoken
  note+="${note:+. }Synthetic voices say the sentences of the corpus (--speak), the test those of an \
engine of its own; published figures are of people"
}

# table_name [NAME]: of this kind of run.
table_name() {
  local name=${1-RESULTS}
  [ -z "$speak" ] || name+=.spoken
  [ "$conf" = paper ] || name+=.$conf
  echo "$name.md"
}

# each_transcript COMMAND: calls it with a recogniser and a test set, for all of them.
each_transcript() {
  local recogniser name
  for recogniser in $recognisers; do
    for name in "${tests[@]}"; do "$1" "$recogniser" "$name"; done
  done
}

add_heard() { decoded_sets+=("$2_heard_by_$1"); }

# transcribe RECOGNISER SET: its transcripts, and the data dir SET_heard_by_RECOGNISER for our nlu.
transcribe() {
  case $1 in
    google)
      python local/google_transcripts.py --corpus "$corpus" --data "$data/$2" --out "$exp/$1/decode_$2"
      heard_by "$1" "$2"
      ;;
    pocketsphinx) hear "$1" "$2" --lm_text "$data/train" ;;
    *) hear "$1" "$2" ;;
  esac
}

# each_training COMMAND MODEL ...: calls it with a model, once for that of everything and once for
# those of the subsets, which are the seeds of MODEL_10 and MODEL_1.
each_training() {
  "$1" "$2" "${@:3}"
  seeds=$(seq "$subsets_10") "$1" "$2_10" "${@:3}"
  seeds=$(seq "$subsets_1") "$1" "$2_1" "${@:3}"
}

# finetune: queues what starts from $start, or from a pretraining of ST-BERT.
finetune() {
  local model
  if [ "$system" = distill ]; then
    for model in "${models[@]}"; do each_training train_student "$model"; done
    return
  elif [ "$system" = lugosch ]; then
    for model in "${models[@]}"; do each_training train_classifier "$model"; done
    return
  elif [ "$system" != stbert ]; then
    each_training train "${models[-1]}" "$start"
    return
  fi
  for model in "${models[@]}"; do
    [ "$model" != stbert_dapt ] || each_training train stbert_pretrain_dapt "$start"
  done
  run_queue
  for model in "${models[@]}"; do each_training finetune_stbert "$model"; done
}

# finetune_stbert NAME: queues a finetuning; NAME is a model and, on subsets, their size.
finetune_stbert() {
  local model=${1%_10} start
  model=${model%_1}
  start=$(stbert_start "$model")
  [ "$model" != stbert_dapt ] || start=stbert_pretrain${1#stbert} # of the same subset
  train "$1" "$start" "stbert${1#"$model"}"
}

# train_classifier lugosch[_frozen][_10|_1]: queues its trainings.
train_classifier() {
  if [[ $1 == *_frozen* ]]; then train_set[$1]="unfreeze=none"; fi
  train "$1" "$start" "${1/_frozen/}"
}

# train_student distill_WHO_SCHEDULE_LOSS[_10|_1]: queues its trainings.
train_student() {
  local who schedule loss percent keys="" kind folder
  IFS=_ read -r who schedule loss percent <<<"${1#distill_}"
  for kind in teacher professor; do
    folder=$(quoted "$exp/$kind/seed$first_seed/model")
    [[ $who != "$kind" && $who != hybrid ]] || keys+="$kind: $folder, "
  done
  case $schedule in
    0.*) keys+="schedule: constant, weight: $schedule" ;;
    *) keys+="schedule: $schedule" ;;
  esac
  [ "$loss" = mse ] || loss=smooth_l1
  train_set[$1]="distill={$keys, loss: $loss}"
  train "$1" "$start" "distill${percent:+_$percent}"
}

# draw_subsets PERCENT NUMBER: random subsets of the training set, and confs of each.
draw_subsets() {
  local names
  case $system in
    joint) names=(e2e atat) ;;
    cascade) names=(nlu) ;;
    stbert) names=(stbert stbert_pretrain_dapt) ;;
    *) names=("$system") ;;
  esac
  python local/draw_subsets.py --data "$data/train" --percent "$1" --number "$2" \
    --out "$data/subsets/$1" --confs "$confs" --models "${names[@]}"
}
