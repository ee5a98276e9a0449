"""Recordings given to Moonshine's own recogniser, one utterance a call."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from atat.base import digests, encoder_files
from atat.prepare import hearing
from atat.prepare.hearing import Recognized, Span
from atat.speech import audio
from atat.speech.moonshine_asr import MoonshineRecognizer
from atat.text.normalize import normalize

NAME = "moonshine-tiny"


def version() -> str:
    """The name of the recogniser in results; InputError if it is not on this machine."""
    origin = encoder_files.read_origin(NAME, encoder_files.folder_of(NAME))
    return f"{NAME} ({origin.source}, sha256 {origin.sha256[:12]})"


def decode(
    jobs: Sequence[Span], journal: Path, nj: int, lost: dict[str, str]
) -> dict[str, Recognized]:
    """Transcribe all recordings; returns utterance -> result, its text normalised.

    lost: as in `hearing.decode`. Raises InputError for a recogniser that cannot be used, which
    workers would tell of every recording.
    """
    _recognizer.cache_clear()  # the folder may have changed since an earlier call in this process
    _recognizer()
    known = {wav: hearing.digest_of(wav) for wav in dict.fromkeys(job.wav for job in jobs)}
    content = [version(), known, jobs]
    key = digests.of_text(json.dumps(content))
    return hearing.decode(jobs, journal, nj, hear=hear, key=key, name=NAME, lost=lost)


def hear(jobs: Sequence[Span]) -> list[Recognized]:
    """Transcribe recordings in this process, each alone (see `atat.speech.moonshine`)."""
    return [_hear(job) for job in jobs]


def _hear(job: Span) -> Recognized:
    return hear_samples(audio.load(job.wav, job.start, job.end), job.utterance)


def hear_samples(samples: np.ndarray, name: str = "") -> Recognized:
    """Transcribe samples (T,) at 16 kHz, called `name` in the result."""
    recognizer = _recognizer()
    begun = time.perf_counter()
    written = recognizer(samples)
    text = normalize(recognizer.text_of(written.tokens))
    return Recognized(
        name,
        text=text,
        score=written.log_prob,
        confidence=written.mean if text else None,
        words=None,
        at_limit=written.at_limit,
        seconds=len(samples) / audio.SAMPLE_RATE,
        wall_seconds=time.perf_counter() - begun,
    )


@lru_cache(maxsize=1)
def _recognizer() -> MoonshineRecognizer:
    return MoonshineRecognizer(NAME)
