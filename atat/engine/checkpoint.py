"""Training checkpoints: one atomic file each, with everything needed to continue exactly.

Batches, masks and dropout are pure functions of (seed, step, rank), so weights, optimizer state
and the step are enough.

A file is the zip that torch.save writes, with its digest as the zip's comment: torch and zip tools
read it as usual, and a changed bit is noticed. Older files have no comment and are read unchecked.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

from atat.base.errors import InputError
from atat.base.files import atomic_write

_NAME = re.compile(r"checkpoint-(\d+)\.pt")
BEST = "best.pt"
MODEL, STATE = ("model",), ("model", "optimizer", "progress", "vocabulary")  # keys of a file
END = b"PK\x05\x06"  # how the last record of a zip begins; its last two bytes: length of comment
END_SIZE = 22
MARK = b"sha256:"
COMMENT_SIZE = len(MARK) + 64
LAG = 180.0  # s that a network disk may take to show a machine what another has written
POLL = 0.5  # s between two looks
BLOCK = 2**20  # bytes read at a time


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint with its digest; the file appears whole or not at all."""
    try:
        with atomic_write(path, "wb") as stream:
            hashed = _Hashed(stream)
            try:
                torch.save(state, cast("IO[bytes]", hashed))  # needs only write and flush
            except RuntimeError as error:
                # torch says "unexpected pos 704 vs 598" of a full disk.
                raise hashed.error or error from None
            stream.seek(-2, 2)
            stream.write(COMMENT_SIZE.to_bytes(2, "little"))
            stream.write(MARK + hashed.sha.hexdigest().encode())
    except OSError as error:
        # An error while the file is closed does not carry the file's name.
        raise OSError(error.errno, error.strerror, error.filename or str(path)) from None


def load(path: Path, keys: Sequence[str] = MODEL) -> dict[str, Any]:
    """Read a checkpoint; no code in it is executed.

    Raises InputError for a file that is missing, damaged, or holds anything but a state with
    these keys.
    """
    _check_digest(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError,
            pickle.UnpicklingError) as error:  # fmt: skip
        raise Damaged(path, next(iter(str(error).splitlines()), "empty")) from None
    if not isinstance(state, dict):
        raise Damaged(path, f"it holds a {type(state).__name__}")
    missing = [key for key in keys if key not in state]
    if missing:
        raise Damaged(path, f"it has no {', '.join(missing)}")
    return state


def newest(folder: Path) -> tuple[dict[str, Any] | None, dict[Path, str]]:
    """The newest readable state of a run, None if there is no checkpoint at all; and the damaged
    files that are newer, each with the reason.

    A step is a function of the one before: continuing from an older checkpoint costs time and
    changes nothing. Raises InputError if all are damaged: only the user may begin again.
    """
    damaged: dict[Path, str] = {}
    for path in reversed(paths_in(folder)):
        try:
            return load(path, STATE), damaged
        except Damaged as error:
            damaged[path] = error.reason
    if damaged:
        path, reason = next(iter(damaged.items()))
        raise InputError(
            f"{path}: damaged ({reason}), and no earlier checkpoint can be read; copy them again "
            f"from their origin, or remove {folder}/checkpoint-*.pt to begin from step 0"
        )
    return None, {}


def set_aside(path: Path) -> Path:
    """Rename a damaged file, so that it is kept but is no longer a checkpoint; its new name."""
    return path.replace(path.with_name(path.name + ".damaged"))


class Damaged(InputError):
    """The error for a file whose content is not what was written."""

    def __init__(self, path: Path, reason: str) -> None:
        self.reason = reason
        if path.name == BEST:
            way_out = "remove it, and the model is that of the last step instead of the best one"
        else:
            way_out = "remove it to go on from the one before"
        super().__init__(f"{path}: not a readable checkpoint ({reason}); {way_out}")


class _Hashed:
    """A stream to write to, with the digest of what was written and the error that ended it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.sha = hashlib.sha256()
        self.error: OSError | None = None
        self._stream = stream

    def write(self, data: bytes) -> int:
        self.sha.update(data)
        try:
            return self._stream.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._stream.flush()


def _check_digest(path: Path) -> None:
    """Raise InputError unless the file is as it was written, or older than digests."""
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - END_SIZE - COMMENT_SIZE))
            tail = stream.read()
            if tail[-END_SIZE:].startswith(END) and tail[-2:] == b"\0\0":
                return
            end, comment = tail[:END_SIZE], tail[END_SIZE:]
            if not (end.startswith(END) and end[-2:] == COMMENT_SIZE.to_bytes(2, "little")):
                raise Damaged(path, "its end is missing")
            stream.seek(0)
            sha, left = hashlib.sha256(), size - COMMENT_SIZE - 2
            while left:
                block = stream.read(min(BLOCK, left))
                sha.update(block)
                left -= len(block)
            sha.update(b"\0\0")  # the length of the comment before there was one
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if comment != MARK + sha.hexdigest().encode():
        raise Damaged(path, "its digest differs from the one it was written with")


def path_of(folder: Path, step: int) -> Path:
    """checkpoint-00001500.pt"""
    return folder / f"checkpoint-{step:08d}.pt"


def paths_in(folder: Path) -> list[Path]:
    """Checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("checkpoint-*.pt") if _NAME.fullmatch(path.name))


def scheduled(folder: Path, every: int) -> list[Path]:
    """Checkpoints that an uninterrupted run would also have: every `every` steps, and the last."""
    paths = paths_in(folder)
    return [path for path in paths if step_of(path) % every == 0 or path == paths[-1]]


def newest_step(folder: Path) -> int:
    """The step of the newest checkpoint of a run, readable or not; 0 if there is none."""
    return max(map(step_of, paths_in(folder)), default=0)


def not_older(folder: Path, step: int, patience: float = LAG) -> None:
    """Return once this machine sees a checkpoint of `step`, which another one sees, or a later one.

    Raises InputError if it does not appear within `patience` seconds.
    """
    end = time.monotonic() + patience
    while (seen := newest_step(folder)) < step:
        if time.monotonic() >= end:
            last = f"the newest is of step {seen}" if seen else "there is none"
            raise InputError(
                f"{folder}: another machine of this training sees a checkpoint of step {step} "
                f"there; on {socket.gethostname()}, after {patience:.0f} s, {last}. All machines "
                "need the same folder, on a disk that they share"
            )
        time.sleep(POLL)


def keep_last(folder: Path, count: int, every: int) -> None:
    """Remove all but the last `count` checkpoints of the schedule, and the newest."""
    kept = set(scheduled(folder, every)[-max(count, 1) :])
    for path in paths_in(folder):
        if path not in kept:
            path.unlink()


def step_of(path: Path) -> int:
    """1500 of checkpoint-00001500.pt"""
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def average(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the models' weights in several checkpoints, in float64 and back."""
    assert paths
    states = [load(path)["model"] for path in paths]
    mean = {}
    for name, last in states[-1].items():  # an older one may have weights that are read no more
        if last.is_floating_point():
            total = sum(state[name].double() for state in states)
            mean[name] = (total / len(states)).to(last.dtype)
        else:
            mean[name] = last
    return mean
