"""The utterances that a decoding got most wrong, with their sound to play.

Clips are short and few, and as small as MP3 makes speech: a page is sent by mail. Knows nothing of
models.
"""

from __future__ import annotations

import base64
import difflib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from atat.apps.report.content import Block, Example, Examples, Note, Piece
from atat.base.errors import InputError
from atat.base.pipes import is_pipe
from atat.datadir import contents
from atat.datadir.kaldi_dir import Utterance
from atat.scoring.score import Scored
from atat.speech import audio
from atat.text import trees

LONGEST = 10.0  # s of a clip
TOTAL = 4_000_000  # bytes of all clips of a page
ERRORS = ("semer", "wer", "cer")  # the first that there is orders the utterances


@dataclass
class Budget:
    """How many bytes of sound a page may still hold."""

    left: int = TOTAL


def blocks(
    scored: Sequence[Scored],
    utterances: Mapping[str, Utterance],
    why_silent: str,
    count: int,
    budget: Budget,
) -> Iterator[Block]:
    """The `count` worst utterances; nothing if no errors of utterances were counted.

    utterances: of the data dir, for their sound; why_silent: why there are none, if there are none.
    """
    wrong = worst(scored)
    if wrong is None:
        return
    if not wrong:
        yield Note("Every utterance is right.")
        return
    if not utterances:
        yield Note(f"Without sound: {why_silent}.")
    shown = [_example(one, utterances.get(one.utt), budget) for one in wrong[:count]]
    yield Note(
        f"The worst {len(shown)} of {len(wrong):,} utterances with an error, of {len(scored):,}; "
        f"sound up to {LONGEST:g} s of each. Marked: what the other side lacks."
    )
    yield Examples(tuple(shown))


def worst(scored: Sequence[Scored]) -> list[Scored] | None:
    """Utterances with an error, those with the most errors first, then the shorter.

    None if there is no count of errors, as in what `atat frames` writes.
    """
    known = next((name for name in ERRORS if scored and name in scored[0].counts), None)
    if known is None:
        return None
    wrong = [one for one in scored if one.counts[known][0] or not one.counts["em_full"][0]]
    return sorted(wrong, key=lambda one: (-one.counts[known][0], one.counts[known][1], one.utt))


def _example(one: Scored, utterance: Utterance | None, budget: Budget) -> Example:
    names = {"semer": "intents and slots", "wer": "words", "cer": "characters"}
    known = next(name for name in ERRORS if name in one.counts)
    errors, total = one.counts[known]
    about = f"{errors:g} errors in {total:g} {names[known]}"
    reference, hypothesis = one.ref.split(), one.hyp.split()
    reference_marks, hypothesis_marks = differences(reference, hypothesis)
    clip, note = _clip(utterance, budget) if utterance is not None else ("", "")
    return Example(
        one.utt,
        about,
        _pieces(reference, reference_marks),
        _pieces(hypothesis, hypothesis_marks),
        clip,
        note,
    )


def differences(first: Sequence[str], second: Sequence[str]) -> tuple[list[bool], list[bool]]:
    """For each token of two lines, whether the other line lacks it in its place."""
    marks = [True] * len(first), [True] * len(second)
    matcher = difflib.SequenceMatcher(a=first, b=second, autojunk=False)
    for i, j, size in matcher.get_matching_blocks():
        marks[0][i : i + size] = [False] * size
        marks[1][j : j + size] = [False] * size
    return marks


def _pieces(tokens: Sequence[str], marks: Sequence[bool]) -> tuple[Piece, ...]:
    return tuple(
        Piece(token, trees.is_open(token) or trees.is_close(token), differs)
        for token, differs in zip(tokens, marks)
    )


def _clip(utterance: Utterance, budget: Budget) -> tuple[str, str]:
    """The sound as a data: URI, and a remark about it."""
    if utterance.wav is None:
        return "", "no sound: the data dir has features only"
    if is_pipe(utterance.wav):
        return "", "no sound: wav.scp has a shell command, which is not run here"
    try:
        samples = contents.read_recording(utterance)
    except InputError as error:
        return "", f"no sound: {error}"
    if budget.left <= 0:
        return "", f"no sound: the page has {TOTAL / 1e6:g} MB of it already"
    longest = round(LONGEST * audio.SAMPLE_RATE)
    uri = encode(samples[:longest])
    budget.left -= len(uri)
    seconds = len(samples) / audio.SAMPLE_RATE
    return uri, f"the first {LONGEST:g} of {seconds:.1f} s" if len(samples) > longest else ""


def encode(samples: np.ndarray) -> str:
    """Samples (T,) at 16 kHz as the data: URI of an MP3, or of a FLAC where there is no encoder."""
    import soundfile

    buffer = io.BytesIO()
    options: dict[str, Any]
    if "MP3" in soundfile.available_formats():
        kind, options = "mpeg", {"format": "MP3", "subtype": "MPEG_LAYER_III"}
        options |= {"bitrate_mode": "VARIABLE", "compression_level": 0.8}
    else:
        kind, options = "flac", {"format": "FLAC"}
    soundfile.write(buffer, np.clip(samples, -1, 1), audio.SAMPLE_RATE, **options)
    return f"data:audio/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
