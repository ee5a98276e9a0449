"""The SNIPS NLU recipe's local commands: sets, voices, trees, intents alone, what is refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from atat.base.errors import InputError
from atat.datadir import kaldi_dir, licence, tables
from atat.datadir.corpus_snips_nlu import TRAIN, VALIDATE, read_snips_nlu
from atat.text import trees
from atat.text.trees import to_string

LOCAL = Path(__file__).resolve().parent.parent / "egs" / "snips_nlu" / "local"
SETS = ("train", "dev", "test")


@pytest.fixture
def corpus(local: Any, tmp_path: Path) -> Path:
    local("make_mini").main(["--out", str(tmp_path / "corpus")])
    return tmp_path / "corpus"


def prepare(local: Any, corpus: Path, *options: str) -> Path:
    out = corpus.parent / "data"
    local("prepare_snips_nlu").main(["--corpus", str(corpus), "--out", str(out), *options])
    return out


def test_the_miniature_is_read_back(local: Any, corpus: Path) -> None:
    rows = read_snips_nlu(corpus, TRAIN) + read_snips_nlu(corpus, VALIDATE)
    found = {to_string(row.tree): row.raw for row in rows}
    make_mini = local("make_mini")
    made = [one for two in make_mini.TEMPLATES.values() for each in two for one in [each]]
    assert len(found) == sum(len(make_mini.sentences(template)) for template in made)
    # Of the file in Latin-1; signs go, digits become words.
    assert "[IN:PLAY_MUSIC put on some [SL:ARTIST andré lind ] please ]" in found
    tree = "[IN:RATE_BOOK give [SL:OBJECT_NAME winter light ] [SL:RATING_VALUE four ] points ]"
    assert found[tree] == "Give Winter Light 4 points"


def test_data_dirs_have_the_licence_of_the_corpus(local: Any, corpus: Path) -> None:
    assert licence.of(prepare(local, corpus) / "train") == licence.OWN  # the miniature is ours
    (corpus / licence.NAME).unlink()
    assert licence.of(prepare(local, corpus) / "train") == "SNIPS NLU: CC0"


def test_sets_are_disjoint_and_whole(local: Any, corpus: Path) -> None:
    data = prepare(local, corpus)
    parts = {name: tables.read_table(data / name / "semantics") for name in SETS}
    said = [tree for part in parts.values() for tree in part.values()]
    assert len(said) == len(set(said)) == 46
    test = {to_string(row.tree) for row in read_snips_nlu(corpus, VALIDATE)}
    assert set(parts["test"].values()) == test
    # A tenth of each intent's rows at most, and no more than are tested.
    assert Counter(trees.parse(tree).label for tree in parts["dev"].values()) == {
        "IN:GET_WEATHER": 1,
        "IN:PLAY_MUSIC": 1,
        "IN:RATE_BOOK": 1,
    }
    for name in SETS:
        texts = tables.read_table(data / name / "text")
        assert {
            key: " ".join(trees.words(trees.parse(tree))) for key, tree in parts[name].items()
        } == texts


def test_voices_are_disjoint_and_drawn_by_a_seed(
    local: Any, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from atat.prepare import synthesis

    monkeypatch.setattr(synthesis, "available", lambda engine: None)
    data = prepare(local, corpus)
    names = {}
    for name in SETS:
        voices = tables.read_table(data / name / "spk2voice")
        assert voices.keys() == set(tables.read_table(data / name / "utt2spk").values())
        names[name] = {voice.split(":")[1].rpartition("+")[2] for voice in voices.values()}
        engines = {voice.split(":")[0] for voice in voices.values()}
        assert engines == ({"flite"} if name == "test" else engines - {"flite"})
    assert not names["train"] & names["dev"] | (names["train"] | names["dev"]) & names["test"]
    before = tables.read_table(data / "train" / "utt2spk")
    prepare(local, corpus)
    assert tables.read_table(data / "train" / "utt2spk") == before
    prepare(local, corpus, "--seed", "2")
    assert tables.read_table(data / "train" / "utt2spk") != before


def test_a_limit_keeps_the_share_of_each_intent(local: Any, corpus: Path) -> None:
    whole = Counter(row.intent for row in read_snips_nlu(corpus, TRAIN))
    data = prepare(local, corpus, "--limit", "20", "2", "0")
    sizes = [len(tables.read_table(data / name / "text")) for name in SETS]
    assert sizes == [20, 2, 6]
    left = Counter(key.split("-")[-2] for key in tables.read_table(data / "train" / "text"))
    for intent, count in whole.items():
        share = 20 * (count - 1) / (sum(whole.values()) - 3)
        assert abs(left[intent] - share) < 1, intent
    with pytest.raises(InputError, match="expected one number or three"):
        prepare(local, corpus, "--limit", "20", "2")


def test_the_size_of_a_part_is_said(
    local: Any, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(local, corpus)
    assert "37 sentences of 3 intents (13084 in the benchmark)" in capsys.readouterr().out


def test_the_benchmark_has_its_published_sizes(local: Any, data_root: Path, tmp_path: Path) -> None:
    program = local("prepare_snips_nlu")
    test = read_snips_nlu(data_root / "snips_nlu_text", VALIDATE)
    tested = Counter(row.intent for row in test)
    assert set(tested.values()) == {100} and len(tested) == 7
    parts = program.split(read_snips_nlu(data_root / "snips_nlu_text", TRAIN), tested, 1)
    assert {name: len(rows) for name, rows in {**parts, "test": test}.items()} == program.PUBLISHED
    assert Counter(row.intent for row in parts["dev"]) == tested


def test_classifiers_learn_the_intent_alone(local: Any, corpus: Path) -> None:
    data = prepare(local, corpus) / "test"
    local("intents").main(["--data", str(data)])
    alone, whole = (kaldi_dir.load(folder) for folder in (data.with_name("test_intent"), data))
    assert [(one.id, one.text) for one in alone] == [(one.id, one.text) for one in whole]
    for one, other in zip(alone, whole):
        assert one.semantics == f"[{trees.parse(other.semantics or '').label} ]"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"PlayMusic": [{"data": [{"text": " . "}]}]}, "utterance 1 has no words"),
        ({"PlayMusic": [{"text": "Play"}]}, "utterance 1: expected the form"),
        ({"PlayMusic": [{"data": [{"text": 5}]}]}, "utterance 1: expected the form"),
        ({"PlayMusic": [{"data": [{"text": "a", "entity": 5}]}]}, "utterance 1: expected the form"),
        ({"Other": []}, "expected the key 'PlayMusic'"),
    ],
)
def test_files_of_another_form_are_named(
    local: Any, corpus: Path, content: dict[str, Any], message: str
) -> None:
    path = corpus / "PlayMusic" / "train_PlayMusic_full.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"train_PlayMusic_full.json: {message}"):
        prepare(local, corpus)


def test_another_folder_is_refused_with_what_to_get(local: Any, corpus: Path) -> None:
    for wrong in (corpus.parent, corpus / "nothing"):
        with pytest.raises(InputError, match=f"--corpus {wrong}: no <Intent>/.*nlu-benchmark"):
            prepare(local, wrong)


def test_too_few_sentences_are_refused(local: Any, corpus: Path) -> None:
    for path in corpus.glob("*/train_*_full.json"):
        content = json.loads(path.read_bytes().decode("latin-1"))
        path.write_text(json.dumps({path.parent.name: content[path.parent.name][:5]}))
    with pytest.raises(InputError, match="too few sentences: none is left for dev"):
        prepare(local, corpus)
