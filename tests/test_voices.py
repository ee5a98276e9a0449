"""conf/voices.yaml: who speaks, drawn how, and what is said of a file that is wrong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from atat.base.errors import InputError
from atat.datadir import tables
from atat.prepare import synthesis, voices
from atat.prepare.synthesis_voice import parse_voice

EGS = Path(__file__).resolve().parent.parent / "egs"
FILES = sorted(EGS.glob("*/conf/voices.yaml"))

FILE = """
train:
  - engine: espeak
    voices: [f1, m1, f2]
    languages: [en-us, en-gb]
    speakers: {tiny: 4, full: 100}
    manner: {rate: [160, 170], pitch: [35, 65]}
real:
  - {engine: flite, voices: [slt], manner: {rate: [0.9, 1.1]}}
  - {engine: espeak, voices: ["f5:rate=150", m8]}
mixed:
  - {engine: espeak, voices: [f1, m1], speakers: 50, draw: by_lot, share: 3}
  - {engine: flite, voices: [slt, awb], speakers: 2, share: 1, manner: {rate: [0.5, 1.5]}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "voices.yaml").write_text(FILE)
    return tmp_path / "voices.yaml"


def install(monkeypatch: pytest.MonkeyPatch, *engines: str) -> None:
    monkeypatch.setattr(
        synthesis, "available", lambda engine: None if engine in engines else f"no {engine} here"
    )


def cast(path: Path, part: str, size: str = "", seed: int = 1) -> list[voices.Cast]:
    return voices.cast(path, part, random.Random(seed), size)


def test_speakers_go_round_the_lists_and_speak_within_the_bounds(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, "espeak")
    (tiny,), (full,) = cast(path, "train", "tiny"), cast(path, "train", "full")
    assert [parse_voice(voice).name for voice in tiny.voices] == [
        "en-us+f1",
        "en-gb+m1",
        "en-us+f2",
        "en-gb+f1",
    ]
    rates = {int(parse_voice(voice).options["rate"]) for voice in full.voices}
    assert rates == set(range(160, 171))  # both bounds belong to them
    assert cast(path, "train", "full") == [full] != cast(path, "train", "full", seed=2)


def test_without_shares_the_first_engine_that_is_there_speaks(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, "espeak", "flite")
    (one,) = cast(path, "real")
    assert one.engine == "flite" and 0.9 <= float(one.voices[0].partition("rate=")[2]) <= 1.1
    install(monkeypatch, "espeak")
    assert cast(path, "real")[0].voices == ("espeak:f5:rate=150", "espeak:m8")
    install(monkeypatch)
    with pytest.raises(
        InputError, match="no engine can speak `real`: flite: no flite here; espeak"
    ):
        cast(path, "real")


def test_with_shares_all_speak_whose_engine_is_there(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, "espeak", "flite")
    assert [(one.engine, one.share, len(one.voices)) for one in cast(path, "mixed")] == [
        ("espeak", 3.0, 50),
        ("flite", 1.0, 2),
    ]
    drawn = [parse_voice(voice).name for voice in cast(path, "mixed")[0].voices]
    assert set(drawn) == {"f1", "m1"} and drawn[::2] != ["f1"] * 25  # by lot, not in turn
    install(monkeypatch, "espeak")
    assert [one.engine for one in cast(path, "mixed")] == ["espeak"]
    assert "left out, flite: no flite here" in capsys.readouterr().out


def test_casts_of_one_engine_have_speakers_of_their_own(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(
        "train:\n"
        "  - {engine: espeak, voices: [f1, m1], share: 1}\n"
        "  - {engine: flite, voices: [slt], share: 1}\n"
        "  - {engine: espeak, voices: [f2], share: 1}\n"
    )
    install(monkeypatch, "espeak", "flite")
    casts, rng = cast(path, "train"), random.Random(1)
    drawn = {voices.draw(casts, rng) for _ in range(100)}
    assert sorted(drawn) == [
        ("espeak", 0, "espeak:f1"),
        ("espeak", 1, "espeak:m1"),
        ("espeak", 2, "espeak:f2"),
        ("flite", 0, "flite:slt"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("train:", "training:", "no casts for `train`; there are training, real, mixed"),
        (
            "engine: espeak\n    voices",
            "engin: espeak\n    voices",
            r"unknown key `train\[0\].engin`; did you mean `engine`",
        ),
        (
            "engine: espeak\n    voices",
            "engine: festival\n    voices",
            "`train`: unknown synthesiser 'festival'; there are: espeak",
        ),
        ("voices: [f1, m1, f2]", "voices: []", r"in `train\[0\]`: `voices` is empty"),
        ("voices: [f1, m1, f2]", "voices: {}", r"key `train\[0\].voices` is .*expected a list"),
        (
            "voices: [f1, m1, f2]",
            "voices: ['f1:loud']",
            r"in `train\[0\]`: .*option 'loud' is not of",
        ),
        (
            "voices: [f1, m1, f2]",
            "voices: ['f1:rate=9']",
            r"in `train\[0\]`.*'rate' is given twice",
        ),
        (
            "{tiny: 4, full: 100}",
            "{full: 100}",
            r"`train\[0\]`: `speakers` has no size 'tiny'.*full",
        ),
        (
            "{tiny: 4, full: 100}",
            "many",
            r"in `train\[0\]`: `speakers` is 'many'; expected a whole",
        ),
        ("{tiny: 4, full: 100}", "{tiny: 0}", r"in `train\[0\]`: `speakers` is .*expected a whole"),
        (
            "[160, 170]",
            "[170, 160]",
            r"in `train\[0\]`: `manner.rate` is .170.*the lower one first",
        ),
        ("[160, 170]", "[160]", r"in `train\[0\]`: `manner.rate` is .*two bounds"),
        ("languages:", "draw: randomly\n    languages:", "expected one of in_turn, by_lot"),
        ("languages:", "share: 0\n    languages:", "`share` is 0; expected more than 0"),
    ],
)
def test_what_is_wrong_in_the_file_is_said(path: Path, old: str, new: str, message: str) -> None:
    assert old in FILE
    path.write_text(FILE.replace(old, new, 1))
    with pytest.raises(InputError, match=f"{path}: .*{message}"):
        cast(path, "train", "tiny")


@pytest.mark.parametrize("content", ["none", "[]", "[[espeak]]", "{engine: espeak, voices: [f1]}"])
def test_a_part_is_a_list_of_casts(path: Path, content: str) -> None:
    path.write_text(f"train: {content}\n")
    with pytest.raises(InputError, match="`train`: expected a list of casts"):
        cast(path, "train")


def test_shares_are_for_all_casts_of_a_part_or_none(path: Path) -> None:
    path.write_text(FILE.replace(", share: 1", ""))
    with pytest.raises(InputError, match="`mixed`: some casts have a `share` and some have none"):
        cast(path, "mixed")


# Of the corpus that it stands for one voice speaks everything, and its README says so.
ONE_VOICE = EGS / "spoken_squad" / "conf" / "voices.yaml"


@pytest.mark.parametrize(
    "path", [path for path in FILES if path != ONE_VOICE], ids=lambda path: path.parts[-3]
)
def test_no_voice_of_a_recipe_trains_and_tests(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every engine, and with espeak-ng alone."""
    for engines in (("espeak", "flite"), ("espeak",)):
        install(monkeypatch, *engines)
        people: dict[str, set[tuple[str, str]]] = {}
        for part in voices.parts(path):
            for one in cast(path, part, "full"):
                for voice in map(parse_voice, one.voices):
                    person = (voice.engine, voice.name.rpartition("+")[2])
                    people.setdefault(part, set()).add(person)
        for part in set(people) & {"dev", "test", "real"}:
            assert not people["train"] & people[part], (path, part)


def test_audio_goes_when_who_says_it_changes(tmp_path: Path) -> None:
    columns = {
        "text": {"a-1": "stop", "b-1": "play"},
        "utt2spk": {"a-1": "a", "b-1": "b"},
        "spk2voice": {"a": "espeak:f1", "b": "espeak:m1"},
    }
    voices.write_sentences(tmp_path / "dir", columns)
    assert tables.read_table(tmp_path / "dir" / "spk2utt") == {"a": "a-1", "b": "b-1"}
    scp = tmp_path / "dir" / "wav.scp"
    scp.write_text("a-1 /a.wav\nb-1 /b.wav\n")
    aligned = [tmp_path / "dir" / name for name in ("ctm", "ctm.json", "ctm.lost")]
    for one in aligned:
        one.touch()
    # Neither of the sentences: of these no table of an earlier run stays, but all else does.
    for name in ("semantics", "text.raw"):
        (tmp_path / "dir" / name).write_text("a-1 x\nc-1 y\n")
    voices.write_sentences(tmp_path / "dir", columns)
    assert scp.exists() and all(one.exists() for one in aligned)
    assert not any((tmp_path / "dir" / name).exists() for name in ("semantics", "text.raw"))
    voices.write_sentences(
        tmp_path / "dir", {**columns, "spk2voice": {"a": "espeak:f1", "b": "espeak:m2"}}
    )
    assert not scp.exists() and not any(one.exists() for one in aligned)
