# What the systems whose rows this recipe makes have of their own; run.sh sources it.

# choose_system: the models to train, decode and score, their task and confs, the suffix of the sets that
# they read, and the model to start from. A classifier starts from --init or, without it, from $acoustic.
choose_system() {
  local folder=conf
  [ "$conf" = paper ] || folder=conf/$conf
  acoustic="" standin="" kind="" scratch=()
  if [ "$system" = joint ]; then
    start_from_init
    models=(e2e ${start:+atat}) scratch=(e2e) task=slu conf_files=("$folder"/{e2e,atat}.yaml conf/standin.yaml)
    return
  fi
  [ -z "$encoder" ] || refuse "--encoder is for --system joint: $system reads no states"
  check_start init lugosch
  start=$init models=(lugosch) task=intent kind=_intent conf_files=("$folder/lugosch.yaml")
  if [ -z "$start" ]; then
    acoustic=acoustic start=$exp/acoustic/seed${seeds%% *}/model
    conf_files+=("$folder/acoustic.yaml")
  fi
}

# use_conf: with --conf cpu models and table have names of their own; their data are the same.
use_conf() {
  [ "$conf" = cpu ] || return 0
  is_given exp || exp+=_cpu
  note+="${note:+. }Small models and short trainings (--conf cpu)"
}
