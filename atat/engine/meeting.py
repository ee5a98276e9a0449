"""How the processes of a training meet: each group of them gets a name that no other has had.

torchrun starts all processes again when one has ended, or a machine has gone or come. The store
through which they meet may be the old one, with the addresses of the dead in it, and nothing that
torchrun tells a process names its group: each machine counts its own restarts, one that comes back
begins at 0, and a change of machines is not counted. So the first process chooses a name.

Knows nothing of training.
"""

from __future__ import annotations

import datetime
import json
import time
import uuid

import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from atat.base import torchrun
from atat.base.errors import InputError

# All processes of a group are started at the same time; a slow disk may take minutes to load torch.
LIMIT = datetime.timedelta(minutes=10)
POLL = 0.05  # s between two looks into the store


class NotMet(InputError):
    """The error of a process whose group is not complete in time."""

    def __init__(self, rank: int, size: int, limit: datetime.timedelta) -> None:
        super().__init__(
            f"process {rank} of {size} has waited {limit.total_seconds():.0f} s for the others of "
            "this training: one of them was not started or has ended, or its machine cannot reach "
            "the one of process 0. The same command tries again"
        )


def join(limit: datetime.timedelta = LIMIT) -> tuple[dist.Store, int, int]:
    """Meet the group that the environment describes: a store of its own, rank and size.

    Raises NotMet, after `limit`, if some of its processes are missing.
    """
    try:
        store, rank, size = next(rendezvous("env://", timeout=limit))
    except dist.DistError as error:
        if "timed out" not in str(error).lower():
            raise
        raise NotMet(torchrun.rank(), torchrun.size(), limit) from None
    return dist.PrefixStore(agree_on_name(store, rank, size, limit), store), rank, size


def agree_on_name(
    store: dist.Store, rank: int, size: int, limit: datetime.timedelta = LIMIT
) -> str:
    """A name for the group of these `size` processes, the same for all of them and new.

    Each process that is not the first leaves a mark of its own; the first one reads the marks and
    writes down the name with them, again if one changes: it was of a process that is gone. A name
    counts when all have seen it beside their mark. Raises NotMet after `limit`.
    """
    mine, end = uuid.uuid4().hex, time.monotonic() + limit.total_seconds()
    if rank > 0:
        store.set(f"meeting/mark {rank}", mine)
    while time.monotonic() < end:
        name = _heard(store, rank, size, mine) if rank else _given(store, size, mine)
        if name:
            return name
        time.sleep(POLL)
    raise NotMet(rank, size, limit)


def _given(store: dist.Store, size: int, name: str) -> str:
    """Of the first process: its name, once all others have answered."""
    keys = [f"meeting/mark {other}" for other in range(1, size)]
    if not store.check(keys):
        return ""
    marks = [store.get(key).decode() for key in keys]
    store.set("meeting/name", json.dumps([name, *marks]))
    if not store.check([f"meeting/{name} {mark}" for mark in marks]):
        return ""
    store.set(f"meeting/{name} begins", "")
    return name


def _heard(store: dist.Store, rank: int, size: int, mine: str) -> str:
    """Of another process: the name that stands beside its mark, once all have answered."""
    if not store.check(["meeting/name"]):
        return ""
    name, *marks = json.loads(store.get("meeting/name"))
    if len(marks) != size - 1 or marks[rank - 1] != mine:
        return ""
    store.set(f"meeting/{name} {mine}", "")
    return name if store.check([f"meeting/{name} begins"]) else ""
