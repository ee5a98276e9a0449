# What each experiment trains, decodes and compares; run.sh sources this. Names of trainings are names
# of conf/SIZE/NAME.yaml and of folders below $exp. What several experiments need is done once.
#
#   from_nothing NAME                  a training from scratch
#   from_model NAME START [CONF]       a training that starts from another; CONF where it is not NAME
#   decoding MODEL SET TASK [OPTION]   a test set decoded, OPTION is one of atat decode
#   reading MODEL WORDS                test_music read by a tagger or our nlu; WORDS are of the true
#                                      text, of our asr or of pocketsphinx (sphinx)

scratch=()    # lines of from_nothing
finetuned=()  # of from_model
decodings=()  # of decoding
taggers=()    # names of taggers: crf, bilstm_crf, and these with _heard
readings=()   # of reading

# The table of the recipe: does pretraining help, and can a domain be learned from text?
experiment_main() {
  local name
  from_nothing pretrain
  from_nothing e2e
  from_model finetune pretrain
  for name in books_e2e books_tts books_replay books_zeroshot; do from_model "$name" pretrain; done
  for name in e2e pretrain finetune; do
    decoding "$name" test_music slu
    decoding "$name" test_music_real slu
  done
  decoding pretrain test_music asr
  decoding pretrain test_music nlu
  decoding finetune test_music slu well_formed
  decoding books_e2e test_books slu
  decoding books_e2e test_books_real slu
  for name in books_zeroshot books_replay books_tts; do
    decoding "$name" test_books slu
    decoding "$name" test_books slu well_formed
    decoding "$name" test_books_real slu
  done
  decoding books_zeroshot test_books nlu
}

# Table 1: the meaning of a tenth of the music is known, of the rest its words.
experiment_low_resource() {
  local name
  for name in e2e e2e_10 pretrain_10; do from_nothing "$name"; done
  from_model finetune_10 pretrain_10
  for name in e2e e2e_10 pretrain_10 finetune_10; do decoding "$name" test_music slu; done
}

# Table 2: all of the music; two-stage systems, and AT-AT with speech that is not music.
experiment_full_music() {
  local name words
  for name in pretrain e2e pretrain_asr pretrain_asr_mlm; do from_nothing "$name"; done
  from_model finetune_asr pretrain_asr finetune
  from_model finetune_asr_mlm pretrain_asr_mlm finetune
  for name in e2e finetune_asr finetune_asr_mlm; do decoding "$name" test_music slu; done
  decoding pretrain test_music asr
  decoding pretrain test_music nlu
  # What our asr makes of a tenth of the training set, for taggers that learn its mistakes.
  decoding pretrain train_music_10 asr
  taggers=(crf bilstm_crf crf_heard bilstm_crf_heard)
  for name in crf bilstm_crf; do
    for words in text asr sphinx; do reading "$name" "$words"; done
    reading "${name}_heard" asr
  done
  for words in asr sphinx; do reading pretrain "$words"; done
}

# Table 6 whole: with the model that learned from "real" speech, on voices it has not heard.
experiment_real_audio() {
  local name
  from_nothing pretrain
  for name in books_real books_e2e books_tts books_zeroshot; do
    from_model "$name" pretrain
    decoding "$name" test_books_real_held slu
  done
}

# One thing changed at a time.
experiment_ablations() {
  local name task
  for name in pretrain e2e e2e_no_ctc pretrain_no_ctc; do
    from_nothing "$name"
    decoding "$name" test_music slu
  done
  for name in books_zeroshot books_replay books_tts books_zeroshot_unfrozen books_tts_unfrozen; do
    from_model "$name" pretrain
    decoding "$name" test_books slu
  done
  for name in books_zeroshot books_replay books_tts; do
    decoding "$name" test_books slu well_formed
  done
  from_model books_zeroshot_no_ctc pretrain_no_ctc books_zeroshot
  decoding books_zeroshot_no_ctc test_books slu
  decoding books_zeroshot test_books nlu
  if [ -z "$bert" ]; then
    echo "--bert is not given: the rows with BERT are not run"
    return
  fi
  from_nothing pretrain_bert
  from_model books_zeroshot_bert pretrain_bert books_zeroshot
  decoding pretrain_bert test_music slu
  for task in slu nlu; do decoding books_zeroshot_bert test_books "$task"; done
}

# One decoding of each kind, for --size mini: each decoding loads a model again.
mini_decodings=(
  "pretrain test_music slu" "pretrain test_music asr" "books_zeroshot test_books slu well_formed"
  "pretrain train_music_10 asr" "finetune_10 test_music slu" "books_real test_books_real_held slu"
  "books_tts_unfrozen test_books slu"
)

from_nothing() { once scratch "$*"; }
from_model() { once finetuned "$*"; }
decoding() {
  [ "$size" != mini ] || is_among "$*" "${mini_decodings[@]}" || return 0
  once decodings "$*"
}
reading() { once readings "$*"; }

# once LIST LINE: adds a line to a list unless it is there.
once() {
  local -n list=$1
  is_among "$2" ${list[@]+"${list[@]}"} || list+=("$2")
}

is_among() {
  local one
  for one in "${@:2}"; do
    [ "$one" != "$1" ] || return 0
  done
  return 1
}

# refuse_unread: options that no experiment reads, or would miss hours later.
refuse_unread() {
  [ -z "$mini" ] || ! is_given size || refuse "--mini is --size mini; leave out one of them"
  [ -z "$embeddings" ] || [ -f "$embeddings" ] || refuse "--embeddings $embeddings: no such file"
  [ -z "$embeddings" ] || is_among full_music $experiments ||
    refuse "--embeddings are of --experiments full_music"
  [ -z "$bert" ] || is_among ablations $experiments || refuse "--bert is of --experiments ablations"
}

for experiment in $experiments; do "experiment_$experiment"; done
