"""The aligners and the readers of others' alignments, on real speech and on known paths."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from atat.base.errors import InputError
from atat.datadir.ctm import NotAligned, Word, check
from atat.datadir.word_boundaries import boundary_errors
from atat.nn.forced_alignment import align_ctc, best_path
from atat.prepare.align_gentle import read_gentle
from atat.prepare.align_librispeech import read_librispeech
from atat.prepare.align_pocketsphinx import Aligner
from atat.prepare.textgrid import read_textgrid
from atat.speech import audio


def real_utterance(root: Path, name: str) -> tuple[np.ndarray, list[str]]:
    """Samples and words of a recording in the folder of alignments."""
    folder = root / "alignments"
    path = next(path for path in folder.glob(f"{name}.*") if path.suffix in (".wav", ".flac"))
    text = (folder / f"{name}.lab").read_text(encoding="utf-8").lower()
    return audio.load(path), text.split()


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    return Aligner()


# pocketsphinx


@pytest.mark.parametrize(("name", "mean"), [("acoustic_corpus", 0.03), ("cold_corpus", 0.06)])
def test_pocketsphinx_agrees_with_the_montreal_aligner(
    data_root: Path, aligner: Aligner, name: str, mean: float
) -> None:
    samples, text = real_utterance(data_root, name)
    words = aligner.align(samples, text)
    assert check(words, " ".join(text), len(samples) / 16000) == []
    reference, _ = read_textgrid(data_root / "alignments" / f"{name}.TextGrid")
    errors = boundary_errors({name: reference}, {name: words})
    assert errors.matched >= 57 and errors.missing <= 1
    assert errors.starts.mean < mean and errors.ends.mean < mean
    assert errors.starts.median <= 0.02 and errors.ends.median <= 0.03


def test_pocketsphinx_aligns_read_books(data_root: Path, aligner: Aligner) -> None:
    folder = data_root / "librispeech" / "LibriSpeech" / "test-other"
    transcripts = sorted(folder.rglob("*.trans.txt"))
    for path in transcripts[:3]:
        utt, text = path.read_text(encoding="utf-8").splitlines()[0].lower().split(" ", 1)
        samples = audio.load(path.with_name(f"{utt}.flac"))
        words = aligner.align(samples, text.split())
        assert check(words, text, len(samples) / 16000) == []
    assert len(transcripts) > 1


def test_pocketsphinx_does_not_remember(data_root: Path, aligner: Aligner) -> None:
    samples, text = real_utterance(data_root, "61-70968-0000")
    first = Aligner().align(samples, text)
    aligner.align(*real_utterance(data_root, "acoustic_corpus"))
    assert aligner.align(samples, text) == first


def test_pocketsphinx_pronounces_unknown_words(data_root: Path, aligner: Aligner) -> None:
    pytest.importorskip("atat.text.pronunciation")
    samples, text = real_utterance(data_root, "61-70968-0000")
    respelled = ["komplayned" if word == "complaint" else word for word in text]
    known, respelt = aligner.align(samples, text), aligner.align(samples, respelled)
    assert respelt[text.index("complaint")].text == "komplayned"
    for one, other in zip(known, respelt):
        assert one.start == pytest.approx(other.start, abs=0.1)


@pytest.mark.parametrize("seconds", [0.0, 0.005, 0.2, 1.0])
def test_pocketsphinx_says_when_the_text_does_not_fit(aligner: Aligner, seconds: float) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * 16000)).astype(np.float32)
    with pytest.raises(NotAligned):
        aligner.align(noise, "this sentence is far too long for so little noise".split() * 2)
    assert aligner.align(noise, []) == []


@pytest.mark.parametrize("word", ["<s>", "a(2)", "[noise]", "-"])
def test_pocketsphinx_refuses_what_cannot_be_spoken(aligner: Aligner, word: str) -> None:
    pytest.importorskip("atat.text.pronunciation")
    with pytest.raises(NotAligned, match="no pronunciation"):
        aligner.align(np.zeros(16000, np.float32), ["he", word])


# ctc


def log_probs_along(path: list[int], classes: int) -> np.ndarray:
    """Log probabilities (T, C) whose most likely path is `path`."""
    return log_softmax(3.0 * np.eye(classes)[path])


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def test_the_best_path_is_as_likely_as_torchaudios_and_none_is_likelier() -> None:
    functional = pytest.importorskip("torchaudio.functional")
    rng = np.random.default_rng(0)
    for frames, ids in ((3, [1]), (4, [1, 2, 2]), (9, [3, 3, 1, 2]), (40, [1, 2, 3, 3, 3, 2] * 3)):
        log_probs = log_softmax(3 * rng.standard_normal((frames, 4))).astype(np.float32)
        states = best_path(log_probs, ids)
        labels = np.array([0, *[label for one in ids for label in (one, 0)]])[states]
        said = torch.from_numpy(log_probs)[None]
        _, scores = functional.forced_align(said, torch.tensor([ids]), blank=0)
        likely = log_probs[np.arange(frames), labels].sum()
        assert likely == pytest.approx(float(scores.sum()), abs=1e-4)
        joined = [label for n, label in enumerate(labels) if n == 0 or labels[n - 1] != label]
        assert [label for label in joined if label] == ids


def test_ctc_finds_the_path() -> None:
    pieces = ["<blank>", "▁", "a", "b"]
    #        ▁  a  a     a  b        ▁  b
    path = [0, 1, 2, 2, 0, 2, 3, 0, 0, 0, 0, 1, 3, 0, 0, 0, 0, 0, 0, 0]
    words = align_ctc(log_probs_along(path, 4), [1, 2, 2, 3, 1, 3], pieces, 0.04, ["aab", "b"])
    # The first word ends half-way to the second, the second 160 ms past its last unit.
    assert [word.text for word in words] == ["aab", "b"]
    assert [round(word.start / 0.04) for word in words] == [1, 11]
    assert [round(word.end / 0.04) for word in words] == [9, 17]


def test_ctc_words_of_pieces() -> None:
    pieces = ["<blank>", "▁turn", "▁o", "n", "▁"]
    log_probs = log_probs_along([1, 1, 2, 3, 3, 0], 5)
    words = align_ctc(log_probs, [1, 2, 3], pieces, 0.04, ["turn", "on"])
    assert [round(word.start / 0.04) for word in words] == [0, 2]
    assert check(words, "turn on", 0.24) == []
    assert align_ctc(log_probs, [], pieces, 0.04, []) == []


def test_ctc_with_exactly_enough_frames_and_one_too_few() -> None:
    pieces = ["<blank>", "▁", "a"]
    log_probs = log_softmax(np.random.default_rng(0).standard_normal((4, 3)))
    assert len(align_ctc(log_probs, [1, 2, 2], pieces, 0.04, ["aa"])) == 1
    with pytest.raises(NotAligned, match="needs 4, the audio has 3"):
        align_ctc(log_probs[:3], [1, 2, 2], pieces, 0.04, ["aa"])
    with pytest.raises(NotAligned, match="not finite"):
        align_ctc(log_probs * np.nan, [1, 2, 2], pieces, 0.04, ["aa"])


def test_ctc_alignment_is_always_in_order() -> None:
    rng = np.random.default_rng(1)
    pieces = ["<blank>", "▁", "a", "b", "c"]
    text = ["ab", "cc", "a", "bca"]
    ids = [pieces.index(unit) for word in text for unit in "▁" + word]
    for frames in (13, 14, 20, 50):
        log_probs = log_softmax(4 * rng.standard_normal((frames, 5)))
        words = align_ctc(log_probs, ids, pieces, 0.04, text)
        assert check(words, " ".join(text), None) == []
        assert all(word.duration > 0 for word in words)
        assert words[-1].end <= frames * 0.04 + 1e-9


# Gentle


def gentle(path: Path, *words: tuple[str, float, float] | tuple[str]) -> Path:
    """Gentle's JSON of some words; one without times was not found in the audio."""
    entries = [
        {"case": "success", "word": word[0], "start": word[1], "end": word[2]}
        if len(word) == 3
        else {"case": "not-found-in-audio", "word": word[0], "startOffset": 0}
        for word in words
    ]
    path.write_text(json.dumps({"transcript": "", "words": entries}), encoding="utf-8")
    return path


def test_gentle_words_are_normalised(tmp_path: Path) -> None:
    path = gentle(tmp_path / "u.json", ("Turn", 0.1, 0.3), ("ON", 0.3, 0.5), ("-", 0.5, 0.6))
    words = read_gentle(path)
    assert [word.text for word in words] == ["turn", "on"]
    assert [(word.start, pytest.approx(word.end)) for word in words] == [(0.1, 0.3), (0.3, 0.5)]


def test_gentle_word_that_becomes_two_shares_its_time(tmp_path: Path) -> None:
    words = read_gentle(gentle(tmp_path / "u.json", ("42", 1.0, 2.0)))
    assert [word.text for word in words] == ["forty", "two"]
    assert words[0].start == 1.0 and words[1].end == pytest.approx(2.0)
    assert words[0].end == pytest.approx(1.625) == words[1].start


def test_gentle_missing_words_share_the_gap(tmp_path: Path) -> None:
    path = gentle(
        tmp_path / "u.json", ("the",), ("on", 0.3, 0.5), ("a",), ("cat",), ("at", 0.9, 1.0), ("it",)
    )
    words = read_gentle(path, duration=1.2)
    assert check(words, "the on a cat at it", 1.2) == []
    assert [round(word.start, 3) for word in words] == [0.0, 0.3, 0.5, 0.6, 0.9, 1.0]
    assert words[-1].end == pytest.approx(1.2)
    with pytest.raises(NotAligned, match="last word 'it'"):
        read_gentle(path)


def test_gentle_missing_words_without_a_gap(tmp_path: Path) -> None:
    path = gentle(tmp_path / "u.json", ("on", 0.3, 0.5), ("a",), ("b",), ("at", 0.52, 1.0))
    with pytest.raises(NotAligned, match="'a b' in the audio, and the 0.02 s"):
        read_gentle(path)
    with pytest.raises(NotAligned, match="none of the 2 words"):
        read_gentle(gentle(tmp_path / "v.json", ("on",), ("off",)), 2.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"words": [\n}', ":2: torn or not JSON"),
        ('{"transcript": ""}', ": no list `words`"),
        ("[]", ": no list `words`"),
        ('{"words": [{"word": "a"}]}', ": word 1 has no `case`"),
        ('{"words": [{"word": "a", "case": "success", "start": 0}]}', ": word 1 has no `end`"),
        (
            '{"words": [{"word": "a", "case": "success", "start": 0, "end": "x"}]}',
            ": word 1 has 'x' as a time",
        ),
        (
            f'{{"words": [{{"word": "a", "case": "success", "start": 0, "end": 1{"0" * 400}}}]}}',
            ": word 1 has 1000.* as a time",
        ),
        (f'{{"words": 1{"0" * 5000}}}', ": holds a number of thousands of digits"),
        ("[" * 100_000, ": torn or not JSON"),
    ],
)
def test_gentle_bad_files(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "u.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=f"u.json{message}"):
        read_gentle(path)


# LibriSpeech


def test_librispeech_condensed(tmp_path: Path) -> None:
    path = tmp_path / "1-2.alignment.txt"
    path.write_text('1-2-0000 ",GO,,DO,YOU," "0.490,0.890,1.270,1.380,1.490,2.09"\n')
    words, end = read_librispeech(path)["1-2-0000"]
    assert [word.text for word in words] == ["go", "do", "you"] and end == 2.09
    expected = [Word("", 0.49, 0.4), Word("", 1.27, 0.11), Word("", 1.38, 0.11)]
    for one, other in zip(words, expected):
        assert one.start == other.start and one.duration == pytest.approx(other.duration)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('u ",GO" "0.1"', "2 words .silences included. but 1 end times"),
        ('u ",GO" "0.3,0.2"', "'GO' ends at 0.2 s, before it starts"),
        ('u ",GO" "0.3,x"', "'x' is not a time in seconds"),
        ("u GO 0.3", "expected <utt>"),
        ('u "" "0.3"\nu "" "0.3"', "a second line for u"),
    ],
)
def test_librispeech_bad_lines(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "1-2.alignment.txt"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"alignment.txt:\d: {message}"):
        read_librispeech(path)
