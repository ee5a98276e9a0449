# What the systems whose rows this recipe makes have of their own; run.sh sources it.

# choose_system: the models to train, decode and score, their task, the confs of a fold, and where they
# start. Lugosch et al.'s and ST-BERT need what was trained elsewhere; a miniature trains $acoustic.
choose_system() {
  acoustic="" standin="" task=intent
  [ "$system" = stbert ] || refuse_stbert_options bert
  if [ "$system" = joint ]; then
    start_from_init
    models=(e2e ${start:+e2e_encoder atat}) task=slu fold_confs=(conf/{e2e,e2e_encoder,atat}.yaml)
    return
  fi
  [ -z "$encoder" ] || refuse "--encoder is for --system joint: $system reads recordings"
  if [ -n "$mini" ] && [ -z "$init$acoustic_model" ]; then acoustic=acoustic; fi
  if [ "$system" = lugosch ]; then
    check_start init lugosch
    start=${init:-${acoustic:+$exp/acoustic/seed${seeds%% *}/model}} models=(lugosch)
    fold_confs=(conf/lugosch.yaml)
    [ -n "$start" ] || refuse "--init is missing: for --system lugosch a packed model of phones and
words (task acoustic), trained on another corpus"
    return
  fi
  if [ -z "$init$mini" ] && { [ -z "$pairs" ] || [ -z "$acoustic_model" ]; }; then
    refuse "--system stbert wants --init, a pretrained ST-BERT, or --pairs and --acoustic_model to
pretrain one: nothing of a fold's test may be in it"
  fi
  choose_stbert
  models=("${stbert[@]}") start=$(stbert_start stbert)
  fold_confs=(conf/stbert.yaml conf/stbert_pretrain_dapt.yaml)
}

# prepare_systems: what all folds share besides data: confs, and what stands in for the model of --init.
prepare_systems() {
  if [ -n "$standin" ]; then
    copy_confs data "$data" conf/standin.yaml
    prepare_standin "$data/folds$folds/${fields[0]}/0/train"
    atat cmvn --data "$data/standin" --out "$data/standin/cmvn.ark"
  fi
  [ -z "$acoustic" ] || copy_confs data "$data" conf/acoustic.yaml
  if [ "$system" = stbert ] && [ -z "$init" ]; then
    prepare_stbert "$data/heard"
  fi
}

# pretrain: queues, or trains, what starts from nothing.
pretrain() {
  local part
  [ -z "$standin" ] || train "$standin"
  [ -z "$acoustic" ] || seeds=${seeds%% *} train "$acoustic"
  if [ "$system" = stbert ]; then pretrain_stbert; fi
  if [ "$system" = joint ]; then
    for part in "${parts[@]}"; do train "$part/e2e"; done
  fi
}

# finetune: trains what starts from $start, or from a pretraining of ST-BERT, on each fold.
finetune() {
  local part model
  if [ "$system" != stbert ]; then
    for part in "${parts[@]}"; do
      for model in "${models[@]}"; do [ "$model" = e2e ] || train "$part/$model" "$start"; done
    done
    return
  fi
  if [[ " ${models[*]} " == *" stbert_dapt "* ]]; then
    for part in "${parts[@]}"; do train "$part/stbert_pretrain_dapt" "$start"; done
    run_queue
  fi
  for part in "${parts[@]}"; do
    for model in "${models[@]}"; do finetune_stbert "$part" "$model"; done
  done
}

# finetune_stbert PART MODEL: queues the finetunings of a fold.
finetune_stbert() {
  local seed start
  for seed in $seeds; do
    start=$(stbert_start "$2")
    [ "$2" != stbert_dapt ] || start=$exp/$1/stbert_pretrain_dapt/seed$seed/model
    seeds=$seed train "$1/$2" "$start" "$1/stbert"
  done
}
