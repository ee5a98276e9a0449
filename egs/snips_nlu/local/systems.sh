# What the systems whose rows this recipe makes have of their own; run.sh sources it.

# choose_system: the models to train, decode and score, their task and confs, the suffix of the sets that
# they read, and the model to start from. Classifiers start from --init or, without it, from $acoustic.
choose_system() {
  local folder=conf
  [ "$conf" = paper ] || folder=conf/$conf
  acoustic="" standin="" kind="" scratch=()
  [ "$system" = stbert ] || refuse_stbert_options bert
  if [ "$system" = joint ]; then
    start_from_init
    models=(e2e ${start:+atat}) scratch=(e2e) task=slu conf_files=("$folder"/{e2e,atat}.yaml conf/standin.yaml)
    return
  fi
  [ -z "$encoder" ] || refuse "--encoder is for --system joint: $system reads no states"
  task=intent kind=_intent
  if [ "$system" = stbert ]; then
    # Its miniature pretrains on little.
    if [ -n "$mini" ] && [ -z "$pairs" ]; then pairs=$data/dev; fi
    choose_stbert
    models=("${stbert[@]}") start=$(stbert_start stbert) conf_files=("$folder"/stbert{,_pretrain_dapt}.yaml)
  else
    check_start init lugosch
    start=$init models=(lugosch) conf_files=("$folder/lugosch.yaml")
  fi
  if [ -z "$init$acoustic_model" ]; then
    acoustic=acoustic conf_files+=("$folder/acoustic.yaml")
    start=${start:-$exp/acoustic/seed${seeds%% *}/model}
  fi
}

# use_conf: with --conf cpu models and table have names of their own; their data are the same.
use_conf() {
  [ "$conf" = cpu ] || return 0
  is_given exp || exp+=_cpu
  small_stbert
  note+="${note:+. }Small models and short trainings (--conf cpu)"
}

# finetune: queues what starts from $start, or from a pretraining of ST-BERT.
finetune() {
  local model from
  if [ "$system" != stbert ]; then
    train "${models[-1]}" "$start"
    return
  fi
  if [[ " ${models[*]} " == *" stbert_dapt "* ]]; then
    train stbert_pretrain_dapt "$start"
    run_queue
  fi
  for model in "${models[@]}"; do
    from=$(stbert_start "$model")
    [ "$model" != stbert_dapt ] || from=stbert_pretrain_dapt # of the same seed
    train "$model" "$from" stbert
  done
}
