"""`atat cast`: which sentences are read, which are spoken, and by whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from atat.base.errors import InputError
from atat.datadir import kaldi_dir, tables
from atat.datadir.kaldi_dir import Utterance
from atat.prepare import spoken, synthesis

VOICES = """
train: [{engine: espeak, voices: [f1, m1, f2]}]
dev: [{engine: espeak, voices: [f3]}]
test: [{engine: espeak, voices: [m4, m5]}]
"""


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesis, "available", lambda engine: None)


def make(tmp_path: Path, number: int, sentences: int) -> Path:
    """`number` utterances of so many different sentences."""
    (tmp_path / "voices.yaml").write_text(VOICES)
    kaldi_dir.write(
        tmp_path / "grammar",
        [
            Utterance(f"grammar-{n:03d}", "grammar", text=f"say w{n % sentences}", semantics=tree)
            for n in range(number)
            for tree in [f"[IN:SAY say [SL:WORD w{n % sentences} ] ]"]
        ],
    )
    return tmp_path / "grammar"


def said(folder: Path) -> set[str]:
    return {one.text or "" for one in kaldi_dir.load(folder)}


def run(tmp_path: Path, data: Path, out: str, number: int, seed: int = 1) -> Path:
    argv = ["--data", data, "--voices", tmp_path / "voices.yaml", "--out", tmp_path / out]
    spoken.main([*map(str, argv), "--spoken", str(number), "--seed", str(seed)])
    return tmp_path / out


def test_no_sentence_or_voice_of_dev_and_test_is_in_training(tmp_path: Path) -> None:
    out = run(tmp_path, make(tmp_path, 60, 40), "out", 30)
    sets = {part: said(out / f"spoken_{part}") for part in ("train", "dev", "test")}
    assert [len(sets[part]) for part in ("dev", "test")] == [3, 3]
    read = said(out / "sentences")
    assert len(read) == 34 and sets["train"] < read
    assert not read & (sets["dev"] | sets["test"]) and not sets["dev"] & sets["test"]
    voices = {
        part: set(tables.read_table(out / f"spoken_{part}" / "spk2voice").values()) for part in sets
    }
    assert not voices["train"] & (voices["dev"] | voices["test"])


def test_text_and_meaning_stay_together(tmp_path: Path) -> None:
    out = run(tmp_path, make(tmp_path, 40, 40), "out", 20)
    for name in ("sentences", "spoken_train", "spoken_dev", "spoken_test"):
        for one in kaldi_dir.load(out / name):
            word = (one.text or "").split()[1]
            assert one.semantics == f"[IN:SAY say [SL:WORD {word} ] ]"


def test_few_sentences_are_spoken_several_times(tmp_path: Path) -> None:
    out = run(tmp_path, make(tmp_path, 10, 10), "out", 50)
    counts = {name: len(kaldi_dir.load(out / name)) for name in ("sentences", "spoken_train")}
    assert counts == {"sentences": 8, "spoken_train": 50}
    assert said(out / "spoken_train") == said(out / "sentences")


def test_equal_seeds_are_equal_casts(tmp_path: Path) -> None:
    data = make(tmp_path, 40, 40)
    first, again, other = (
        run(tmp_path, data, f"out{n}", 20, seed) / "spoken_train"
        for n, seed in enumerate((1, 1, 2))
    )
    for name in ("text", "utt2spk", "spk2voice"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
    assert (first / "text").read_bytes() != (other / "text").read_bytes()


@pytest.mark.parametrize(("sentences", "number"), [(9, 50), (40, 4)])
def test_too_few_are_refused(tmp_path: Path, sentences: int, number: int) -> None:
    data = make(tmp_path, 40, sentences)
    with pytest.raises(InputError, match=f"{sentences} sentences of which {number} are spoken"):
        run(tmp_path, data, "out", number)


def test_a_sentence_without_a_meaning_is_named(tmp_path: Path) -> None:
    data = make(tmp_path, 20, 20)
    (data / "semantics").unlink()
    with pytest.raises(InputError, match="grammar-000 has no text or no semantics"):
        run(tmp_path, data, "out", 10)


def test_numbers_of_speakers_by_size_and_nothing_without_a_cast(tmp_path: Path) -> None:
    data = make(tmp_path, 40, 40)
    voices = tmp_path / "voices.yaml"
    voices.write_text(VOICES.replace("[f3]", "[f3, m3], speakers: {small: 1, large: 2}"))
    with pytest.raises(InputError, match="`dev.0.`.*a number for each size.*--size: small, large"):
        run(tmp_path, data, "out", 20)
    assert not (tmp_path / "out").exists()
    argv = ["--data", data, "--voices", voices, "--out", tmp_path / "out", "--spoken", "40"]
    spoken.main([*map(str, argv), "--size", "small"])
    assert list(tables.read_table(tmp_path / "out/spoken_dev/spk2voice")) == ["espeak-dev-000"]


def test_sentences_of_two_meanings_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make(tmp_path, 40, 20)
    trees = tables.read_table(data / "semantics")
    run(tmp_path, data, "out", 20)
    assert "several meanings" not in capsys.readouterr().out
    tables.write_table(data / "semantics", {**trees, "grammar-003": "[IN:ASK say w3 ]"})
    run(tmp_path, data, "out", 20)
    assert "1 sentences have several meanings, such as 'say w3'" in capsys.readouterr().out
