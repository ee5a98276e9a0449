"""Laws of word alignments: the ctm file, its checks, the boundary errors."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from atat.base.errors import InputError
from atat.datadir.ctm import Word, check, read_ctm, write_ctm
from atat.datadir.word_boundaries import boundary_errors, match_words

WORDS = [Word("turn", 0.1, 0.2), Word("it", 0.3, 0.15), Word("up", 0.6, 0.4)]


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def test_written_is_read(tmp_path: Path) -> None:
    alignments = {"b-2": WORDS, "a-1": [Word("i'd", 0.0, 0.25), Word("café", 0.25, 1.0)], "a-2": []}
    write_ctm(tmp_path / "ctm", alignments)
    back = read_ctm(tmp_path / "ctm")
    assert list(back) == ["a-1", "b-2"]
    for utt, words in back.items():
        assert [w.text for w in words] == [w.text for w in alignments[utt]]
        for one, other in zip(words, alignments[utt]):
            assert one.start == pytest.approx(other.start, abs=1e-4)
            assert one.end == pytest.approx(other.end, abs=1e-4)


def test_touching_words_still_touch_when_written(tmp_path: Path) -> None:
    third = 1 / 3
    write_ctm(tmp_path / "ctm", {"u": [Word("a", third, third), Word("b", 2 * third, third)]})
    first, second = read_ctm(tmp_path / "ctm")["u"]
    assert first.end == pytest.approx(second.start, abs=1e-9)
    write_ctm(tmp_path / "again", {"u": [first, second]})
    assert (tmp_path / "again").read_text() == (tmp_path / "ctm").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("u 1 0.0 1.0 a\nu 1 1.0 b\n", ":2: 4 fields"),
        ("u 1 zero 1.0 a\n", ":1: start is 'zero'"),
        ("u 1 0.0 -1.0 a\n", ":1: duration is '-1.0'"),
        ("u 1 nan 1.0 a\n", ":1: start is 'nan'"),
        ("u 1 0 1 a\nv 1 0 1 a\nu 1 1 1 b\n", ":3: u appeared before"),
        ("u 1 0 1 a\r\n", ":1: 1 line ends in CRLF"),
    ],
)
def test_malformed_ctm_names_its_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "ctm"
    path.write_bytes(content.encode())
    with pytest.raises(InputError, match="ctm" + message):
        read_ctm(path)


def test_ctm_of_kaldi_is_read(tmp_path: Path) -> None:
    content = ";; a comment\nu A 0.00 0.10 <eps> 1.00\nu A 0.10 0.30 yes 0.98\n"
    assert read_ctm(write(tmp_path / "ctm", content)) == {"u": [Word("yes", 0.1, 0.3)]}


def test_check_is_silent_when_all_is_well() -> None:
    assert check(WORDS, "turn it up", 1.2, "u") == []
    assert check([], "", 1.0) == []
    assert check(WORDS, None, None) == []


@pytest.mark.parametrize(
    ("words", "text", "duration", "message"),
    [
        (WORDS, "turn it up", 0.8, "longer than its audio"),
        (WORDS, "turn it up", 3.5, "shorter than its audio"),
        (WORDS, "turn it down", 1.2, "word 3 the alignment has 'up', the text 'down'"),
        (WORDS[:2], "turn it up", 1.2, "word 3 the alignment has its end, the text 'up'"),
        ([], "turn it up", 1.2, "no word is aligned"),
        ([Word("a", -0.1, 0.2)], "a", 0.2, "negative time"),
        ([Word("a", 0.1, -0.2)], "a", 0.2, "negative time"),
        ([Word("a", 0.0, 0.5), Word("b", 0.4, 0.2)], "a b", 0.6, "before the previous word"),
        ([Word("a", math.nan, 0.2)], "a", None, "not numbers"),
    ],
)
def test_check_finds(words: list[Word], text: str, duration: float | None, message: str) -> None:
    findings = check(words, text, duration, "utt7")
    assert any(message in finding and finding.startswith("utt7: ") for finding in findings)


def test_alignment_has_no_error_against_itself() -> None:
    errors = boundary_errors({"u": WORDS}, {"u": WORDS})
    assert errors.starts.mean == errors.ends.median == 0
    assert errors.starts.within == {0.02: 1, 0.05: 1, 0.1: 1}
    assert (errors.matched, errors.missing, errors.extra, errors.utterances_missing) == (3, 0, 0, 0)


def test_boundary_errors_count_and_measure() -> None:
    reference = {"u": WORDS, "v": [Word("no", 0.0, 1.0)]}
    hypothesis = {
        "u": [Word("turn", 0.12, 0.2), Word("it", 0.3, 0.25), Word("down", 0.6, 0.4)],
        "w": [Word("no", 0.0, 1.0)],
    }
    errors = boundary_errors(reference, hypothesis)
    assert (errors.matched, errors.missing, errors.extra) == (2, 2, 1)
    assert (errors.utterances, errors.utterances_missing) == (2, 1)
    assert errors.starts.mean == pytest.approx(0.01)
    assert errors.ends.median == pytest.approx((0.02 + 0.1) / 2)
    assert errors.ends.within == {0.02: 0.5, 0.05: 0.5, 0.1: 1.0}
    assert math.isnan(boundary_errors({"u": WORDS}, {}).starts.mean)


def test_a_repeated_word_is_matched_to_the_nearer_place() -> None:
    reference = [Word("the", 0.0, 0.1), Word("cat", 0.1, 0.3), Word("the", 1.0, 0.1)]
    pairs = match_words(reference, [Word("the", 1.02, 0.1)])
    assert pairs == [(reference[2], Word("the", 1.02, 0.1))]
