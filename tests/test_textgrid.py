"""Laws of TextGrids: written is read, in both forms; real files of the Montreal Forced Aligner."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from atat.base.errors import InputError
from atat.datadir.ctm import Word
from atat.prepare.textgrid import read_textgrid, write_textgrid

WORDS = [Word("i'd", 0.1234, 0.2), Word("like", 0.3234, 1 / 3), Word("café", 0.9, 0.0041)]
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
1
<exists>
2
"IntervalTier"
"anna - words"
0
1
3
0
0.4
"SIL"
0.4
0.6
"Yes"
0.6
1
""
"IntervalTier"
"anna - phones"
0
1
1
0
1
"s"
"""


@pytest.mark.parametrize("form", ["long", "short"])
def test_written_is_read(tmp_path: Path, form: Literal["long", "short"]) -> None:
    first, second = tmp_path / "a.TextGrid", tmp_path / "b.TextGrid"
    write_textgrid(first, WORDS, 1.0, form=form)
    back, duration = read_textgrid(first)
    assert duration == 1.0
    assert [word.text for word in back] == [word.text for word in WORDS]
    for one, other in zip(back, WORDS):
        assert one.start == pytest.approx(other.start, abs=1e-4)
        assert one.end == pytest.approx(other.end, abs=1e-4)
    write_textgrid(second, back, duration, form=form)
    assert second.read_bytes() == first.read_bytes()


def test_utterance_without_words(tmp_path: Path) -> None:
    write_textgrid(tmp_path / "a.TextGrid", [], 2.5)
    assert read_textgrid(tmp_path / "a.TextGrid") == ([], 2.5)


def test_words_are_normalised_and_silence_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_text(SHORT, encoding="utf-8")
    words, duration = read_textgrid(path)
    assert [word.text for word in words] == ["yes"] and duration == 1.0
    assert words[0].start == pytest.approx(0.4) and words[0].end == pytest.approx(0.6)


def test_utf16_is_read_as_praat_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_text(SHORT.replace("Yes", "naïve"), encoding="utf-16")
    assert [word.text for word in read_textgrid(path)[0]] == ["naïve"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a TextGrid"),
        ("RIFF\x00\x01", "not a TextGrid"),
        (SHORT[:60], "not a TextGrid"),
        (SHORT.replace("- words", "- syllables"), "no tier called 'words'.*anna - phones.*--tier"),
        (SHORT.replace("- phones", "- b - words"), "2 tiers called 'words'"),
        (SHORT.replace("anna - phones", "anna - words"), "not a TextGrid"),
        (SHORT.replace("0.4\n0.6", "0.4\n0.2"), "not a TextGrid"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=f"a.TextGrid: {message}"):
        read_textgrid(path)
    with pytest.raises(InputError, match="no such file"):
        read_textgrid(tmp_path / "missing.TextGrid")


@pytest.mark.parametrize(
    "words",
    [
        [Word("a", 0.0, 0.5), Word("b", 0.4, 0.2)],
        [Word("a", 0.5, 0.0)],
        [Word("a", 0.5, 0.7)],
    ],
)
def test_words_that_no_tier_can_hold(tmp_path: Path, words: list[Word]) -> None:
    with pytest.raises(InputError, match="a TextGrid cannot hold these words"):
        write_textgrid(tmp_path / "a.TextGrid", words, 1.0)
    assert not list(tmp_path.iterdir())


def test_real_grids_of_the_forced_aligner(data_root: Path) -> None:
    for name in ("acoustic_corpus", "cold_corpus"):
        words, duration = read_textgrid(data_root / "alignments" / f"{name}.TextGrid")
        assert 50 < len(words) < 70 and 25 < duration < 27
        assert all(word.duration > 0 for word in words)
        assert all(one.end <= other.start + 1e-6 for one, other in zip(words, words[1:]))


def test_long_and_short_form_say_the_same(data_root: Path) -> None:
    folder = data_root / "alignments"
    long = read_textgrid(folder / "michaelandsickmichael.TextGrid", "michael")
    short = read_textgrid(folder / "michaelandsickmichael_short_tg.TextGrid", "michael")
    assert long == short and len(long[0]) > 10
    with pytest.raises(InputError, match="the tiers are 'michael', 'sickmichael'"):
        read_textgrid(folder / "michaelandsickmichael.TextGrid")
