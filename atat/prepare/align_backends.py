"""The backends of `atat align` behind one function: utterances in, words with times out.

Where they are asked for, and the backend knows them, phones with times, too.

Three read the files of another aligner (`textgrid`, `gentle`, `librispeech`) and compare them
with text and audio; two align themselves (`pocketsphinx`, `ctc`). Knows nothing of output files,
processes or limits. Decoders, models and file lists are kept for the life of a process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from atat.base import pipes
from atat.base.errors import InputError
from atat.datadir.ctm import TOLERANCE, NotAligned, Word, check, check_phones
from atat.datadir.kaldi_dir import Utterance
from atat.prepare import hearing, sphinx
from atat.speech import audio
from atat.text.normalize import normalize

if TYPE_CHECKING:
    import numpy as np

    from atat.prepare.align_model import ModelAligner
    from atat.prepare.align_pocketsphinx import Aligner

# Each backend and its source besides the data dir: an option of the command line.
SOURCES = {
    "textgrid": "textgrids",
    "gentle": "json",
    "librispeech": "alignments",
    "pocketsphinx": None,
    "ctc": "model",
}
# These need memory or a GPU once, not once a process.
IN_PROCESS = frozenset({"librispeech", "ctc"})
WITH_PHONES = ("textgrid", "pocketsphinx")
BATCH = 16  # utterances that the model encodes at once


@dataclass(frozen=True)
class Settings:
    """The backend and its options; `source` is the folder that it reads from."""

    backend: str
    source: str | None = None
    tier: str = "words"
    device: str = "cpu"
    resample: bool = False
    channel: int | None = None
    allow_pipes: bool = False
    # Without it settings look as they did before there were phones: what is aligned stays aligned.
    phones: bool = field(default=False, repr=False)


@dataclass(frozen=True)
class Aligned:
    """An alignment and the length of its audio in seconds, if known."""

    words: list[Word]
    duration: float | None
    phones: list[Word] | None = None


Outcome = dict[str, Aligned | str]  # by utterance; a string says why there is no alignment


def align(utterances: Sequence[Utterance], settings: Settings) -> Outcome:
    """Align some utterances, each with `text`, and `wav` for the backends that need audio.

    An error of one utterance (its audio, its file, no alignment found) is its outcome.
    """
    if settings.backend == "ctc":
        return _align_ctc(utterances, settings)
    one = _ONE[settings.backend]
    outcome: Outcome = {}
    for utterance in utterances:
        try:
            outcome[utterance.id] = one(utterance, settings)
        except InputError as error:
            outcome[utterance.id] = str(error)
    return outcome


def listens(settings: Settings) -> bool:
    """Whether the backend needs the audio itself."""
    return settings.backend in ("pocketsphinx", "ctc")


def prepare(settings: Settings) -> None:
    """Raise InputError now for errors that would otherwise repeat for every utterance."""
    # These folders may have changed since an earlier call in this process.
    for cached in (_files, _condensed, _model):
        cached.cache_clear()
    if settings.backend == "pocketsphinx":
        _pocketsphinx()
    elif settings.backend == "ctc":
        _model(settings)
    elif settings.backend == "librispeech":
        _condensed(settings)
    else:
        _files(str(settings.source), _SUFFIX[settings.backend])


def origin(utterance: Utterance, settings: Settings) -> str:
    """State of what an alignment is made from: recording, another aligner's words, model.

    The string changes with them, and with the length that others' words are compared to; not with
    the decimals of that length.
    """
    parts = [_stamp(Path(utterance.wav) if utterance.wav else None)]
    if settings.backend in _SUFFIX:
        path = _files(str(settings.source), _SUFFIX[settings.backend]).get(utterance.id)
        parts += [_stamp(path), _length(utterance)]
    elif settings.backend == "librispeech":
        parts += [repr(_condensed(settings).get(utterance.id)), _length(utterance)]
    elif settings.backend == "pocketsphinx":
        parts.append(sphinx.HEARING)
    elif settings.backend == "ctc":
        parts.append(_stamp(Path(str(settings.source)) / "model.safetensors"))
    return " ".join(parts)


def _stamp(path: Path | None) -> str:
    try:
        stat = os.stat(path) if path is not None else None
    except OSError:
        stat = None
    return f"{path}:{stat.st_size}:{stat.st_mtime_ns}" if stat else f"{path}"


def _length(utterance: Utterance) -> str:
    """The recording's length, or the tables' if that is another; to 10 ms.

    What tables say of it is rounded in many ways, and written anew by `atat features`.
    """
    known, recorded = utterance.duration, _recorded(utterance)
    if recorded is not None and (known is None or abs(known - recorded) < TOLERANCE):
        known = recorded
    return "unknown" if known is None else f"{known:.2f}"


def _read_textgrid(utterance: Utterance, settings: Settings) -> Aligned:
    from atat.prepare.textgrid import read_phones, read_textgrid

    path = _file(utterance, settings)
    words, length = read_textgrid(path, settings.tier)
    found = _checked(utterance, words, settings, length)
    if not settings.phones:
        return found
    phones, _ = read_phones(path)
    if findings := check_phones(phones, found.duration, length=length):
        raise NotAligned("; ".join(findings))
    return replace(found, phones=phones)


def _read_gentle(utterance: Utterance, settings: Settings) -> Aligned:
    from atat.prepare.align_gentle import read_gentle

    words = read_gentle(_file(utterance, settings), duration(utterance, settings))
    return _checked(utterance, words, settings, None)


def _read_librispeech(utterance: Utterance, settings: Settings) -> Aligned:
    found = _condensed(settings).get(utterance.id)
    if found is None:
        raise NotAligned(f"no line for it in the *.alignment.txt files under {settings.source}")
    return _checked(utterance, found[0], settings, found[1])


def _align_pocketsphinx(utterance: Utterance, settings: Settings) -> Aligned:
    samples = _load(utterance, settings)
    text, seconds = normalize(str(utterance.text)).split(), len(samples) / audio.SAMPLE_RATE
    if settings.phones:
        words, phones = _pocketsphinx().align_phones(samples, text)
        return Aligned(words, seconds, phones)
    return Aligned(_pocketsphinx().align(samples, text), seconds)


_ONE: Mapping[str, Callable[[Utterance, Settings], Aligned]] = {
    "textgrid": _read_textgrid,
    "gentle": _read_gentle,
    "librispeech": _read_librispeech,
    "pocketsphinx": _align_pocketsphinx,
}
_SUFFIX = {"textgrid": ".textgrid", "gentle": ".json"}


def _checked(
    utterance: Utterance, words: list[Word], settings: Settings, length: float | None
) -> Aligned:
    """The words, if they match the text and fit the audio; raises NotAligned if not."""
    seconds = duration(utterance, settings)
    findings = check(words, normalize(str(utterance.text)), seconds, length=length)
    if findings:
        raise NotAligned("; ".join(findings))
    return Aligned(words, length if seconds is None else seconds)


def duration(utterance: Utterance, settings: Settings) -> float | None:
    """Seconds of audio from the tables, else from the header of the file."""
    if utterance.duration is not None or not utterance.wav:
        return utterance.duration
    recorded = _recorded(utterance)
    return len(_load(utterance, settings)) / audio.SAMPLE_RATE if recorded is None else recorded


def _recorded(utterance: Utterance) -> float | None:
    """Seconds of audio by segment and header; None where they cannot be read."""
    if utterance.wav is None or pipes.is_pipe(utterance.wav):
        return None
    try:
        (span,) = hearing.spans_of([utterance])
        return span.seconds
    except InputError:
        return None


def _load(utterance: Utterance, settings: Settings) -> np.ndarray:
    return audio.load(
        str(utterance.wav),
        utterance.start,
        utterance.end,
        resample=settings.resample,
        channel=settings.channel,
        allow_pipes=settings.allow_pipes,
    )


def _file(utterance: Utterance, settings: Settings) -> Path:
    suffix = _SUFFIX[settings.backend]
    path = _files(str(settings.source), suffix).get(utterance.id)
    if path is None:
        raise NotAligned(f"no file {utterance.id}{suffix} under {settings.source}")
    return path


@lru_cache(maxsize=1)
def _files(folder: str, suffix: str) -> dict[str, Path]:
    """Name without suffix to path of all such files in a folder and those inside it."""
    found: dict[str, Path] = {}
    for path in _walk(folder):
        if path.suffix.lower() != suffix:
            continue
        if path.stem in found:
            raise InputError(f"{path}: {found[path.stem]} has the same name; keep one of the two")
        found[path.stem] = path
    if not found:
        raise InputError(f"{folder}: no file *{suffix} here or in its folders")
    return found


@lru_cache(maxsize=1)
def _condensed(settings: Settings) -> dict[str, tuple[list[Word], float]]:
    from atat.prepare.align_librispeech import read_librispeech

    found: dict[str, tuple[list[Word], float]] = {}
    first: dict[str, Path] = {}
    for path in _walk(str(settings.source)):
        if not path.name.endswith(".alignment.txt"):
            continue
        for utt, aligned in read_librispeech(path).items():
            if first.setdefault(utt, path) != path:
                raise InputError(f"{path}: {utt} has a line in {first[utt]}, too; keep one of them")
            found[utt] = aligned
    if not found:
        raise InputError(f"{settings.source}: no file *.alignment.txt here or in its folders")
    return found


def _walk(folder: str) -> Iterator[Path]:
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: no such folder")
    return (path for path in sorted(Path(folder).rglob("*")) if path.is_file())


@lru_cache(maxsize=1)
def _pocketsphinx() -> Aligner:
    from atat.prepare.align_pocketsphinx import Aligner

    return Aligner()


@lru_cache(maxsize=1)
def _model(settings: Settings) -> ModelAligner:
    from atat.prepare.align_model import ModelAligner

    return ModelAligner(str(settings.source), settings.device)


def _align_ctc(utterances: Sequence[Utterance], settings: Settings) -> Outcome:
    outcome: Outcome = {}
    loaded: list[tuple[Utterance, np.ndarray]] = []
    for utterance in utterances:
        try:
            loaded.append((utterance, _load(utterance, settings)))
        except InputError as error:
            outcome[utterance.id] = str(error)
    # Utterances of similar length share a batch, so that little of it is padding.
    loaded.sort(key=lambda pair: len(pair[1]))
    for first in range(0, len(loaded), BATCH):
        batch = loaded[first : first + BATCH]
        found = _model(settings).align(
            [samples for _, samples in batch], [normalize(str(u.text)) for u, _ in batch]
        )
        for (utterance, samples), words in zip(batch, found):
            seconds = len(samples) / audio.SAMPLE_RATE
            outcome[utterance.id] = words if isinstance(words, str) else Aligned(words, seconds)
    return outcome
