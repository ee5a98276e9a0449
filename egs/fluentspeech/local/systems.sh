# What the systems whose rows this recipe makes have of their own; run.sh sources it.

# choose_system: the models to train, decode and score, their task and confs, and the model to start
# from. Lugosch et al.'s start from --init or, without it, from $acoustic.
choose_system() {
  acoustic=""
  if [ "$system" = joint ]; then
    start_from_init
    models=(e2e ${start:+atat}) task=slu conf_files=(conf/{e2e,atat}{,_subset}.yaml conf/standin.yaml)
    return
  fi
  [ -z "$encoder" ] || refuse "--encoder is for --system joint: $system reads recordings"
  start=$init standin="" models=(lugosch) task=intent conf_files=(conf/lugosch{,_subset}.yaml)
  if [ -z "$start" ]; then
    acoustic=acoustic start=$exp/acoustic/seed${seeds%% *}/model
    conf_files+=(conf/acoustic.yaml)
  fi
}

# each_training COMMAND MODEL ...: calls it with a model, once for that of everything and once for
# those of the subsets, which are the seeds of MODEL_10 and MODEL_1.
each_training() {
  "$1" "$2" "${@:3}"
  seeds=$(seq "$subsets_10") "$1" "$2_10" "${@:3}"
  seeds=$(seq "$subsets_1") "$1" "$2_1" "${@:3}"
}

# draw_subsets PERCENT NUMBER: random subsets of the training set, and confs of each.
draw_subsets() {
  local names=(e2e atat)
  [ "$system" = joint ] || names=("${models[@]}")
  python local/draw_subsets.py --data "$data/train" --percent "$1" --number "$2" \
    --out "$data/subsets/$1" --confs "$confs" --models "${names[@]}"
}
