"""Many recordings given to a recogniser, in parallel and resumable.

Results go line by line to a journal, so that an interrupted run continues where it stopped; a
journal of other settings is discarded. Knows no recogniser.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from atat.base import parallel
from atat.base.errors import InputError
from atat.datadir import contents, kaldi_dir


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
    """The recognised words ("" for nothing) with their start and end (s).

    `seconds` is the length of the recording, `wall_seconds` the time of its decoding.
    """

    utterance: str
    text: str
    begin: float
    end: float
    score: float
    seconds: float
    wall_seconds: float


def decode(
    jobs: Sequence[J],
    journal: Path,
    nj: int,
    *,
    hear: Callable[[J], Recognized],
    key: str,
    name: str,
) -> dict[str, Recognized]:
    """Hear all recordings; returns utterance -> result.

    hear: a function of a module, called in other processes. key: of the journal; a digest of all
    that the results depend on. name: of the recogniser, on the progress bar.
    """
    from tqdm import tqdm

    done = _read_journal(journal, key)
    journal.parent.mkdir(parents=True, exist_ok=True)
    todo = [job for job in jobs if job.utterance not in done]
    with open(journal, "w", encoding="utf-8") as stream:
        lines = [{"settings": key}, *(asdict(heard) for heard in done.values())]
        stream.writelines(json.dumps(line) + "\n" for line in lines)
        stream.flush()
        with tqdm(total=len(jobs), initial=len(done), unit="utt", desc=name) as bar:
            for heard in parallel.run(hear, todo, nj):
                done[heard.utterance] = heard
                stream.write(json.dumps(asdict(heard)) + "\n")
                stream.flush()
                bar.update()
    return {job.utterance: done[job.utterance] for job in jobs}


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
    first, *lines = path.read_text(encoding="utf-8").split("\n")
    if first != json.dumps({"settings": key}):
        return {}
    done: dict[str, Recognized] = {}
    for line in lines:
        try:
            heard = Recognized(**json.loads(line))
        except (json.JSONDecodeError, TypeError):
            continue  # the run was interrupted while writing this line
        done[heard.utterance] = heard
    return done


def totals(heard: Mapping[str, Recognized]) -> tuple[float, float]:
    """Seconds of audio, and seconds of decoding."""
    return (
        sum(one.seconds for one in heard.values()),
        sum(one.wall_seconds for one in heard.values()),
    )
