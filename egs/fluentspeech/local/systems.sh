# What the systems whose rows this recipe makes have of their own; run.sh sources it.

# choose_system: the models to train, decode and score, their task and confs, the sets that they decode,
# and the model to start from. Lugosch et al.'s start from --init or, without it, from $acoustic.
choose_system() {
  local folder=conf
  [ "$conf" = paper ] || folder=conf/$conf
  acoustic="" standin="" scratch=() tokenized="" decoded_sets=("${tests[@]}")
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
    return
  fi
  if [ "$system" = stbert ]; then
    choose_stbert
    models=("${stbert[@]}") task=intent start=$(stbert_start stbert)
    conf_files=("$folder"/stbert{,_10,_1}.yaml "$folder"/stbert_pretrain_dapt{,_10,_1}.yaml)
    if [ -z "$init$acoustic_model" ]; then acoustic=acoustic conf_files+=("$folder/acoustic.yaml"); fi
    return
  fi
  start=$init models=(lugosch) task=intent conf_files=("$folder"/lugosch{,_subset}.yaml)
  if [ -z "$start" ]; then
    acoustic=acoustic start=$exp/acoustic/seed${seeds%% *}/model
    conf_files+=("$folder/acoustic.yaml")
  fi
}

# use_conf: with --conf cpu models and table have names of their own; their data are the same.
use_conf() {
  [ "$conf" = cpu ] || return 0
  is_given exp || exp+=_cpu
  is_given bert || bert=minilm-l6
  is_given pretrain_steps || pretrain_steps=1500
  is_given pretrain_batch || pretrain_batch=32
  note+="${note:+. }Small models and short trainings (--conf cpu)"
}

# use_voices: with --speak data dirs, models and table have names of their own.
use_voices() {
  [ -n "$speak" ] || return 0
  is_given data || data+=_spoken
  is_given exp || exp+=_spoken
  note+="${note:+. }Synthetic voices say the sentences of the corpus (--speak), the test those of an \
engine of its own; published figures are of people"
}

# table_name: of this kind of run.
table_name() {
  local name=RESULTS
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
  local out=$exp/$1/decode_$2
  case $1 in
    google) python local/google_transcripts.py --corpus "$corpus" --data "$data/$2" --out "$out" ;;
    pocketsphinx) atat transcribe --data "$data/$2" --lm_text "$data/train" --out "$out" --nj "$nj" ;;
    *) atat transcribe --engine "$1" --data "$data/$2" --out "$out" --nj "$nj" ;;
  esac
  atat heard --data "$data/$2" --decoded "$out" --out "$data/$2_heard_by_$1"
}

# each_training COMMAND MODEL ...: calls it with a model, once for that of everything and once for
# those of the subsets, which are the seeds of MODEL_10 and MODEL_1.
each_training() {
  "$1" "$2" "${@:3}"
  seeds=$(seq "$subsets_10") "$1" "$2_10" "${@:3}"
  seeds=$(seq "$subsets_1") "$1" "$2_1" "${@:3}"
}

# prepare_stbert: confs of its pretrainings, and the pairs that they read.
prepare_stbert() {
  link_pairs "$data/train"
  copy_stbert_confs conf/stbert_pretrain{,_no_clm,_no_text}.yaml
}

# finetune: queues what starts from $start, or from a pretraining of ST-BERT.
finetune() {
  local model
  if [ "$system" != stbert ]; then
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

# draw_subsets PERCENT NUMBER: random subsets of the training set, and confs of each.
draw_subsets() {
  local names=(e2e atat)
  [ "$system" = joint ] || names=("${models[@]}")
  [ "$system" != stbert ] || names=(stbert stbert_pretrain_dapt)
  python local/draw_subsets.py --data "$data/train" --percent "$1" --number "$2" \
    --out "$data/subsets/$1" --confs "$confs" --models "${names[@]}"
}
