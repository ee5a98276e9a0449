"""Decoding many recordings with pocketsphinx.

Each job names its search: a word network or an n-gram model. The acoustic model and dictionary are
those in pocketsphinx' wheel (US English).

Knows nothing of meaning: its output is words. `align_pocketsphinx` aligns known words.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from atat.base import digests
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.datadir import kaldi_dir
from atat.datadir.ctm import Word
from atat.prepare import hearing
from atat.prepare.hearing import Recognized
from atat.speech import audio

# Features are normalised over the whole recording, since all of it is available.
FEATURES = {"cmn": "batch"}
# A network is small: wide beams cost little. The lattice's best path is off, because it ignores
# that a network has an end and lets sentences stop in the middle. N-gram search has the defaults.
NETWORK_SEARCH = {"beam": 1e-60, "pbeam": 1e-60, "wbeam": 1e-40, "bestpath": False}

# A part of fingerprints: results of before `start_afresh` lack it, and are of another hearing.
HEARING = "each alone"

VARIANT = re.compile(r"\(\d+\)$")  # the(2): the dictionary's second pronunciation of "the"
LEAST_POSTERIOR = 1e-6  # of a word; a smaller one, which may be rounded to 0, counts as this


@dataclass(frozen=True)
class Network:
    """Sentences as an automaton over words; it starts in state 0.

    Each arc is (from state, to state, probability, word), the probabilities of the arcs of a
    state are equal. An arc with the word None ends a sentence: it leads to the state `final`.
    """

    arcs: tuple[tuple[int, int, float, str | None], ...]
    final: int


@dataclass(frozen=True)
class Job:
    """A recording to decode. `language_model` is a file; without it the network is searched.

    `dictionary` is a file of pronunciations that replaces the wheel's.
    """

    utterance: str
    wav: str
    start: float | None = None
    end: float | None = None
    network: Network | None = None
    language_model: str | None = None
    dictionary: str | None = None


def default_language_model() -> str:
    """The trigram model of general US English in pocketsphinx' wheel."""
    from pocketsphinx import get_model_path

    return str(get_model_path("en-us/en-us.lm.bin"))


def version() -> str:
    """The name of the installed pocketsphinx in results."""
    from importlib.metadata import version as installed

    return f"pocketsphinx {installed('pocketsphinx')}"


def jobs_for(utterances: Iterable[kaldi_dir.Utterance], **search: Any) -> list[Job]:
    """A job for each utterance, all with the same search; InputError for one without audio."""
    return [Job(*span, **search) for span in hearing.spans_of(utterances)]


def check_words(words: Iterable[str]) -> None:
    """Raise InputError for words that pocketsphinx has no pronunciation of."""
    missing = unknown_words(words)
    if missing:
        raise InputError(f"pocketsphinx has no pronunciation of: {', '.join(missing)}")


def unknown_words(words: Iterable[str]) -> list[str]:
    """The words that pocketsphinx has no pronunciation of, sorted."""
    decoder = _decoder(None, None)
    return sorted(word for word in set(words) if decoder.lookup_word(word) is None)


def write_dictionary(words: Iterable[str], path: Path) -> None:
    """Write the wheel's pronunciations and espeak-ng's of some words that are missing there."""
    from atat.text.pronunciation import PronunciationError, phones_of

    lines = []
    for word in words:
        try:
            lines.append(f"{word} {' '.join(phones_of(word))}\n")
        except (PronunciationError, RuntimeError) as error:
            raise InputError(f"no pronunciation of {word!r}: {error}") from None
    known = Path(_dictionary()).read_text(encoding="utf-8")
    with atomic_write(path) as stream:
        stream.write(known if known.endswith("\n") else known + "\n")
        stream.writelines(lines)


def decode(
    jobs: Sequence[Job], journal: Path, nj: int, lost: dict[str, str] | None = None
) -> dict[str, Recognized]:
    """Decode all jobs; returns utterance -> result. lost: as in `hearing.decode`."""
    key = _fingerprint(jobs)
    return hearing.decode(jobs, journal, nj, hear=hear, key=key, name="pocketsphinx", lost=lost)


def hear(jobs: Sequence[Job]) -> list[Recognized]:
    """Decode recordings in this process."""
    return [_hear(job) for job in jobs]


def _hear(job: Job) -> Recognized:
    return hear_samples(audio.load(job.wav, job.start, job.end), job)


def hear_samples(samples: np.ndarray, job: Job) -> Recognized:
    """Decode samples (T,) at 16 kHz with the search of a job."""
    decoder = _decoder(job.language_model, job.dictionary)
    if job.network is not None:
        _search(decoder, job.network)
    begun = time.perf_counter()
    start_afresh(decoder)
    # A file of floats may hold samples beyond 1, which would wrap around.
    pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
    decoder.process_raw(pcm.tobytes(), full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    segments = [
        segment
        for segment in decoder.seg() or ()
        if hypothesis is not None and segment.word[0] not in "<[+("
    ]
    return Recognized(
        job.utterance,
        text=hypothesis.hypstr if hypothesis is not None else "",
        score=hypothesis.score if hypothesis is not None else 0.0,
        confidence=_confidence(segments) if segments else None,
        words=_words(segments, decoder.config["frate"]),
        at_limit=False,
        seconds=len(samples) / audio.SAMPLE_RATE,
        wall_seconds=time.perf_counter() - begun,
    )


def start_afresh(decoder: Any) -> None:
    """Begin an utterance as if it were the decoder's first.

    The removal of noise keeps what it heard in earlier ones, and so would make results depend on
    their order, and on the number of processes.
    """
    decoder.reinit_feat()
    decoder.start_utt()


def _confidence(segments: Sequence[Any]) -> float:
    """The mean log posterior of the words, in the lattice of an n-gram search."""
    floor = math.log(LEAST_POSTERIOR)
    logs = [max(math.log(one.prob), floor) if one.prob > 0 else floor for one in segments]
    return sum(logs) / len(logs)


def _words(segments: Sequence[Any], rate: int) -> tuple[Word, ...]:
    """The words with their times; rate: frames a second."""
    return tuple(
        Word(
            VARIANT.sub("", one.word),
            one.start_frame / rate,
            (one.end_frame + 1 - one.start_frame) / rate,
        )
        for one in segments
    )


@lru_cache(maxsize=1)
def _decoder(language_model: str | None, dictionary: str | None) -> Any:
    """A decoder; one is kept for each worker, since loading its model takes a second."""
    from pocketsphinx import Decoder, get_model_path

    search = NETWORK_SEARCH if language_model is None else {}
    return Decoder(
        hmm=get_model_path("en-us/en-us"),
        lm=language_model,
        loglevel="FATAL",
        dict=dictionary or _dictionary(),
        **FEATURES,
        **search,
    )


def _dictionary() -> str:
    from pocketsphinx import get_model_path

    return str(get_model_path("en-us/cmudict-en-us.dict"))


@lru_cache(maxsize=1)
def _search(decoder: Any, network: Network) -> None:
    """Search this network from now on; the latest one stays active between calls."""
    # One name for all, so that networks of single recordings do not accumulate.
    arcs = [arc if arc[3] is not None else arc[:3] for arc in network.arcs]
    decoder.add_fsg("orders", decoder.create_fsg("orders", 0, network.final, arcs))
    decoder.activate_search("orders")


def _fingerprint(jobs: Sequence[Job]) -> str:
    content: list[Any] = [version(), HEARING, FEATURES, NETWORK_SEARCH]
    content += [hearing.digest_of(wav) for wav in dict.fromkeys(job.wav for job in jobs)]
    files = dict.fromkeys(name for job in jobs for name in (job.language_model, job.dictionary))
    content += [digests.of_file(name) for name in files if name is not None]
    for job in jobs:
        content.append([repr(replace(job, network=None)), hash_of(job.network)])
    return digests.of_text(json.dumps(content))


@lru_cache
def hash_of(network: Network | None) -> str:
    """A name for a network that is the same in every process."""
    return digests.of_text(repr(network))
