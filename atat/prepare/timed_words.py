"""The words of one recording with their times, by a recogniser on this machine.

moonshine       Moonshine writes the words, pocketsphinx finds their times
pocketsphinx    both from its own search, with its model of general US English

For programs that read spoken words and are given a recording (`atat recognize --question`); data
dirs get theirs from `atat transcribe` and `atat align`.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from atat.base.errors import InputError
from atat.datadir.ctm import NotAligned, Word, normalize_words

if TYPE_CHECKING:
    from atat.prepare.align_pocketsphinx import Aligner

ENGINES = ("moonshine", "pocketsphinx")
OTHERWISE = "give the words with their times (words=, --ctm)"
# Recognisers are kept between calls, and one of pocketsphinx is not for several threads at once.
_LOCK = threading.Lock()


def heard(samples: np.ndarray, engine: str) -> list[Word]:
    """Normalised words of samples (T,) at 16 kHz; [] where none is heard.

    Threads that call it at the same time wait for each other. Raises InputError for a recogniser
    that is unknown or not on this machine, and for words whose times cannot be found.
    """
    if engine not in ENGINES:
        raise InputError(f"recogniser {engine!r} is unknown; expected {' or '.join(ENGINES)}")
    try:
        with _LOCK:
            return _by_moonshine(samples) if engine == "moonshine" else _by_pocketsphinx(samples)
    except NotAligned as error:
        raise InputError(f"{error}; {OTHERWISE}") from None
    except InputError as error:
        raise InputError(f"the words of the recording: {error}; or {OTHERWISE}") from None


def _by_moonshine(samples: np.ndarray) -> list[Word]:
    from atat.prepare import moonshine_jobs

    words = moonshine_jobs.hear_samples(samples).text.split()
    return _aligner().align(samples, words)


def _by_pocketsphinx(samples: np.ndarray) -> list[Word]:
    from atat.base import extras

    with extras.needed("aligners", by="the recogniser pocketsphinx"):
        from atat.prepare import sphinx

        job = sphinx.Job("", "", language_model=sphinx.default_language_model())
    return normalize_words(sphinx.hear_samples(samples, job).words or ())


@lru_cache(maxsize=1)
def _aligner() -> Aligner:
    from atat.prepare.align_pocketsphinx import Aligner

    return Aligner()
