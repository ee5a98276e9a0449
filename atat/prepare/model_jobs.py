"""Recordings given to a packed model of ours, for its task asr, in batches of similar length.

The model is reached by the contract (`atat.engine.contract`): any system that has the task will do.
If it has a CTC head, its words get their times by forced alignment (`align_model`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from atat.base import digests
from atat.base.errors import InputError
from atat.datadir import fingerprint
from atat.datadir.ctm import Word
from atat.datadir.kaldi_dir import Utterance
from atat.prepare import hearing
from atat.prepare.hearing import Recognized, Span

if TYPE_CHECKING:
    import numpy as np

    from atat.engine.contract import Recognizer
    from atat.prepare.align_model import ModelAligner

TASK = "asr"
BATCH = 16  # utterances that are decoded together
SEARCH = {"beam": 4, "nbest": 1}  # the beam of `atat decode`


class Job(NamedTuple):
    """A recording, and the model that hears it."""

    span: Span
    model: str
    device: str
    precision: str

    @property
    def utterance(self) -> str:
        return self.span.utterance


def decode(
    spans: Sequence[Span], journal: Path, nj: int, lost: dict[str, str], *, model: Path, device: str
) -> dict[str, Recognized]:
    """Transcribe all recordings; returns utterance -> result. lost: as in `hearing.decode`.

    Raises InputError for a model that has not learned the task.
    """
    _loaded.cache_clear()  # the folder may have changed since an earlier call in this process
    recognizer, _ = _loaded(str(model), device, "auto")
    known = {wav: hearing.digest_of(wav) for wav in dict.fromkeys(span.wav for span in spans)}
    # auto is resolved here, so that an interrupted run does not go on in another precision.
    precision = recognizer.precision
    content = [*fingerprint.of_model(model).values(), SEARCH, BATCH, precision, known, spans]
    jobs = [Job(span, str(model), device, precision) for span in spans]
    # Utterances of similar length share a batch, so that little of it is padding.
    jobs.sort(key=lambda job: recognizer.measure(_utterance(job.span), TASK)[0])
    key = digests.of_text(json.dumps(content))
    return hearing.decode(
        jobs, journal, nj, hear=hear, key=key, name=model.name, batch=BATCH, lost=lost
    )


def hear(jobs: Sequence[Job]) -> list[Recognized]:
    """Transcribe recordings in this process, as one batch."""
    recognizer, aligner = _loaded(*jobs[0][1:])
    begun = time.perf_counter()
    # A recording that is shorter than one frame holds no word.
    heard = [job for job in jobs if recognizer.measure(_utterance(job.span), TASK)[0]]
    sources = [_read(recognizer, job.span) for job in heard]
    found, words = _heard(recognizer, aligner, sources) if heard else ([], [])
    wall = (time.perf_counter() - begun) / len(jobs)
    best = {job.utterance: (nbest[0], one) for job, nbest, one in zip(heard, found, words)}
    nothing = ({"text": "", "score": 0.0}, None)
    results = []
    for job in jobs:
        hypothesis, timed = best.get(job.utterance, nothing)
        text = hypothesis["text"]
        results.append(
            Recognized(
                job.utterance,
                text=text,
                score=hypothesis["score"],
                confidence=hypothesis["score"] if text else None,
                words=timed,
                at_limit=bool(hypothesis.get("at_limit")),
                seconds=job.span.seconds,
                wall_seconds=wall,
            )
        )
    return results


def _read(recognizer: Recognizer, span: Span) -> np.ndarray:
    return recognizer.read(_utterance(span), TASK)


def _heard(
    recognizer: Recognizer, aligner: ModelAligner | None, sources: Sequence[np.ndarray]
) -> tuple[list[list[dict[str, Any]]], list[tuple[Word, ...] | None]]:
    """The hypotheses of each source, and the words of the best one with their times; None for a
    text that the CTC head cannot place."""
    from atat.prepare.align_model import Heard

    shared = Heard(recognizer, sources, TASK)
    found = shared.hypotheses(TASK)
    if aligner is None:
        return found, [None] * len(found)
    placed = shared.words(aligner, [nbest[0]["text"] for nbest in found])
    return found, [None if isinstance(words, str) else tuple(words) for words in placed]


def _utterance(span: Span) -> Utterance:
    cut = span.start is not None or span.end is not None
    return Utterance(
        span.utterance,
        "",
        wav=span.wav,
        start=span.start,
        end=span.end,
        duration=span.seconds if cut else None,
    )


@lru_cache(maxsize=1)
def _loaded(model: str, device: str, precision: str) -> tuple[Recognizer, ModelAligner | None]:
    """The model, ready to decode, and what aligns with its CTC head if it has one."""
    from atat.engine import model_folder, registry
    from atat.prepare.align_model import ModelAligner, has_ctc

    packed = model_folder.load(model, device)
    if TASK not in packed.tasks:
        raise InputError(
            f"{model}: the model has no task {TASK}, which writes transcripts; it learned "
            f"{', '.join(packed.tasks)}. Train it on {TASK} too, or choose another --engine"
        )
    system = registry.find(packed.system, model)
    recognizer = system.recognizer(packed, precision=precision, **SEARCH)
    recognizer.check_task(TASK)
    return recognizer, ModelAligner(model, device, packed) if has_ctc(packed) else None
