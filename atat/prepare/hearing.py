"""Many recordings given to a recogniser, in parallel and resumable.

Results go line by line to a journal, so that an interrupted run continues where it stopped; a
journal of other settings is discarded. Recordings are heard in batches that do not depend on what
an earlier run has done, nor on the number of processes: a batch of which a line is missing is heard
again as a whole. One with a recording that cannot be read is heard one by one. Knows no recogniser.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from atat.base import parallel
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.datadir import contents, kaldi_dir
from atat.datadir.ctm import Word
from atat.speech import audio


class Heard(Protocol):
    """A recording to be heard."""

    @property
    def utterance(self) -> str: ...


J = TypeVar("J", bound=Heard)


class Span(NamedTuple):
    """An utterance's recording, and its start and end (s) in it."""

    utterance: str
    wav: str
    start: float | None = None
    end: float | None = None

    @property
    def seconds(self) -> float:
        """Its length; raises InputError for a file that cannot be read."""
        end = audio.duration(self.wav) if self.end is None else self.end
        return end - (self.start or 0.0)


def spans_of(utterances: Iterable[kaldi_dir.Utterance]) -> list[Span]:
    """The recording of each utterance; InputError for one without audio."""
    spans = []
    for one in utterances:
        if one.wav is None:
            raise InputError(f"utterance {one.id!r} has no audio (wav.scp) to decode")
        spans.append(Span(one.id, one.wav, one.start, one.end))
    return spans


@dataclass(frozen=True)
class Recognized:
    """What was recognised in a recording.

    `words` are those of `text` with their times, None if the recogniser gives no times (or, for
    this recording, found none); `confidence` grows with the trust in `text` and is None where
    nothing was recognised. `seconds` is the length of the recording, `wall_seconds` the time of its
    decoding.
    """

    utterance: str
    text: str  # "" for nothing
    score: float  # of the recogniser's own kind
    confidence: float | None
    words: tuple[Word, ...] | None
    at_limit: bool  # ended by a limit on the length: it may be cut
    seconds: float
    wall_seconds: float


def decode(
    jobs: Sequence[J],
    journal: Path,
    nj: int,
    *,
    hear: Callable[[Sequence[J]], list[Recognized]],
    key: str,
    name: str,
    batch: int = 1,
    lost: dict[str, str] | None = None,
) -> dict[str, Recognized]:
    """Hear all recordings; returns utterance -> result, in the order of the jobs.

    hear: a function of a module, called in other processes with at most `batch` jobs. key: of the
    journal; a digest of all that the results depend on. name: of the recogniser, on the progress
    bar. lost: gets the utterances that cannot be read, with the reason, and they have no result;
    without it the first of them is an InputError.
    """
    from tqdm import tqdm

    found = _read_journal(journal, key)
    batches = [jobs[first : first + batch] for first in range(0, len(jobs), batch)]
    todo = [part for part in batches if any(job.utterance not in found for job in part)]
    again = {job.utterance for part in todo for job in part}
    done = {one.utterance: one for one in found.values() if one.utterance not in again}
    with atomic_write(journal) as stream:  # a kill or a full disk leaves the earlier results
        lines = [{"settings": key}, *(asdict(heard) for heard in done.values())]
        stream.writelines(json.dumps(line) + "\n" for line in lines)
    with (
        open(journal, "a", encoding="utf-8") as stream,
        tqdm(total=len(jobs), initial=len(done), unit="utt", desc=name) as bar,
    ):
        for part in parallel.run(partial(_hear_each, hear), todo, nj):
            for heard in part:
                if isinstance(heard, Unread):
                    _lose(heard, lost)
                    continue
                done[heard.utterance] = heard
                stream.write(json.dumps(asdict(heard)) + "\n")
            stream.flush()
            bar.update(len(part))
    return {job.utterance: done[job.utterance] for job in jobs if job.utterance in done}


class Unread(NamedTuple):
    """An utterance that cannot be read, and why."""

    utterance: str
    why: str


def _hear_each(
    hear: Callable[[Sequence[J]], list[Recognized]], jobs: Sequence[J]
) -> list[Recognized | Unread]:
    """Hear a batch; if a recording in it cannot be read, each alone. Runs in a worker process."""
    try:
        return [*hear(jobs)]
    except InputError as error:
        if len(jobs) == 1:
            return [Unread(jobs[0].utterance, str(error))]
    return [heard for job in jobs for heard in _hear_each(hear, [job])]


def _lose(one: Unread, lost: dict[str, str] | None) -> None:
    if lost is None:
        raise InputError(f"utterance {one.utterance}: {one.why}")
    lost[one.utterance] = one.why


def digest_of(wav: str) -> str:
    """Digest of a recording, so that another one of the same name is decoded again."""
    try:
        return contents.digest_of_file(wav)
    except OSError:
        return ""  # the error comes when it is read


def _read_journal(path: Path, key: str) -> dict[str, Recognized]:
    """The results of an earlier run with the same settings."""
    if not path.exists():
        return {}
    first, *lines = path.read_bytes().split(b"\n")
    if first != json.dumps({"settings": key}).encode():
        return {}
    done: dict[str, Recognized] = {}
    for line in lines:
        try:
            heard = _recognized(json.loads(line))
            done[heard.utterance] = heard
        except (ValueError, TypeError, AttributeError, RecursionError):
            continue  # the run was interrupted while writing this line, or it is of an older atat
    return done


def _recognized(values: dict[str, Any]) -> Recognized:
    words = values.get("words")
    timed = None if words is None else tuple(Word(**word) for word in words)
    return Recognized(**{**values, "words": timed})


def totals(heard: Mapping[str, Recognized]) -> tuple[float, float]:
    """Seconds of audio, and seconds of decoding."""
    return (
        sum(one.seconds for one in heard.values()),
        sum(one.wall_seconds for one in heard.values()),
    )
