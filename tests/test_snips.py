"""The SNIPS recipe's local commands: the miniature is read back, faults are counted, folds hold."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import tiny

from atat.base.errors import InputError
from atat.datadir import kaldi_dir, tables
from atat.scoring.metrics import tree_counts
from atat.speech import audio
from atat.text import trees as semantics

LOCAL = Path(__file__).resolve().parent.parent / "egs" / "snips" / "local"


@pytest.fixture
def corpus(local: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The miniature with short tones for speech."""
    make_mini = local("make_mini")
    monkeypatch.setattr(make_mini, "speak", tiny.tones)
    make_mini.main(["--out", str(tmp_path / "corpus")])
    return tmp_path / "corpus"


def prepare(local: Any, corpus: Path, *options: str) -> Path:
    out = corpus.parent / "data"
    local("prepare_snips").main(
        ["--corpus", str(corpus), "--out", str(out), "--max_lost", "0.05", *options]
    )
    return out


def edit(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_the_miniature_is_read_back_and_each_planted_fault_counted(
    local: Any, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = prepare(local, corpus)
    printed = capsys.readouterr().out
    for name in ("close", "far"):
        utterances = kaldi_dir.load(data / name)
        assert len(utterances) == 50
        for one in utterances:
            tree = semantics.parse(one.semantics or "")
            assert semantics.words(tree) == (one.text or "").split()
            assert one.id.startswith(one.speaker) and Path(one.wav or "").is_file()
        listed = (data / name / "findings.txt").read_text()
        assert "recording that is not there (left out): " in listed and "7.wav" in listed
        assert "sentence without a recording (no loss): make the bedroom darker please" in listed
    for finding in (
        "1  recording that is not there",
        "1  sentence without a recording",
        "1  text with a line break",
        "3  text and sentence differ in case",
        "1  sentence annotated twice, alike",
    ):
        assert printed.count(finding) == 2, finding


def test_a_sentence_becomes_its_intent_with_slots_inside(local: Any, corpus: Path) -> None:
    trees = {one.semantics for one in kaldi_dir.load(prepare(local, corpus) / "close")}
    assert (
        "[IN:SET_LIGHT_BRIGHTNESS change the brightness to [SL:BRIGHTNESS twenty ] percent in "
        "the [SL:ROOM living room ] ]"
    ) in trees
    assert "[IN:SWITCH_LIGHT_ON turn on the lights ]" in trees


def test_em_hyp_asks_for_intent_and_slots_and_em_full_for_the_words_as_well() -> None:
    truth = "[IN:SWITCH_LIGHT_ON light in the [SL:ROOM hall ] ]"
    other_words = tree_counts(truth, "[IN:SWITCH_LIGHT_ON lights in [SL:ROOM hall ] ]")
    assert (other_words["em_hyp"], other_words["em_full"]) == ((1, 1), (0, 1))
    other_slot = tree_counts(truth, "[IN:SWITCH_LIGHT_ON light in the [SL:ROOM wall ] ]")
    assert (other_slot["em_hyp"], other_slot["em_full"]) == ((0, 1), (0, 1))


def test_what_does_not_join_or_cannot_be_heard_is_lost_and_too_much_of_it_stops(
    local: Any, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = corpus / "smart-lights-en-close-field"
    broken = folder / "speech_corpus/audio/1.wav"
    broken.write_bytes(broken.read_bytes()[:2000])
    edit(
        folder / "speech_corpus/metadata.json",
        lambda content: content["0"].update(text="Play some music"),
    )
    edit(folder / "speech_corpus/metadata.json", lambda content: content["3"].pop("worker"))
    with pytest.raises(InputError, match="3 of 51 recordings.*--max_lost 0.05"):
        prepare(local, corpus, "--fields", "close")
    prepare(local, corpus, "--fields", "close", "--max_lost", "0.1")
    printed = capsys.readouterr().out
    for finding in (
        "recording without a sentence",
        "recording that cannot be read",
        "speaker not told",
    ):
        assert f"1  {finding}" in printed
    assert "close-0003" in tables.read_table(corpus.parent / "data/close/utt2spk").values()


def test_recordings_of_another_rate_are_converted(local: Any, corpus: Path) -> None:
    import numpy as np

    path = corpus / "smart-lights-en-far-field/speech_corpus/audio/1.wav"
    audio.save(path, np.zeros(4800, np.float32), 48000)
    data = prepare(local, corpus, "--fields", "far")
    found = [one for one in kaldi_dir.load(data / "far") if one.id.endswith("far-0001")]
    assert len(found) == 1 and len(audio.load(found[0].wav or "")) == 1600
    written = Path(found[0].wav or "").stat().st_mtime_ns
    audio.save(path, np.zeros(9600, np.float32), 48000)  # another one of this name
    os.utime(path, ns=(written + 1, written + 1))
    prepare(local, corpus, "--fields", "far")
    assert len(audio.load(found[0].wav or "")) == 3200


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("dataset.json", '{"intents": ', "dataset.json:1: is no JSON"),
        ("dataset.json", '{"utterances": []}', "no object `intents` at the top; found utterances"),
        ("dataset.json", '{"intents": {"A": {"utterances": ["turn on"]}}}', "A, utterance 0"),
        (
            "speech_corpus/metadata.json",
            '{"0": {"file": "0.wav"}}',
            "entry '0'.*expected .*filename",
        ),
    ],
)
def test_files_of_another_layout_are_named(
    local: Any, corpus: Path, name: str, content: str, message: str
) -> None:
    (corpus / "smart-lights-en-close-field" / name).write_text(content)
    with pytest.raises(InputError, match=message):
        prepare(local, corpus)


def test_the_folder_must_be_the_one_that_holds_both_fields(local: Any, corpus: Path) -> None:
    for wrong in (corpus / "smart-lights-en-close-field", corpus.parent):
        with pytest.raises(InputError, match=f"--corpus {corpus}"):
            prepare(local, wrong)
    (corpus / "smart-lights-en-far-field" / "dataset.json").unlink()
    with pytest.raises(InputError, match="smart-lights-en-far-field/dataset.json"):
        prepare(local, corpus, "--fields", "far")


def test_folds_share_no_sentence_and_leave_none_out(local: Any, corpus: Path) -> None:
    data = prepare(local, corpus)
    tested: dict[str, list[set[str]]] = {}
    for name in ("close", "far"):
        local("make_folds").main(
            ["--data", str(data / name), "--out", str(data / "folds" / name), "--folds", "3"]
        )
        everything = set(tables.read_table(data / name / "text"))
        seen: list[str] = []
        for fold in range(3):
            parts = [
                tables.read_table(data / "folds" / name / str(fold) / part / "text")
                for part in ("train", "dev", "test")
            ]
            assert set().union(*parts) == everything
            texts = [set(part.values()) for part in parts]
            assert not (texts[0] & texts[1] or texts[0] & texts[2] or texts[1] & texts[2])
            seen += parts[2]
            tested.setdefault(name, []).append(texts[2])
        assert sorted(seen) == sorted(everything), "each is tested once"
    assert tested["close"] == tested["far"]


def test_a_sentence_stays_in_its_fold_when_others_come(local: Any, corpus: Path) -> None:
    part_of = local("make_folds").part_of
    sentences = [f"sentence {number}" for number in range(2000)]
    for fold in range(5):
        parts = {one: part_of(one, fold, 5, 0.1) for one in sentences}
        # Binomial: 400 and 160 expected, with standard deviations of 18 and 12.
        assert 320 < list(parts.values()).count("test") < 480
        assert 110 < list(parts.values()).count("dev") < 210
    assert part_of("turn on the lights", 0, 5, 0.1) == "train"  # fixed for good by the hash


def test_the_folds_of_the_mini_run_can_be_trained(local: Any, corpus: Path) -> None:
    """Every tag is in both training parts, else validation would meet an unknown one."""
    data = prepare(local, corpus)
    local("make_folds").main(
        ["--data", str(data / "close"), "--out", str(data / "folds"), "--folds", "2"]
    )
    for fold in ("0", "1"):
        meanings = [
            tables.read_table(data / "folds" / fold / part / "semantics")
            for part in ("train", "dev")
        ]
        train, dev = (
            set().union(*(semantics.tags(semantics.parse(tree)) for tree in table.values()))
            for table in meanings
        )
        assert dev <= train and len(train) == 10
