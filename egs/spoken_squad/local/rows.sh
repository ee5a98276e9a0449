# What run.sh does for several data dirs and models; it sources this.

spoken=(train dev test_reference) # data dirs whose text was said
heard=(train_asr dev_asr test)    # ... the same recordings and questions; text is what was heard
noisy=()                          # ... the test's words as they were heard in noise

# The rows of the tables: a name, the test set, and the models that answer together.
rows=(
  "text test_reference text"                  # (c), column A
  "text test text"                            # (c), column B
  "cascade test cascade"                      # (d)
  "text_cascade test text_cascade"            # (d) that begins with (c)
  "speechbert test speechbert"                # (e)
  "speechbert_no_mlm test speechbert_no_mlm"  # (f)
  "better_boundaries test_reference speechbert" # (g)
  "speechbert_all test speechbert_all"        # (e) from all questions
  "e_and_d test speechbert cascade"           # (h)
  "all_together test speechbert_all text_cascade" # (h) of (e) from all questions and (d) that begins with (c)
  "d_and_d test cascade cascade_again"        # (i)
)

# One of each kind, since each loads models again.
rows_of_mini=(
  "cascade test cascade"
  "better_boundaries test_reference speechbert"
  "d_and_d test cascade cascade_again"
)

# choose_corpus: where corpus, data and models are, and which confs are trained; $plain_exp is the folder
# of a run without --speech and --encoder. To be called before use_encoder, which gives models of an
# encoder a folder of their own beside $mfcc_exp.
choose_corpus() {
  generated="" results=RESULTS.md folder=conf
  find_bert
  if [ -n "$corpus" ]; then
    ! is_given asr || refuse "--asr is for the generated corpus; --corpus says itself what was heard"
    is_given size || size=paper
    results=RESULTS.corpus.md
  elif [ "$size" = paper ]; then
    refuse "--size paper is for --corpus; the generated corpus is too small for such models"
  else
    generated=${mini:+mini}
    generated=${generated:-small}
  fi
  [ "$size" = paper ] || folder=conf/small${bert:+_pretrained}
  if [ -z "$mini" ]; then
    is_given data || data=data/$size
    is_given exp || exp=exp/$size${bert:+_${bert##*/}}
  fi
  # The paper's own BERT is a pretrained one.
  if [ -n "$bert" ] && [ "$size" != paper ]; then
    results=${results%.md}.${bert##*/}.md note="BERT begins as ${bert##*/} (--bert)"
  fi
  [ -z "$generated" ] || corpus=$data/corpus
  plain_exp=$exp people=()
  if ((${#speech[@]} > 0)); then
    people=(people) results=${results%.md}.people.md
    is_given exp || exp+=_people
  fi
  [ -z "$mini" ] || rows=("${rows_of_mini[@]}")
  choose_noise
  mfcc_exp=$exp
  arks=mfcc
  features_options=(--kind mfcc)
  train_set[speechbert_all]="lost_questions=true"
  train_set[text_bert]=${bert:+bert=$(quoted "$bert")}
}

# choose_noise: what was heard of the test in noise, and its rows. Not every copy of the corpus has it, and of
# a miniature nothing is heard rightly that could be misheard.
choose_noise() {
  local version
  [ -z "$mini" ] || return 0
  for version in WER44 WER54; do
    if [ -n "$generated" ] || [ -f "$corpus/spoken_test-v1.1_$version.json" ]; then
      noisy+=("test_$version")
      rows+=("text test_$version text" "cascade test_$version cascade")
    fi
  done
}

# also_people: the autoencoder's training reads $data/people, too, for a quarter of each step.
also_people() {
  if ((${#people[@]} == 0)); then return; fi
  local one="task: audio_words"
  train_set[audio_words]="train=[{data: $(quoted "$data/train"), $one, weight: 3},"
  train_set[audio_words]+=" {data: $(quoted "$data/people"), $one}]"
}

# recognise PART: what the recogniser hears of the sentences of a part of the generated corpus.
recognise() {
  local text=()
  # A language model of few sentences is quick, and hears every name of the test as another.
  if [ -n "$mini" ] && [ "$asr" = pocketsphinx ]; then text=(--lm_text "$corpus/sentences/train_wav"); fi
  atat transcribe --engine "$asr" --data "$corpus/sentences/$1" --out "$corpus/asr/$1" --nj "$nj" \
    ${text[@]+"${text[@]}"}
  atat score --data "$corpus/sentences/$1" --decoded "$corpus/asr/$1"
}

# align_words SET: the times of its words, unless they came with the corpus.
align_words() {
  if [ -f "$data/$1/ctm" ] && [ ! -f "$data/$1/ctm.json" ]; then return; fi
  atat align --backend pocketsphinx --data "$data/$1" --nj "$nj" --max_lost "$max_lost"
}

# each_pair COMMAND: calls it with every data dir of $spoken and its counterpart of $heard.
each_pair() {
  local index
  for index in "${!spoken[@]}"; do "$1" "${spoken[index]}" "${heard[index]}"; done
}

time_answers() {
  python local/time_questions.py --spoken "$data/$1" --heard "$data/$2" --max_lost "$max_lost"
}

# same_features SPOKEN HEARD: recordings and utterances are the same, and so are the features.
same_features() {
  local name
  for name in feats.scp utt2num_frames utt2dur feats_type frame_shift; do
    [ ! -f "$data/$1/$name" ] || cp "$data/$1/$name" "$data/$2/$name"
  done
}

# taken_over NAME: whether a model that reads text alone is there from the plain run; it does not
# depend on what is heard, and is used instead of training it again. As it is called in a condition,
# bash goes on after what fails.
taken_over() {
  local seed folder
  [ "$plain_exp" != "$exp" ] || return 1
  for seed in $seeds; do
    folder=$exp/$1/seed$seed
    # What an earlier run has taken over may have changed since.
    [ ! -L "$folder/model" ] || rm -f "$folder"/{model,train.json} || exit
  done
  for seed in $seeds; do
    [ -f "$plain_exp/$1/seed$seed/train.json" ] && has_read_the_same "$plain_exp/$1/seed$seed" || return 1
  done
  for seed in $seeds; do
    folder=$exp/$1/seed$seed
    mkdir -p "$folder" || exit
    [ -e "$folder/model" ] ||
      ln -s "$(realpath "$plain_exp/$1/seed$seed")"/{model,train.json} "$folder" || exit
  done
}

# has_read_the_same RUN: whether the words and questions that a training has noted in its inputs.json
# are those of the sets of these names in $data.
has_read_the_same() {
  local file digest found
  [ -f "$1/inputs.json" ] || return 0 # of a version that noted none
  while read -r file digest; do
    found=$(sha256sum "$data/$file")
    [ "${found:0:${#digest}}" = "$digest" ] || return 1
  done < <(sed -nE 's#^ *".*/([^/"]+/(text|questions\.jsonl))": "([0-9a-f]+)",?$#\1 \3#p' "$1/inputs.json")
}

# finetune: every model of $rows.
finetune() {
  train speechbert joint
  taken_over cascade || train cascade text_bert
  taken_over cascade_again || train_again cascade text_bert
  if [ -n "$mini" ]; then return; fi
  train speechbert_no_mlm audio_words speechbert
  train speechbert_all joint speechbert
  taken_over text || train text text_bert
  if ! taken_over text_cascade; then
    run_queue
    train text_cascade text cascade
  fi
}

# train_again NAME START: another training of the same conf, of other random numbers: NAME_again.
train_again() {
  local seed
  for seed in $seeds; do
    queue atat train --config "$confs/$1.yaml" --out "$exp/$1_again/seed$seed" --seed $((seed + 100)) \
      --init "$exp/$2/seed$seed/model"
  done
}

# answer NAME SET MODEL ...: queues $exp/NAME/seed1/answer_SET, ...: what the models say together. In a miniature
# processes of their own would only load torch once more.
answer() {
  local seed model models jobs=$nj
  [ -z "$mini" ] || jobs=1
  for seed in $seeds; do
    models=()
    for model in "${@:3}"; do models+=(--model "$exp/$model/seed$seed/model"); done
    in_turn atat answer "${models[@]}" --data "$data/$2" --nj "$jobs" \
      --max_lost "$max_lost" --out "$exp/$1/seed$seed/answer_$2"
  done
}

# score_row NAME SET ...: scores what `answer` with the same arguments has made.
score_row() {
  local seed
  for seed in $seeds; do
    atat score_answers --data "$data/$2" --spoken "$data/test_reference" \
      --decoded "$exp/$1/seed$seed/answer_$2"
  done
}

# beside_the_other: with --encoder the table of both kinds of features, with --speech that of what the
# autoencoder has heard, once both were run.
beside_the_other() {
  local file
  if [ -n "$encoder" ]; then
    if [ "$mfcc_exp" = "$exp" ] || [ ! -d "$mfcc_exp/speechbert" ]; then return; fi
    table conf/features.yaml "$(table_file "${results/RESULTS/RESULTS.features}")" mfcc "$mfcc_exp"
  elif ((${#people[@]} > 0)) && [ "$plain_exp" != "$exp" ] && [ -d "$plain_exp/speechbert" ]; then
    file=${results/RESULTS/RESULTS.heard}
    table conf/people.yaml "$(table_file "${file%.people.md}.md")" plain "$plain_exp"
  fi
}
