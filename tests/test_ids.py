"""Ids: what is no name is refused where it is read, listed by validate, and never names a file."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from atat.base.errors import InputError
from atat.base.files import fields
from atat.datadir import ids, kaldi_dir, tables
from atat.datadir.check import validate
from atat.datadir.repair import apply, plan
from atat.prepare import align, synthesis
from atat.prepare.synthesis_voice import Speech

UNREADABLE = [
    "a\u0085b",
    "a\u00a0b",
    "a\u2028b",
    "a\u3000b",
    "a\x1cb",
    "a\x7fb",
    "a\x00b",
    "a\ufeffb",
]
ELSEWHERE = ["../up", "a/b", "/absolute", "..", ".", "a/../b"]
SOUND = ["anna-001", "3.14", "...", "a..b", "señor_日本-1", "<x>&'\"|;$(rm)", "-f", "~"]


def data_dir(folder: Path, utterance: str, speaker: str) -> Path:
    """Two utterances with text and voices, one of them called as given; written as bytes are."""
    folder.mkdir()
    rows = sorted([(utterance, speaker), ("zoe-1", "zoe")])
    files = {
        "utt2spk": [f"{utt} {spk}" for utt, spk in rows],
        "text": [f"{utt} play a song" for utt, _ in rows],
        "spk2voice": [f"{spk} espeak:en" for spk in sorted({spk for _, spk in rows})],
        "ctm": [
            f"{utt} 1 0.{at} 0.1 {word}"
            for utt, _ in rows
            for at, word in enumerate("play a song".split())
        ],
    }
    for name, lines in files.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return folder


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_id_with_a_character_that_parts_lines_or_fields_is_refused_with_its_line(
    tmp_path: Path, name: str
) -> None:
    data = data_dir(tmp_path / "data", "zoe-" + name, "zoe")
    with pytest.raises(InputError, match=r"utt2spk:2: the id .* holds U\+"):
        kaldi_dir.load(data)
    with pytest.raises(InputError, match=r"the key .* holds U\+"):
        tables.write_table(tmp_path / "table", {name: "x"})
    speaker = data_dir(tmp_path / "other", "amy-1", f"a{name}")
    with pytest.raises(InputError, match=r"utt2spk:1: found .*expected one speaker id, which"):
        kaldi_dir.load(speaker)


@pytest.mark.parametrize("name", [*UNREADABLE, *ELSEWHERE])
@pytest.mark.parametrize("of_speaker", [False, True])
def test_validate_lists_the_id_and_repair_drops_its_utterance(
    tmp_path: Path, name: str, of_speaker: bool
) -> None:
    data = data_dir(tmp_path / "data", *(("amy", name) if of_speaker else (name, "amy")))
    report = validate(data)
    assert report.errors["malformed id"] >= 1
    where = report.kept["malformed id", True][-1]
    assert where.path.endswith("utt2spk") and where.line == 1
    assert report.lost == {("amy" if of_speaker else name): "malformed id"}
    apply(plan(data), max_lost=0.5)
    assert [utterance.id for utterance in kaldi_dir.load(data)] == ["zoe-1"]
    assert not validate(data).errors


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("of_speaker", [False, True])
def test_no_audio_and_no_textgrid_is_written_for_an_id_that_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, of_speaker: bool
) -> None:
    monkeypatch.setattr(synthesis, "speak", lambda *_: Speech([0.1] * 8000, None))
    data = data_dir(tmp_path / "data", *(("amy", name) if of_speaker else (name, "amy")))
    before = everything(tmp_path)
    with pytest.raises(InputError, match=rf"utt2spk:1: the id '{name}' .*no file under"):
        synthesis.synthesise(data, tmp_path / "deep/er/wavs")
    if not of_speaker:
        with pytest.raises(InputError, match=f"the id '{name}' .*no file under"):
            align.main(
                [
                    "--backend",
                    "textgrid",
                    "--data",
                    str(data),
                    "--textgrids",
                    str(tmp_path),
                    "--write_textgrids",
                    str(tmp_path / "deep/er/grids"),
                ]
            )
    assert everything(tmp_path) == before


def test_a_path_lies_directly_in_its_folder(tmp_path: Path) -> None:
    for name in SOUND:
        path = ids.path_in(tmp_path, "ann", name, suffix=".wav")
        path.parent.mkdir(exist_ok=True)
        path.touch()
        assert path.resolve().parent == tmp_path / "ann"
    with pytest.raises(InputError, match="too long to name a file after it: 600 bytes"):
        ids.path_in(tmp_path, "é" * 300, suffix=".wav")


def test_the_characters_are_those_of_unicode_that_are_blank_or_control() -> None:
    for code in range(0x110000):
        character = chr(code)
        odd = unicodedata.category(character) in ("Cc", "Zs", "Zl", "Zp", "Cs") or code == 0xFEFF
        assert (ids.odd_character(f"a{character}") is not None) == odd, hex(code)


def test_lines_are_parted_by_blanks_and_tabs_only() -> None:
    assert fields(" a\u0085b \t c\u2028d\te ") == ["a\u0085b", "c\u2028d", "e"]
