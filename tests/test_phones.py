"""phones.ctm: the set of phones, and its three sources, each written and read again."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from atat.base.errors import InputError
from atat.datadir import kaldi_dir, tables
from atat.datadir.check import validate
from atat.datadir.ctm import Word, check_phones, read_ctm, read_phones, write_ctm
from atat.datadir.kaldi_dir import Utterance
from atat.prepare import synthesis
from atat.prepare.align import main as align
from atat.prepare.synthesis_espeak import joined_silences, phones_with_times
from atat.prepare.synthesis_voice import Speech
from atat.prepare.textgrid import read_phones as read_grid
from atat.prepare.textgrid import read_textgrid
from atat.speech import audio
from atat.text.phones import LABELS, phone
from atat.text.pronunciation import phones_of

GRID = """File type = "ooTextFile"
Object class = "TextGrid"

0
0.5
<exists>
2
"IntervalTier"
"words"
0
0.5
2
0
0.2
""
0.2
0.5
"yes"
"IntervalTier"
"phones"
0
0.5
4
0
0.2
"sil"
0.2
0.3
"Y"
0.3
0.4
"EH1"
0.4
0.5
"S"
"""
YES = [Word("sil", 0, 0.2), Word("Y", 0.2, 0.1), Word("EH", 0.3, 0.1), Word("S", 0.4, 0.1)]

needs_espeak = pytest.mark.skipif(
    synthesis.available("espeak") is not None, reason="espeakng-loader is not installed"
)


def same(found: Sequence[Word], expected: Sequence[Word]) -> None:
    assert [one.text for one in found] == [one.text for one in expected]
    for one, other in zip(found, expected):
        assert (one.start, one.end) == pytest.approx((other.start, other.end), abs=2e-4)


def data_dir(folder: Path, wav: Path, text: str) -> Path:
    utterance = Utterance(id="anna-1", speaker="anna", wav=str(wav), text=text)
    kaldi_dir.write(folder, [utterance])
    return folder


# --- the set


def test_there_are_42_labels_and_stress_is_none() -> None:
    assert len(LABELS) == len(set(LABELS)) == 42 and LABELS[-3:] == ("sil", "sp", "spn")
    assert all(phone(label) == label for label in LABELS)
    assert [phone(label) for label in ("AH0", "ER2", "SIL", "zh")] == ["AH", "ER", "sil", "ZH"]


@pytest.mark.parametrize("label", ["", "aɪ", "QQ", "<eps>", "0"])
def test_another_phone_is_refused(label: str) -> None:
    with pytest.raises(InputError, match="is none of the 39.*english_us_arpa"):
        phone(label)


# --- the file


def test_written_is_read(tmp_path: Path) -> None:
    write_ctm(tmp_path / "phones.ctm", {"b-1": YES, "a-1": YES[:2]})
    found = read_phones(tmp_path / "phones.ctm")
    assert list(found) == ["a-1", "b-1"]
    same(found["b-1"], YES)


@pytest.mark.parametrize("label", ["EH1", "SIL", "QQ"])
def test_a_phone_outside_the_set_is_named(tmp_path: Path, label: str) -> None:
    (tmp_path / "phones.ctm").write_text(f"a-1 1 0 0.1 {label}\n")
    with pytest.raises(InputError, match=f"phones.ctm: a-1: .*{label}"):
        read_phones(tmp_path / "phones.ctm")


def test_a_phone_of_many_takes_no_more_than_its_times(tmp_path: Path) -> None:
    """A large corpus has tens of millions; its few labels are shared."""
    lines = [f"u{number} 1 {0.1 * at:.4f} 0.1000 AA" for number in range(2) for at in range(3)]
    (tmp_path / "phones.ctm").write_text("\n".join(lines) + "\n")
    found = [one for phones in read_phones(tmp_path / "phones.ctm").values() for one in phones]
    assert len(found) == 6 and len({id(one.text) for one in found}) == 1
    assert not any(hasattr(one, "__dict__") for one in found)
    assert pickle.loads(pickle.dumps(found)) == found  # for processes that share the work


def test_phones_beyond_their_audio_and_each_other_are_found() -> None:
    assert check_phones(YES, 0.5) == []
    assert "ends at 0.50 s, the audio at 0.30 s" in check_phones(YES, 0.3)[0]
    assert "phone 2 ('sil') starts at 0.000 s, before" in check_phones([YES[1], YES[0]], 0.5)[0]
    assert "written 'EH'" in check_phones([Word("EH1", 0, 0.5)], 0.5)[0]


# --- TextGrids


def test_the_phones_of_a_textgrid(tmp_path: Path) -> None:
    (tmp_path / "anna-1.TextGrid").write_text(GRID)
    found, length = read_grid(tmp_path / "anna-1.TextGrid")
    same(found, YES)
    assert length == 0.5


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('"phones"', '"phonemes"', "no tier called 'phones'; the tiers are 'words', 'phonemes'"),
        ("EH1", "ɛ", "anna-1.TextGrid: the phone 'ɛ' is none of the 39"),
    ],
)
def test_bad_textgrids_are_lost_and_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "grids").mkdir()
    (tmp_path / "grids" / "anna-1.TextGrid").write_text(GRID.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_grid(tmp_path / "grids" / "anna-1.TextGrid")
    audio.save(tmp_path / "a.wav", 0.1 * np.ones(8000, "float32"))
    data = data_dir(tmp_path / "data", tmp_path / "a.wav", "yes")
    options = ["--backend", "textgrid", "--data", str(data), "--textgrids", str(tmp_path / "grids")]
    with pytest.raises(InputError, match="1 of 1 utterances"):
        align([*options, "--phones"])
    align(options)  # its words are good
    assert read_ctm(data / "ctm") and not (data / "phones.ctm").exists()


def test_a_backend_without_phones_says_so(tmp_path: Path) -> None:
    options = ["--backend", "gentle", "--json", "j", "--data", str(tmp_path), "--phones"]
    with pytest.raises(InputError, match="--backend gentle knows no phones"):
        align(options)


def test_real_grids_and_pocketsphinx_agree(tmp_path: Path, data_root: Path) -> None:
    folder = data_root / "alignments"
    words, _ = read_textgrid(folder / "acoustic_corpus.TextGrid")
    text = " ".join(word.text for word in words)
    data = data_dir(tmp_path / "data", folder / "acoustic_corpus.wav", text)
    (tmp_path / "grids").mkdir()
    shutil.copy(folder / "acoustic_corpus.TextGrid", tmp_path / "grids" / "anna-1.TextGrid")
    found = {}
    for backend, more in (("textgrid", ["--textgrids", str(tmp_path / "grids")]),
                          ("pocketsphinx", [])):  # fmt: skip
        align(["--backend", backend, "--data", str(data), "--phones", *more])
        assert not validate(data).errors
        found[backend] = read_phones(data / "phones.ctm")["anna-1"]
        words = read_ctm(data / "ctm")["anna-1"]
        inside = [one for one in found[backend] if one.text != "sil"]
        for word in words:  # of every word, phones fill the whole of its time
            parts = [one for one in inside if word.start - 1e-3 <= one.start < word.end - 1e-3]
            assert parts[0].start == pytest.approx(word.start, abs=2e-3)
            assert parts[-1].end == pytest.approx(word.end, abs=2e-3)
    grid, sphinx = found["textgrid"], found["pocketsphinx"]
    times = [time / 100 for time in range(0, 2600, 4)]
    both = [(at(grid, time), at(sphinx, time)) for time in times if at(grid, time)]
    assert sum(one == other for one, other in both) > 0.7 * len(both) > 200


def at(phones: Sequence[Word], time: float) -> str | None:
    return next((one.text for one in phones if one.start <= time < one.end), None)


def test_finished_phones_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "grids").mkdir()
    (tmp_path / "grids" / "anna-1.TextGrid").write_text(GRID)
    audio.save(tmp_path / "a.wav", 0.1 * np.ones(8000, "float32"))
    data = data_dir(tmp_path / "data", tmp_path / "a.wav", "yes")
    options = ["--backend", "textgrid", "--data", str(data), "--textgrids", str(tmp_path / "grids")]
    align(options)
    align([*options, "--phones"])  # asked for later
    same(read_phones(data / "phones.ctm")["anna-1"], YES)
    capsys.readouterr()
    align([*options, "--phones"])
    assert "already made" in capsys.readouterr().out


# --- espeak-ng


def test_events_become_phones_and_fill_the_time() -> None:
    events = [
        (0.1, "k"),
        (0.15, ";"),
        (0.2, "A@"),
        (0.4, "_:"),
        (0.5, "_"),
        (0.6, "e@"),
        (0.7, "r"),
    ]
    american = phones_with_times(events, 0.8, has_r=True)
    british = phones_with_times(events, 0.8, has_r=False)
    assert american is not None and british is not None
    assert [one.text for one in american] == ["sil", "K", "AA", "R", "sil", "EH", "R"]
    assert [one.text for one in british] == ["sil", "K", "AA", "sil", "EH", "R"]
    for phones in (american, british):
        assert phones[0].start == 0 and phones[-1].end == pytest.approx(0.8)
        for one, other in zip(phones, phones[1:]):
            assert one.end == pytest.approx(other.start)
    assert phones_with_times([(0.0, "y:")], 0.8, has_r=True) is None


def test_silences_in_a_row_are_one() -> None:
    silences = [Word("sil", 0, 0.1), Word("sil", 0.1, 0.2), Word("S", 0.3, 0.1), Word("T", 0.4, 0)]
    assert joined_silences(silences) == [Word("sil", 0, pytest.approx(0.3)), Word("S", 0.3, 0.1)]


@needs_espeak
@pytest.mark.parametrize("voice", ["espeak:en-us+f3", "espeak:en-gb:rate=120"])
def test_what_espeak_says_are_the_phones_of_its_words(voice: str) -> None:
    text = "play nine songs before the hour"
    speech = synthesis.speak(voice, text)
    assert speech.phones and speech.words
    assert check_phones(speech.phones, len(speech.samples) / 16000) == []
    said = [one.text for one in speech.phones if one.text != "sil"]
    play, nine = (phones_of(word) for word in text.split()[:2])
    assert said[: len(play + nine)] == play + nine
    start = next(one.start for one in speech.phones if one.text == "N")
    assert start == pytest.approx(speech.words[1].start, abs=0.03)


@needs_espeak
def test_synthesis_writes_the_phones_of_its_sound(tmp_path: Path) -> None:
    data = tmp_path / "data"
    names = {"anna-1": "anna", "anna-2": "anna"}
    tables.write_tables(
        data,
        {
            "text": {"anna-1": "stop the music", "anna-2": "hot tea"},
            "utt2spk": names,
            "spk2voice": {"anna": "espeak:en-us"},
        },
    )
    synthesis.main(["--data", str(data), "--wavs", str(tmp_path / "wavs")])
    assert not validate(data).errors
    found = read_phones(data / "phones.ctm")
    assert list(found) == list(names)
    for utterance in kaldi_dir.load(data):
        phones = found[utterance.id]
        assert phones[0].start == 0 and phones[0].text == phones[-1].text == "sil"
        assert phones[-1].end == pytest.approx(utterance.duration, abs=2e-3)
        for one, other in zip(phones, phones[1:]):  # no gap
            assert one.end == pytest.approx(other.start, abs=1e-3)
        samples = audio.load(str(utterance.wav))
        for one in phones:  # the loud ones are no silences
            heard = samples[int(one.start * 16000) : int(one.end * 16000)]
            assert one.text != "sil" or abs(heard[160:-160]).max(initial=0) < 0.5 * samples.max()
    said = [one.text for one in found["anna-2"] if one.text != "sil"]
    assert said == [*phones_of("hot"), *phones_of("tea")]


def test_framing_moves_phones_with_their_sound() -> None:
    sound = np.concatenate([np.zeros(3200), 0.5 * np.ones(3200)])
    speech = Speech(sound.astype("float32"), None, [Word("sil", 0, 0.2), Word("S", 0.2, 0.2)])
    framed = synthesis.frame_speech(speech, "anna-1")
    loud = np.flatnonzero(framed.samples > 0.4)
    assert framed.phones is not None
    silence, sound_, tail = framed.phones
    assert (silence.text, sound_.text, tail.text) == ("sil", "S", "sil")
    assert sound_.start == pytest.approx(loud[0] / 16000, abs=1e-3)
    assert sound_.end == pytest.approx((loud[-1] + 1) / 16000, abs=1e-3)
    assert tail.end == pytest.approx(len(framed.samples) / 16000)
