"""Every row of a recipe's table is trained, decoded and scored by its run.sh.

Recipes run whole with an `atat` and a `python` that only note how they were called: no corpus, no
model. Of egs/synthetic_tts see test_synthetic_tts_experiments.py.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from atat.base import config, digests, encoder_files
from atat.engine import registry
from atat.prepare import conf_copy
from atat.scoring.results_settings import Report

ROOT = Path(__file__).resolve().parent.parent
ENCODER = "moonshine-tiny"
SPOKEN = ("train_espeak", "dev_espeak", "test_flite")
PRETRAINED = ["--slu", "/s", "--dev_slu", "/ds", "--asr", "/a", "--dev_asr", "/da"]
TOP = ["--corpus", "/c", "--stop", "/s", "--conf", "cpu", "--pretrain_data", "made"]
# The recipe, options with which all of its rows are run, and its filled table. Of these some rows
# are run over an encoder alone ...
OVER_ENCODER = [
    (
        "barista",
        ["--corpus", "/c", "--speechocean", "/s", "--top", "/t", "--encoder", ENCODER],
        f"exp_{ENCODER}/results.yaml",
    ),
    ("top", [*TOP, "--encoder", ENCODER], f"exp_{ENCODER}/cpu/results.yaml"),
]
# ... of these none.
RECIPES = [
    (
        "fluentspeech",
        ["--corpus", "/c", "--init", "model", "--subsets_10", "2", "--subsets_1", "2"],
        "exp/results.yaml",
    ),
    (
        "fluentspeech",
        ["--corpus", "/c", "--init", "model", "--split", "unseen"],
        "exp/unseen/results_resplit.yaml",
    ),
    ("snips", ["--corpus", "/c", "--init", "model"], "exp/folds5/results.yaml"),
    ("snips_nlu", ["--corpus", "/c", "--init", "model"], "exp/results.yaml"),
    ("librispeech", ["--corpus", "/c"], "exp/train/results.yaml"),
    ("pretrain", PRETRAINED, "exp/results.yaml"),
]
# Those of which frames are counted and nothing is decoded, so that no features are made.
OF_FRAMES = [
    (
        "acoustic",
        ["--speechocean", "/s", "--speak_text", "/t", "--librispeech", "/l", "--textgrids", "/g"],
        "exp/results.yaml",
    ),
]
# What further runs have besides, where one run makes some of the rows only.
RECOGNISERS = ["--recognisers", "pocketsphinx moonshine google"]
SYSTEMS = [
    ["--system", "lugosch"],
    ["--system", "distill"],
    ["--system", "stbert", "--init", "", "--pairs", "pairs"],
    ["--system", "cascade", "--init", "", "--corpus", "corpus", *RECOGNISERS],
]
FURTHER_RUNS = {  # by recipe and table
    ("fluentspeech", "exp/results.yaml"): SYSTEMS,
    ("fluentspeech", "exp/unseen/results_resplit.yaml"): SYSTEMS,
    ("fluentspeech", "exp/results_distill.yaml"): SYSTEMS[:1],
    ("snips", "exp/folds5/results.yaml"): [
        ["--system", "lugosch"],
        ["--system", "stbert", "--init", "", "--pairs", "pairs", "--acoustic_model", "model"],
    ],
    ("snips_nlu", "exp/results.yaml"): [SYSTEMS[0], SYSTEMS[2]],
    ("librispeech", "exp/train/results.yaml"): [
        ["--models", "acoustic"],
        ["--recognisers", "pocketsphinx moonshine"],
    ],
}
# A run with a table of its own, which takes no encoder.
STUDENTS = (
    "fluentspeech",
    [*RECIPES[0][1], "--system", "distill", "--students", "all"],
    "exp/results_distill.yaml",
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The recipes and what they share, without programs; files that these would have made."""
    for name in ("egs", "utils"):
        shutil.copytree(
            ROOT / name,
            tmp_path / name,
            ignore=shutil.ignore_patterns("data*", "exp", "exp_*", "wavs", "lfb", "bench"),
        )
    # A line is written at once: several programs run side by side.
    note = f'echo "$line" >>"{tmp_path}/calls"'
    programs = {
        "tools/install.sh": "",
        "venv/bin/python": f'line=$(printf "%s\\t" "$@"); {note}\n',
        "venv/bin/atat": '[ "$1" != in_turn ] || exec xargs -0 -n 1 bash -c\n'
        f'line=$(printf "%s\\t" "atat $1" "${{@:2}}"); {note}\n',
    }
    for name, body in programs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}")
        (tmp_path / name).chmod(0o755)
    sets = [f"data/{part}_{kind}\n" for part in ("dev", "test") for kind in ("clean", "other")]
    made = {
        "model/config.yaml": "",
        "model/SHA256SUMS": "",
        "made/train_music/feats.scp": "",
        "pairs/utt2spk": "",
        "corpus/gcloud_transcription.csv": "",
    }
    for data in ("data", f"data_{ENCODER}"):
        made |= {
            f"egs/top/{data}/tts_test/engine": "flite\n",
            **{f"egs/acoustic/{data}/spoken/{name}/text": "" for name in SPOKEN},
            f"egs/librispeech/{data}/train/train_dirs": f"{data}/train_clean_100\n",
            f"egs/librispeech/{data}/train/eval_dirs": "".join(sets).replace("data/", f"{data}/"),
        }
    for name, text in made.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run(clone: Path, recipe: str, options: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [f"egs/{recipe}/run.sh", "--ngpu", "0", "--nj", "2", "--seeds", "3 4", *options],
        cwd=clone,
        capture_output=True,
        text=True,
        env={**os.environ, "ATAT_VENV": str(clone / "venv")},
    )


def called(clone: Path, recipe: str, options: list[str]) -> list[dict[str, str]]:
    """What the recipe has called so far: the module, and the value of each of its options."""
    done = run(clone, recipe, options)
    assert done.returncode == 0, done.stderr
    calls = []
    for line in (clone / "calls").read_text().splitlines():
        words = line.rstrip("\t").split("\t")
        module = words[1] if words[0] == "-m" else words[0]
        calls.append(
            {
                "program": module,
                **{
                    word: value
                    for word, value in zip(words, [*words[1:], ""])
                    if word.startswith("--")
                },
            }
        )
    return calls


@pytest.mark.parametrize(
    ("recipe", "options", "table"),
    [*OVER_ENCODER, *RECIPES, *OF_FRAMES, STUDENTS],
    ids=lambda value: str(value)[:20],
)
def test_every_row_is_decoded_of_a_model_that_is_trained(
    clone: Path, recipe: str, options: list[str], table: str
) -> None:
    calls = called(clone, recipe, options)
    end = options.index("--system") if "--system" in options else len(options)
    for further in FURTHER_RUNS.get((recipe, table), []):
        calls = called(clone, recipe, [*options[:end], *further])  # with those of the runs before
    trained = {call["--out"] for call in calls if call["program"] == "atat train"}
    frames = {call["--out"]: call for call in calls if call["program"] == "atat frames"}
    decoded = {call["--out"]: call for call in calls if "/decode_" in call.get("--out", "")}
    scored = {call["--decoded"]: call for call in calls if call["program"] == "atat score"}
    assert scored.keys() <= decoded.keys()
    for call in decoded.values():
        if call["program"] == "atat decode":
            assert scored[call["--out"]]["--data"] == call["--data"]
            assert call["--model"].removesuffix("/model") in trained
    assert {call["--model"].removesuffix("/model") for call in frames.values()} <= trained
    report = config.load(clone / "egs" / recipe / table, Report)
    found: set[str] = set()
    for part in report.tables:
        for row in part.rows:
            for condition in part.conditions.values() or [""]:
                pattern = row.decoded.replace("{condition}", condition).replace("{seed}", "*")
                matches = {folder for folder in {**decoded, **frames} if fnmatch(folder, pattern)}
                assert matches or not row.decoded, pattern
                found |= matches
    # Nothing is decoded in vain.
    assert {out for out, call in decoded.items() if call["program"] == "atat decode"} <= found
    assert frames.keys() <= found
    for call in calls:
        start = call.get("--init", "")
        once = "/stbert_pretrain" in start and "dapt" not in start  # for all seeds
        if call["program"] == "atat train" and "/seed3/" in start and not once:
            assert call["--out"].endswith("seed3")


@pytest.mark.skipif(not encoder_files.is_here(ENCODER), reason=f"needs: atat encoder get {ENCODER}")
@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        *((recipe, options) for recipe, options, _ in OVER_ENCODER),
        ("fluentspeech", [*RECIPES[0][1], "--encoder", ENCODER]),
        ("pretrain", [*PRETRAINED, "--encoder", ENCODER]),
    ],
    ids=lambda value: str(value)[:20],
)
def test_confs_over_an_encoder_can_be_read(
    clone: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, options: list[str]
) -> None:
    assert run(clone, recipe, options).returncode == 0
    monkeypatch.chdir(clone / "egs" / recipe)
    read = set()
    for line in (clone / "calls").read_text().splitlines():
        program, *words = line.rstrip("\t").split("\t")
        if program == "atat conf_copy" and Path(words[0]).is_file():
            conf_copy.main(words)
            read |= set(Path(words[words.index("--out") + 1]).rglob("*.yaml"))
    assert read
    for conf in read:
        _, settings = registry.load_settings(conf)
        assert conf.stem == "nlu" or f"pretrained: {ENCODER}" in conf.read_text()


@pytest.mark.parametrize(
    "options, folder",
    [
        ([], "exp/small"),
        (["--bert", "minilm-l6"], "exp/small_minilm-l6"),
        (["--speech", "/h"], "exp/small_people"),
        (["--corpus", "/c"], "exp/paper"),
    ],
    ids=["generated", "pretrained", "people", "corpus"],
)
def test_every_row_of_answers_is_of_models_that_are_trained(
    clone: Path, options: list[str], folder: str
) -> None:
    calls = called(clone, "spoken_squad", options)
    trained = {call["--out"]: call for call in calls if call["program"] == "atat train"}
    answered = {call["--out"]: call for call in calls if call["program"] == "atat answer"}
    scored = {call["--decoded"]: call for call in calls if call["program"] == "atat score_answers"}
    in_noise = 0 if "--corpus" in options else 4  # this corpus has no such versions of the test
    assert scored.keys() == answered.keys() and len(answered) == 2 * (11 + in_noise)
    for out, call in answered.items():
        assert scored[out]["--data"] == call["--data"] and call["--data"].endswith(
            out.rpartition("answer_")[2]
        )
        assert call["--model"].removesuffix("/model") in trained
        assert ("seed3" in out) == ("seed3" in call["--model"])
    for out, call in trained.items():
        start = call.get("--init", "").removesuffix("/model")
        assert start in trained or (not start and "/text_bert/" in out), out
        assert ("seed3" in out) == ("seed3" in start) or not start
        assert (clone / "egs/spoken_squad/conf" / Path(call["--config"]).name).is_file()
    again = [call["--seed"] for out, call in trained.items() if "/cascade_again/" in out]
    assert sorted(again) == ["103", "104"]  # other random numbers than the cascade beside it
    report = config.load(clone / "egs/spoken_squad" / folder / "results.yaml", Report)
    found: set[str] = set()
    for part in report.tables:
        for row in part.rows:
            for condition in part.conditions.values() or ["found"]:
                pattern = row.decoded.replace("{condition}", condition).rpartition("/")[0]
                matches = {out for out in answered if fnmatch(out, pattern)}
                assert matches or not row.decoded or ("WER" in pattern and not in_noise), pattern
                found |= matches
    assert found == answered.keys()


@pytest.mark.parametrize(
    ("options", "folder", "conf"),
    [
        (["--encoder", "moonshine-tiny"], "small_minilm-l6_moonshine-tiny", "features.yaml"),
        (["--speech", "/h"], "small_minilm-l6_people", "people.yaml"),
    ],
    ids=["states", "people"],
)
def test_what_is_heard_otherwise_is_compared_once_both_were_run(
    clone: Path, options: list[str], folder: str, conf: str
) -> None:
    plain = ["--bert", "minilm-l6"]
    called(clone, "spoken_squad", plain)
    exp = clone / "egs/spoken_squad/exp"
    readers = ("text_bert", "cascade", "cascade_again", "text", "text_cascade")
    (exp / "small_minilm-l6/speechbert").mkdir(parents=True)  # as the training leaves it
    for name, seed in itertools.product(readers, "34"):
        (exp / f"small_minilm-l6/{name}/seed{seed}/model").mkdir(parents=True)
        (exp / f"small_minilm-l6/{name}/seed{seed}/train.json").write_text("{}")
    calls = called(clone, "spoken_squad", [*plain, *options])
    answered = {call["--out"] for call in calls if call["program"] == "atat answer"}
    trained = [call["--out"] for call in calls if call["program"] == "atat train"]
    # Models that read are taken over.
    again = {Path(out).parts[2] for out in trained if folder in out}
    assert again == {
        "audio_words",
        "joint",
        *(f"speechbert{end}" for end in ("", "_no_mlm", "_all")),
    }
    assert (exp / folder / "cascade/seed4/model").is_dir()
    (table,) = config.load(exp / folder / conf, Report).tables
    for row in table.rows:
        for condition in table.conditions.values():
            pattern = row.decoded.replace("{condition}", condition)
            assert [out for out in answered if fnmatch(f"{out}/{condition}", pattern)], pattern


def test_models_that_have_read_other_words_are_not_taken_over(clone: Path) -> None:
    """Not even where an earlier run did: they were trained again since, on others."""
    plain, exp = ("egs/spoken_squad/exp/small", "egs/spoken_squad/exp/small_people")
    made = {f"{plain}/{name}/seed3": "" for name in ("text_bert", "cascade", "text")}
    for name in made:
        (clone / name / "model").mkdir(parents=True)
        (clone / name / "train.json").write_text("{}")
    text = clone / "egs/spoken_squad/data/small/train_asr/text"
    text.parent.mkdir(parents=True)
    text.write_text("a b c\n")

    def trained(digest: str) -> set[str]:
        inputs = {"data/small/train_asr/utt2spk": "0" * 16, "data/small/train_asr/text": digest}
        (clone / f"{plain}/cascade/seed3/inputs.json").write_text(json.dumps(inputs, indent=1))
        (clone / "calls").unlink(missing_ok=True)
        options = ["--speech", "/h", "--seeds", "3", "--stage", "6", "--stop_stage", "7"]
        calls = called(clone, "spoken_squad", options)
        return {Path(call["--out"]).parts[2] for call in calls if call["program"] == "atat train"}

    heard = {"audio_words", "joint", "speechbert", "speechbert_no_mlm", "speechbert_all"}
    without = {"cascade_again", "text_cascade"}  # the plain run has not come to these
    assert trained(digests.of_file(text)[:16]) == heard | without
    assert (clone / exp / "cascade/seed3/model").is_symlink()
    assert trained("1" * 16) == heard | without | {"cascade"}
    assert not (clone / exp / "cascade/seed3/model").is_symlink()
    assert (clone / exp / "text/seed3/model").is_dir()
    shutil.rmtree(clone / exp / "text")
    (clone / exp / "text").touch()  # no folder can be made there
    done = run(clone, "spoken_squad", ["--speech", "/h", "--seeds", "3", "--stage", "7"])
    assert done.returncode != 0 and "stage 7 " in done.stderr and "failed" in done.stderr


GRAMMAR = ["--grammar", "egs/template/conf/grammar.yaml"]


@pytest.mark.parametrize("name", ["train", "spoken_dev", "grammar"])
def test_only_data_dirs_are_removed_and_made_anew(clone: Path, name: str) -> None:
    mine = clone / "mine" / name / "a.wav"
    mine.parent.mkdir(parents=True)
    mine.touch()
    (clone / "u.csv").touch()
    for given in (GRAMMAR, ["--csv", "u.csv"]):
        done = run(clone, "template", [*given, "--data", "mine"])
        assert done.returncode == 2 and f"mine/{name} is no data dir" in done.stderr
        assert mine.is_file() and not (clone / "calls").exists()
    mine.unlink()
    (mine.parent / ".new").mkdir()  # a killed run has begun it
    assert run(clone, "template", [*GRAMMAR, "--data", "mine"]).returncode == 0
    mine.parent.mkdir(exist_ok=True)
    (mine.parent / "utt2spk").touch()
    done = run(clone, "template", [*GRAMMAR, "--data", "mine", "--stage", "0"])
    assert done.returncode == 0 and mine.parent.exists() == (name != "train")


def test_a_table_of_nothing_is_not_written(clone: Path) -> None:
    """What another run has made of the data since has no list of what can be decoded."""
    (clone / "u.csv").touch()
    done = run(clone, "template", ["--csv", "u.csv", "--stage", "9"])
    assert done.returncode != 0 and "data/decodings is missing" in done.stderr
    assert not (clone / "calls").exists()


@pytest.mark.parametrize(
    ("ablations", "stems"),
    [
        ("none", {"stbert"}),
        ("dapt", {"stbert", "stbert_dapt"}),
        ("no_text", {"stbert", "stbert_no_text"}),
    ],
)
@pytest.mark.parametrize("recipe", ["fluentspeech", "snips", "snips_nlu"])
def test_only_the_rows_of_st_bert_that_were_asked_for_are_trained(
    clone: Path, recipe: str, ablations: str, stems: set[str]
) -> None:
    options = [
        "--corpus",
        "/c",
        "--system",
        "stbert",
        "--pairs",
        "pairs",
        "--acoustic_model",
        "model",
    ]
    calls = called(clone, recipe, [*options, "--ablations", ablations])
    pretrained = {stem.replace("stbert", "stbert_pretrain") for stem in stems}
    trained = {Path(one["--out"]).parent.name for one in calls if one["program"] == "atat train"}
    assert trained == stems | pretrained
    decoded = {Path(one["--model"]).parts[-3] for one in calls if one["program"] == "atat decode"}
    assert decoded == stems


def test_one_pretraining_may_serve_every_seed(clone: Path) -> None:
    options = ["--corpus", "/c", "--speechocean", "/s", "--top", "/t", "--pretrain_seed", "7"]
    calls = [one for one in called(clone, "barista", options) if one["program"] == "atat train"]
    starts = {call["--out"]: call.get("--init") for call in calls}
    assert [out for out in starts if "/pretrain/" in out] == ["exp/pretrain/seed7"]
    for seed in (3, 4):
        for name in ("zeroshot", "replay", "tts"):
            assert starts[f"exp/{name}/seed{seed}"] == "exp/pretrain/seed7/model"
        assert starts[f"exp/folds/4/seed{seed}"] == f"exp/tts/seed{seed}/model"


def test_other_speech_has_a_set_and_a_table_of_its_own(clone: Path) -> None:
    data = clone / "egs/librispeech/data/train+speech"
    data.mkdir(parents=True)
    (data / "train_dirs").write_text("data/speech1\ndata/speech2\n")
    (data / "eval_dirs").write_text("data/test_other\n")
    options = ["--corpus", "/c", "--speech", "/a", "--speech", "/b", "--conf", "cpu"]
    calls = called(clone, "librispeech", [*options, "--models", "asr"])
    by_program = {call["program"]: call for call in calls}
    assert by_program["atat conf_copy"]["--out"] == "exp/cpu/train+speech/conf"
    assert by_program["atat results"]["--out"] == "RESULTS.cpu.train+speech.md"
    lines = (clone / "calls").read_text()
    assert "\t--speech\tdata/speech1\tdata/speech2\t" in lines
    for name, folder in (("speech1", "/a"), ("speech2", "/b")):
        assert f"datadir\tcombine\tdata/{name}\t{folder}\t\n" in lines


def test_spoken_sentences_have_folders_and_a_table_of_their_own(clone: Path) -> None:
    """Of a run over an encoder, too; its speech is the same."""
    options = ["--corpus", "/c", "--speak", "--speak_limit", "9 5 7", "--subsets_1", "1"]
    for more in ([], ["--encoder", ENCODER], ["--system", "lugosch"]):
        calls = called(clone, "fluentspeech", [*options, *more])
        (clone / "calls").unlink()
        end = f"_spoken_{ENCODER}" if ENCODER in more else "_spoken"
        prepared = next(call for call in calls if call["program"] == "local/prepare_spoken.py")
        assert (prepared["--limit"], prepared["--out"]) == ("9", f"data{end}")
        spoken = next(call for call in calls if call["program"] == "atat synthesis")
        assert spoken["--data"] == f"data{end}/train" and spoken["--wavs"] == "data_spoken/wavs"
        table = next(call for call in calls if call["program"] == "atat results")
        name = f".{ENCODER}" if ENCODER in more else ""
        assert table["--out"] == f"RESULTS.spoken{name}.md"
        assert "Synthetic voices" in table["--title_note"]
        for call in calls:
            if call["program"] == "atat train":
                assert call["--out"].startswith(f"exp{end}/")
            assert call["program"] not in ("local/prepare_fluentspeech.py", "atat align")


@pytest.mark.parametrize("encoder", ["", "moonshine-tiny"])
def test_the_miniature_of_barista_decodes_models_that_it_trains(clone: Path, encoder: str) -> None:
    """A part of what a full run decodes; nothing outside of its folders is touched."""
    options = ["--encoder", encoder] if encoder else []
    calls = called(clone, "barista", ["--mini", *options])
    end = f"_mini{encoder and '_'}{encoder}"
    trained = {call["--out"] for call in calls if call["program"] == "atat train"}
    decoded = [call for call in calls if call["program"] == "atat decode"]
    scored = {call["--decoded"] for call in calls if call["program"] == "atat score"}
    assert decoded and {call["--out"] for call in decoded} <= scored
    assert {call["--model"].removesuffix("/model") for call in decoded} < trained
    assert all(out.startswith(f"exp{end}/") for out in trained)
    assert any("--bridge" in call for call in decoded) == bool(encoder)
    for call in calls:
        if call["program"] == "atat features":
            assert call["--data"].startswith(f"data{end}/")
        assert call.get("--wavs", "data_mini/").startswith("data_mini/")


@pytest.mark.parametrize(
    "recipe, options, table", [*OVER_ENCODER, *RECIPES], ids=lambda value: str(value)[:20]
)
def test_an_encoder_reaches_every_command_that_needs_it(
    clone: Path, recipe: str, options: list[str], table: str
) -> None:
    """Before anything else it is looked for, and the model to start from is asked for its own."""
    options = [*options, *(["--encoder", ENCODER] if ENCODER not in options else [])]
    calls = called(clone, recipe, options)
    first = (clone / "calls").read_text().splitlines()[0].split("\t")
    assert first[:4] == ["atat encoder", "check", ENCODER, *first[3:4]]
    start = calls[0].get("--model"), calls[0].get("--data")
    assert start[0] == (f"{clone}/model" if "--init" in options else None)
    assert start[1] == (f"{clone}/made/train_music" if "--pretrain_data" in options else None)
    features = [call for call in calls if call["program"] == "atat features"]
    confs = [call for call in calls if call["program"] == "atat conf_copy"]
    assert features and confs
    for call in features:
        assert call["--encoder"] == ENCODER and call["--arks"].startswith(f"data_{ENCODER}/")
    for call in confs:
        # The confs of barista's own for states need only its name.
        assert call.get("--encoder") == ENCODER or call["--set"].endswith(f'pretrained="{ENCODER}"')
    for call in calls:
        assert call["program"] != "atat synthesis" or ENCODER not in call["--wavs"]
        for option in ("--out", "--config", "--decoded"):
            if option in call:
                folder, _, file = call[option].partition("/")
                assert folder in (f"data_{ENCODER}", f"exp_{ENCODER}") or (
                    not file and folder.endswith(f".{ENCODER}.md")
                ), call
    note = [call["--title_note"] for call in calls if call["program"] == "atat results"]
    assert len(note) == 1 and f"encoder {ENCODER}" in note[0]


@pytest.mark.parametrize(
    ("recipe", "options"),
    [*(one[:2] for one in RECIPES), ("top", TOP)],
    ids=lambda value: str(value)[:20],
)
def test_without_an_encoder_all_is_lfb(clone: Path, recipe: str, options: list[str]) -> None:
    called(clone, recipe, [*options, "--encoder", "none"])
    explicit = (clone / "calls").read_text()
    (clone / "calls").unlink()
    shutil.rmtree(clone / "egs" / recipe / "exp")
    called(clone, recipe, options)
    # Trainings side by side come in any order.
    assert sorted((clone / "calls").read_text().splitlines()) == sorted(explicit.splitlines())
    assert "moonshine" not in explicit and "--encoder\t" not in explicit


FLUENT, STBERT = ["--corpus", "/c"], ["--corpus", "/c", "--system", "stbert"]


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        (
            "fluentspeech",
            [*FLUENT, "--init", "stbert"],
            "a model of the system stbert",
        ),
        ("fluentspeech", [*STBERT, "--init", "joint"], "a model of the system joint"),
        (
            "fluentspeech",
            [*STBERT, "--acoustic_model", "joint"],
            "one of the system lugosch",
        ),
        ("fluentspeech", [*STBERT, "--pairs", "made"], "made: no data dir (there is no utt2spk)"),
        (
            "fluentspeech",
            [*FLUENT, "--system", "lugosch", "--acoustic_model", "model"],
            "--acoustic_model is for --system stbert; lugosch does not read it",
        ),
        ("fluentspeech", [*FLUENT, "--pairs", "pairs"], "--pairs is for --system stbert; joint"),
        ("fluentspeech", [*FLUENT, "--bert", "minilm-l6"], "--bert is for --system stbert"),
        ("fluentspeech", [*FLUENT, "--students", "all"], "--students are of --system distill"),
        (
            "fluentspeech",
            [*FLUENT, "--system", "distill", "--ablations", "none"],
            "--ablations is for --system stbert; distill does not read it",
        ),
        ("fluentspeech", ["--mini", *STBERT[2:], "--pretrain_steps", "9"], "for a few steps"),
        ("snips", [*FLUENT, "--pretrain_batch", "9"], "--pretrain_batch is for --system stbert"),
        ("spoken_squad", [*FLUENT, "--asr", "moonshine"], "--asr is for the generated corpus"),
        ("spoken_squad", ["--limit", "100"], "--limit wants two numbers"),
        ("spoken_squad", ["--limit", "1 2 3"], "--limit wants two numbers"),
        ("acoustic", ["--mini", "--speak_text", "/t"], "--mini speaks sentences of its own"),
        ("synthetic_tts", ["--mini", "--size", "full"], "--mini is --size mini"),
        (
            "template",
            ["--grammar", "egs/template/conf/grammar.yaml", "--conf", "typo"],
            "conf/typo.yaml; expected cpu, gpu",
        ),
        ("fluentspeech", [*FLUENT, "--speak_limit", "9"], "--speak_limit is for --speak"),
        (
            "fluentspeech",
            [*FLUENT, "--system", "cascade", "--recognisers", "google"],
            "no /c/gcloud_transcription.csv",
        ),
        ("snips", [*FLUENT, "--system", "lugosch", "--init", "joint"], "of the system lugosch"),
        ("snips_nlu", [*FLUENT, "--init", "stbert"], "expected one of the system joint"),
        ("top", [*FLUENT, "--init", "stbert"], "expected one of the system joint"),
        ("top", [*FLUENT, "--init", "joint"], "joint: has learned nothing of text"),
        ("top", [*FLUENT, "--audio_csv", "x"], "--audio_csv says what is in --audio; give both"),
        ("top", [*FLUENT, "--librispeech_text", "x"], "--librispeech_text is read in pretraining"),
        ("top", [*TOP, "--librispeech_text", "x"], "x: no such file"),
        (
            "top",
            [*TOP, "--init", "model"],
            "--pretrain_data is for a model that is pretrained here",
        ),
        ("librispeech", [*FLUENT, "--alignments", "gone"], "gone: no such folder"),
        (
            "librispeech",
            [*FLUENT, "--models", "acoustic", "--encoder", ENCODER],
            "--encoder: acoustic reads recordings, no states",
        ),
        ("synthetic_tts", ["--embeddings", "gone"], "gone: no such file"),
        ("synthetic_tts", ["--embeddings", "model/SHA256SUMS"], "are of --experiments full_music"),
        ("synthetic_tts", ["--bert", "minilm-l6"], "--bert is of --experiments ablations"),
        ("pretrain", ["--mini", "--slu", "/c"], "--mini makes its own data dirs"),
        ("barista", ["--mini", "--folds", "1"], "--folds wants at least 2"),
        ("barista", ["--mini", "--snrs", "6 100"], "18 21 24; found '100'"),
        ("top", [*TOP, "--encoder", "my encoder"], "the name 'my encoder' has a blank"),
    ],
)
def test_what_would_end_a_run_hours_later_or_do_nothing_is_refused_at_once(
    clone: Path, recipe: str, options: list[str], message: str
) -> None:
    for name, tasks in (("joint", ["slu"]), ("stbert", ["intent"])):
        (clone / name).mkdir()
        (clone / name / "SHA256SUMS").touch()
        rows = ["version: 1", f"system: {name}", "tasks:", *(f"- {task}" for task in tasks)]
        (clone / name / "config.yaml").write_text("\n".join(rows) + "\n")
    done = run(clone, recipe, options)
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert "=== stage" not in done.stdout


def test_a_recogniser_is_looked_for_at_once(clone: Path) -> None:
    called(clone, "librispeech", ["--corpus", "/c", "--recognisers", "moonshine"])
    first = (clone / "calls").read_text().splitlines()[0].split("\t")
    assert first[:3] == ["atat encoder", "check", ENCODER]
