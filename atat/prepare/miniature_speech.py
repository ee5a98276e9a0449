"""The audio of made-up miniature corpora: short sentences spoken by a handful of espeak-ng voices.

A recipe's `local/make_mini.py` writes the layout of its corpus; this module makes the speech.
Knows nothing of layouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atat.datadir.ctm import Word
from atat.prepare import synthesis
from atat.speech import audio
from atat.text.normalize import normalize

# Distinct enough for different people; a speaker is a voice with its own rate.
VARIANTS = (
    "f1",
    "m1",
    "f2",
    "m2",
    "f3",
    "m3",
    "f4",
    "m4",
    "f5",
    "m5",
    "m6",
    "m7",
    "m8",
    "Andrea",
    "Alicia",
    "Gene",
    "linda",
    "Lee",
    "steph",
    "Andy",
)
RATES = (150, 165, 180, 195)  # words per minute


@dataclass(frozen=True)
class Line:
    """A sentence of one speaker (a number from 0), and its audio file."""

    path: Path  # its ending says the format: .wav or .flac
    text: str  # as written by people: digits and capitals are spoken as words
    speaker: int


def voice(speaker: int) -> str:
    """The voice of a speaker, in the form of `atat synthesis`."""
    variant = VARIANTS[speaker % len(VARIANTS)]
    return f"espeak:en-us+{variant}:rate={RATES[speaker // len(VARIANTS) % len(RATES)]}"


def speak(lines: Sequence[Line]) -> list[list[Word]]:
    """Write the audio of every line, 16 kHz mono, and return the times of its words.

    The words are those of the normalised text. Folders are made; equal lines give equal audio.
    """
    return [words for words, _ in speak_timed(lines)]


def speak_timed(lines: Sequence[Line]) -> list[tuple[list[Word], list[Word]]]:
    """As `speak`, with the times of words and of phones."""
    times = []
    for line in lines:
        spoken = synthesis.speak(voice(line.speaker), normalize(line.text))
        speech = synthesis.frame_speech(spoken, line.path.stem)
        line.path.parent.mkdir(parents=True, exist_ok=True)
        audio.save(line.path, speech.samples, synthesis.SAMPLE_RATE)
        assert speech.words is not None and speech.phones is not None  # espeak-ng gives them
        times.append((speech.words, speech.phones))
    return times
