"""The acoustic recipe's local commands: who is learned from and tested on, and what is spoken."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atat.base.errors import InputError
from atat.datadir import kaldi_dir, tables
from atat.datadir.ctm import Word
from atat.datadir.folds import held_out, is_dev
from atat.prepare import synthesis
from atat.prepare.textgrid import write_textgrid
from atat.speech import audio

LOCAL = Path(__file__).resolve().parent.parent / "egs" / "acoustic" / "local"


def sound(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.save(path, np.sin(np.arange(8000, dtype=np.float32) / 9))
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """speechocean762 in its layout: three speakers to learn from, one to test on."""
    folder = tmp_path / "speechocean762"
    for part, speakers in (("train", ("0001", "0002", "0004")), ("test", ("0003",))):
        rows: dict[str, list[str]] = {"wav.scp": [], "text": [], "utt2spk": []}
        for speaker in speakers:
            for number in range(2):
                key = f"{speaker}{number:05d}"
                wav = sound(folder / "WAVE" / f"SPEAKER{speaker}" / f"{key}.wav")
                rows["wav.scp"].append(f"{key}\t{wav.relative_to(folder)}")
                rows["text"].append(f"{key}\tMARK IS GOING")
                rows["utt2spk"].append(f"{key}\t{speaker}")
        for name, lines in rows.items():
            (folder / part).mkdir(parents=True, exist_ok=True)
            (folder / part / name).write_text("\n".join(sorted(lines)) + "\n")
    return folder


def test_no_speaker_is_in_two_sets(local: Any, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    local("prepare_people").main(["--speechocean", str(corpus), "--out", str(out)])
    names = ("people/train", "people/dev", "test_speechocean")
    found = {name: {u.speaker for u in kaldi_dir.load(out / name)} for name in names}
    assert found["test_speechocean"] == {"so0003"}
    assert len(found["people/dev"]) == 1 and len(found["people/train"]) == 2
    assert not found["people/dev"] & found["people/train"]
    with pytest.raises(InputError, match="expected speechocean762"):
        local("prepare_people").main(["--speechocean", str(tmp_path), "--out", str(out)])


def test_recordings_beside_textgrids_get_the_words_of_these(
    local: Any, corpus: Path, tmp_path: Path
) -> None:
    grids = tmp_path / "grids"
    words, phones = [Word("mark", 0.1, 0.2)], [Word("M", 0.1, 0.1), Word("AA", 0.2, 0.1)]
    for name, listed in (("good", phones), ("without_phones", None)):
        sound(grids / f"{name}.wav")
        write_textgrid(grids / f"{name}.TextGrid", words, 0.5, phones=listed)
    write_textgrid(grids / "silent.TextGrid", words, 0.5, phones=phones)
    options = ["--speechocean", str(corpus), "--out", str(tmp_path / "data")]
    local("prepare_people").main([*options, "--textgrids", str(grids)])
    (one,) = kaldi_dir.load(tmp_path / "data" / "test_textgrids")
    assert (one.id, one.text) == ("good", "mark")
    findings = (tmp_path / "data" / "findings_textgrids.txt").read_text()
    assert "1  TextGrid without a recording" in findings and "no tier called 'phones'" in findings
    shutil.rmtree(grids)
    grids.mkdir()
    with pytest.raises(InputError, match="no NAME.TextGrid with the tiers words and phones"):
        local("prepare_people").main([*options, "--textgrids", str(grids)])


def test_a_corpus_of_which_nothing_can_be_read_is_an_error(
    local: Any, corpus: Path, tmp_path: Path
) -> None:
    grids = tmp_path / "grids"
    phones = [Word("M", 0.1, 0.1)]
    write_textgrid(tmp_path / "grids" / "a.TextGrid", [Word("m", 0.1, 0.1)], 0.5, phones=phones)
    (grids / "a.wav").write_bytes(b"RIFF")
    options = ["--speechocean", str(corpus), "--out", str(tmp_path / "data")]
    with pytest.raises(InputError, match="1 of 1 recordings must be left out"):
        local("prepare_people").main([*options, "--textgrids", str(grids)])


def test_no_sentence_is_in_two_parts(
    local: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthesis, "available", lambda engine: None)
    text = tmp_path / "text"
    letters = "abcdefghijklmnopqrst"
    lines = [f"u{number:03d} Say {letter} twice" for number, letter in enumerate(letters)]
    text.write_text("\n".join([*lines, "u900 say 100 % of it", "u901 " + "too " * 40]) + "\n")
    out = tmp_path / "spoken"
    options = ["--text", str(text), "--out", str(out), "--held_out", "3"]
    local("prepare_spoken").main(options)
    said: dict[str, set[str]] = {}
    for folder in out.iterdir():
        found = tables.read_table(folder / "text")
        said.setdefault(folder.name.split("_")[0], set()).update(found.values())
        assert tables.read_table(folder / "utt2spk").keys() == found.keys()
        voices = tables.read_table(folder / "spk2voice").values()
        assert {voice.split(":")[0] for voice in voices} == {folder.name.split("_")[1]}
    assert {part: len(lines) for part, lines in said.items()} == {"dev": 3, "test": 3, "train": 15}
    whole = set.union(*said.values())
    assert len(whole) == 21 and "too" not in whole and "say a twice" in whole
    # Of another draw nothing stays: its sentences may now be in another part.
    for name in ("train_other", "test_other"):
        shutil.copytree(out / "dev_espeak", out / name)
    (out / "train_notes").mkdir()
    made = {path.name for path in out.iterdir()}
    local("prepare_spoken").main(options)
    assert {path.name for path in out.iterdir()} == made - {"train_other", "test_other"}
    with pytest.raises(InputError, match="only 21 sentences; more than 40 are needed"):
        local("prepare_spoken").main([*options[:4], "--held_out", "20"])


def test_as_many_are_held_out_as_asked_and_at_least_one() -> None:
    names = [f"speaker{number}" for number in range(200)]
    chosen = held_out(names, 0.1)
    assert len(chosen) == 20 and chosen == held_out(names[::-1], 0.1)
    dev = {name for name in names if is_dev(name, 0.1)}
    assert dev <= chosen or chosen <= dev  # both take those with the lowest hashes
    assert len(held_out(["a", "b"], 0.01)) == 1
