"""Alignments: when each word or phone of an utterance is spoken; ctm files and their checks.

A line of `ctm` is `<utt> 1 <start> <duration> <word>`, in seconds from the start of the utterance;
`phones.ctm` has phones in the place of words (`atat.text.phones`), and silences among them.
Knows nothing of audio, of models or of the aligner: the readers of other formats
(`textgrid`, `align_gentle`, `align_librispeech`) and the aligners (`align_pocketsphinx`,
`forced_alignment`) all end in lists of `Word`, and `atat align` runs them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atat.base.errors import InputError
from atat.base.files import atomic_write, fields, read_lines
from atat.text.normalize import normalize
from atat.text.phones import phone

PHONES = "phones.ctm"  # beside ctm in a data dir
ALIGNMENT = ("ctm.json", "ctm.lost")  # what `atat align` writes there beside a ctm of its own
TOLERANCE = 0.05  # s: two frames of rounding between an aligner's clock and the audio's


class NotAligned(InputError):
    """One utterance has no alignment; the message says why. The aligning command counts these."""


@dataclass(frozen=True, slots=True)  # a corpus has tens of millions of phones
class Word:
    """One spoken word, or phone, in seconds from the start of its utterance."""

    text: str
    start: float
    duration: float

    @property
    def end(self) -> float:
        return self.start + self.duration


def read_ctm(path: str | Path) -> dict[str, list[Word]]:
    """Utterance id to its words in the order of the file; `<eps>` (Kaldi's silence) is left out.

    Raises InputError with file:line for a line that is not `<utt> <channel> <start> <duration>
    <word> [<confidence>]`, for times that are negative or not numbers, and for an utterance
    whose lines are in two places.
    """
    alignments: dict[str, list[Word]] = {}
    previous = None
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.startswith(";;"):
            continue
        utt, word = _parse_ctm_line(line, f"{path}:{number}")
        if utt != previous and utt in alignments:
            raise InputError(
                f"{path}:{number}: {utt} appeared before, further up; the lines of one utterance "
                f"must be together: remove one place, or sort with: LC_ALL=C sort -s -k1,1 {path}"
            )
        previous = utt
        words = alignments.setdefault(utt, [])
        if word.text != "<eps>":
            words.append(word)
    return alignments


def read_phones(path: str | Path) -> dict[str, list[Word]]:
    """Utterance id to its phones; see `read_ctm`.

    Raises InputError with the file and the utterance for a phone outside the set.
    """
    alignments = read_ctm(path)
    for utt, phones in alignments.items():
        for one in phones:
            try:
                if phone(one.text) != one.text:
                    raise InputError(f"{one.text!r} is written {phone(one.text)!r} here")
            except InputError as error:
                raise InputError(f"{path}: {utt}: {error}") from None
    return alignments


def write_ctm(path: str | Path, alignments: Mapping[str, Sequence[Word]]) -> None:
    """Write a ctm, utterances in C-locale order, times to 0.1 ms; the file appears whole."""
    with atomic_write(path) as stream:
        for utt in sorted(alignments, key=lambda key: key.encode()):
            stream.writelines(f"{utt} {row}\n" for row in ctm_rows(alignments[utt]))


def ctm_rows(words: Sequence[Word]) -> list[str]:
    """The lines of an utterance in a ctm, without its id."""
    rows = []
    for word in words:
        start, end = round(word.start, 4), round(word.end, 4)
        # From the rounded end, so that adjacent words are still adjacent when read back.
        rows.append(f"1 {start:.4f} {end - start:.4f} {word.text}")
    return rows


def normalize_words(words: Sequence[Word]) -> list[Word]:
    """Bring each word to the form of the data dir's `text`.

    A word that becomes several ("2nd" is one, "9:30" two) shares its time among them by their
    letters; a word of which nothing is left (a lone dash) is removed.
    """
    result = []
    for word in words:
        parts = normalize(word.text).split()
        letters = sum(map(len, parts))
        start = word.start
        for part in parts:
            duration = word.duration * (len(part) / letters)  # all of it where it is one
            result.append(Word(part, start, duration))
            start += duration
    return result


def check(
    words: Sequence[Word],
    text: str | None,
    duration: float | None,
    utt: str = "",
    *,
    length: float | None = None,
) -> list[str]:
    """What is wrong with the alignment of one utterance, a sentence each; empty if nothing is.

    `text` is the normalised transcript, `duration` the length of the audio in seconds, `length`
    that of the alignment if its format gives it (silence at the end included); None is not
    checked. Without `length` an alignment counts as shorter than its audio if more than half of
    the audio (but more than 1 s, and at most 2 s) follows its last word.
    """
    findings = check_times(words)
    if text is not None:
        findings += _check_text([word.text for word in words], text.split())
    if duration is not None and words:
        findings += _check_duration(words[-1].end, duration, length)
    prefix = f"{utt}: " if utt else ""
    return [prefix + finding for finding in findings]


def check_phones(
    phones: Sequence[Word], duration: float | None, *, length: float | None = None
) -> list[str]:
    """What is wrong with the phones of one utterance; arguments as those of `check`."""
    findings = check_times(phones, "phone")
    for position, one in enumerate(phones, start=1):
        try:
            if phone(one.text) != one.text:
                findings.append(f"phone {position} is {one.text!r}, written {phone(one.text)!r}")
        except InputError as error:
            findings.append(f"phone {position}: {error}")
    if duration is not None and phones:
        findings += _check_duration(phones[-1].end, duration, length, "phone")
    return findings


def _parse_ctm_line(line: str, where: str) -> tuple[str, Word]:
    found = fields(line)
    if len(found) not in (5, 6):
        raise InputError(
            f"{where}: {len(found)} fields, expected 5: <utt> <channel> <start> <duration> <word>"
        )
    utt, _, start, duration, text = found[:5]
    text = sys.intern(text)  # few of them, often
    return utt, Word(text, _seconds(start, "start", where), _seconds(duration, "duration", where))


def _seconds(value: str, name: str, where: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise InputError(f"{where}: {name} is {value!r}, expected seconds, a number of 0 or more")
    return seconds


def check_times(words: Sequence[Word], noun: str = "word") -> list[str]:
    """What is wrong with times by themselves: their numbers and their order."""
    findings = []
    previous_end = 0.0
    for position, word in enumerate(words, start=1):
        named = f"{noun} {position} ({word.text!r})"
        if not (math.isfinite(word.start) and math.isfinite(word.duration)):
            findings.append(f"{named} has times that are not numbers")
            continue
        if word.start < 0 or word.duration < 0:
            findings.append(
                f"{named} has a negative time (start {word.start:.3f} s, "
                f"duration {word.duration:.3f} s)"
            )
        elif word.start < previous_end - 1e-3:
            findings.append(
                f"{named} starts at {word.start:.3f} s, before the previous {noun} has ended "
                f"({previous_end:.3f} s)"
            )
        previous_end = max(previous_end, word.end)
    return findings


def _check_text(found: list[str], expected: list[str]) -> list[str]:
    if found == expected:
        return []
    if not found:
        return [f"no word is aligned, the text has {len(expected)}"]
    at = next(
        (i for i, (a, b) in enumerate(zip(found, expected)) if a != b),
        min(len(found), len(expected)),
    )
    here = repr(found[at]) if at < len(found) else "its end"
    there = repr(expected[at]) if at < len(expected) else "its end"
    return [
        f"other words than the text: at word {at + 1} the alignment has {here}, the text {there} "
        f"({len(found)} words against {len(expected)})"
    ]


def _check_duration(
    last_end: float, duration: float, length: float | None, noun: str = "word"
) -> list[str]:
    end, what = (last_end, f"its last {noun}") if length is None else (length, "it")
    # Silence may follow the last word; only the format's own length would say how much.
    silence = min(2.0, max(1.0, duration / 2)) if length is None else TOLERANCE
    if max(end, last_end) > duration + TOLERANCE:
        than = "longer"
    elif end < duration - silence:
        than = "shorter"
    else:
        return []
    return [
        f"the alignment is {than} than its audio: {what} ends at {max(end, last_end):.2f} s, "
        f"the audio at {duration:.2f} s"
    ]
