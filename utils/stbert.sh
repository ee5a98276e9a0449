# What recipes with ST-BERT (Kim et al. 2021) share: its options, its pretrainings, and where a
# finetuning starts. A run.sh sources this after models.sh:
#
#   stbert_options                         # declares --bert, --pairs and more
#   parse_options "$@"
#   small_stbert                           # with --conf cpu
#   choose_stbert                          # once $exp is known: $stbert, the models of the table
#   prepare_stbert "$data/train"           # confs; $data/pairs: what is pretrained on
#   pretrain_stbert                        # trains what is not given
#   train stbert "$(stbert_start stbert)"  # a finetuning
#
# stbert_no_clm starts from stbert_pretrain_no_clm, and so on; these are trained once, with the first
# seed. stbert_dapt starts from stbert_pretrain_dapt, which goes on from stbert_pretrain on the training
# set at hand; that is up to the recipe.

# stbert_options: declares the options; a recipe has --init besides, a pretrained ST-BERT.
stbert_options() {
  option bert bert-base-uncased "BERT to begin with: folder, minilm-l6 or hub name; none: ST-BERT from scratch"
  path_option pairs "" "data dir with speech and text to pretrain ST-BERT on; without: the training set"
  model_option acoustic_model "packed model that tells phones (system lugosch), for ST-BERT"
  number_option pretrain_steps 160000 "steps of ST-BERT's pretraining"
  number_option pretrain_batch 512 "pairs in each of them"
  words_option ablations "no_clm no_text dapt" "no_clm no_text dapt none" "rows of ST-BERT besides its own (none: no others)"
}

# refuse_stbert_options [NAME ...]: refuses options that only ST-BERT reads, NAME among them, where other
# rows are made.
refuse_stbert_options() {
  local name
  for name in pairs acoustic_model pretrain_steps pretrain_batch ablations "$@"; do
    ! is_given "$name" || refuse "--$name is for --system stbert; $system does not read it"
  done
}

# small_stbert: a BERT and a pretraining for a CPU, where the options name none.
small_stbert() {
  is_given bert || bert=minilm-l6
  is_given pretrain_steps || pretrain_steps=1500
  is_given pretrain_batch || pretrain_batch=32
}

# choose_stbert: sets $stbert, and $listener, the acoustic model.
choose_stbert() {
  local name
  stbert=(stbert) first_seed=${seeds%% *}
  for name in $ablations; do
    case $name in
      no_clm | no_text) [ -n "$init" ] || stbert+=("stbert_$name") ;;
      # Pretrained on the training set itself, there is nothing to adapt to.
      dapt) [ -z "$init$pairs" ] || stbert+=(stbert_dapt) ;;
    esac
  done
  if [ -n "$mini" ] && { is_given pretrain_steps || is_given pretrain_batch; }; then
    refuse "--mini pretrains for a few steps; leave out --pretrain_steps and --pretrain_batch, or --mini"
  fi
  check_start init stbert
  check_start acoustic_model lugosch
  ! is_given pairs || [ -f "$pairs/utt2spk" ] || refuse "--pairs $pairs: no data dir (there is no utt2spk); \
expected one with speech and text, such as egs/librispeech/data/train/asr"
  listener=${acoustic_model:-$exp/acoustic/seed$first_seed/model}
  if [ "$bert" = none ] || { [ -n "$mini" ] && ! is_given bert; }; then bert=""; fi
  find_bert
}

# stbert_start MODEL: the packed model that all finetunings of a model start from.
stbert_start() {
  if [ "$1" = stbert ] && [ -n "$init" ]; then
    echo "$init"
  else
    echo "$exp/stbert_pretrain${1#stbert}/seed$first_seed/model"
  fi
}

# prepare_stbert TRAIN: $data/pairs is the data dir of --pairs or, without, the training set; copies of
# the confs of pretrainings, with what the options say.
prepare_stbert() {
  local conf_options=(--set "acoustic=$(quoted "$listener")" --set "bert=${bert:+$(quoted "$bert")}")
  mkdir -p "$data"
  ln -sfn "$(realpath "${pairs:-$1}")" "$data/pairs"
  if [ -z "$mini" ]; then
    conf_options+=(--set "steps=$pretrain_steps" --set "optim.warmup=$((pretrain_steps / 10))"
      --set "batch.examples=$pretrain_batch")
  fi
  copy_confs data "$data" conf/stbert_pretrain{,_no_clm,_no_text}.yaml
}

# pretrain_stbert: trains what is not given; what is queued before, such as the acoustic model, first.
pretrain_stbert() {
  local model seeds=$first_seed
  run_queue
  for model in "${stbert[@]}"; do
    if [ "$model" != stbert_dapt ] && [ "$(stbert_start "$model")" != "$init" ]; then
      train "stbert_pretrain${model#stbert}"
    fi
  done
  run_queue
}
