"""A group of processes has one name, which no group before it had, whatever the dead have left."""

from __future__ import annotations

import datetime
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch.distributed as dist
from torch.distributed.elastic.utils.distributed import get_free_port
from waiting import LIMIT, until

from atat.engine import meeting
from atat.engine.meeting import NotMet, agree_on_name

LONG, SHORT = datetime.timedelta(seconds=LIMIT), datetime.timedelta(seconds=0.2)


def names(store: dist.Store, size: int) -> list[str]:
    """What the processes of a group, here threads, call it."""
    with ThreadPoolExecutor(size) as threads:
        return list(
            threads.map(lambda rank: agree_on_name(store, rank, size, LONG), reversed(range(size)))
        )


def test_groups_that_meet_in_one_store_have_names_of_their_own() -> None:
    store = dist.HashStore()
    seen = set()
    for size in (3, 3, 1, 2, 4, 3):  # after losses, and with machines that come back
        found = names(store, size)
        assert len(set(found)) == 1 and len(found) == size
        seen.add(found[0])
    assert len(seen) == 6


def test_what_dead_processes_left_is_not_taken_for_an_answer() -> None:
    store = dist.HashStore()
    for rank in (1, 2):  # of a group whose first process never came
        with pytest.raises(NotMet):
            agree_on_name(store, rank, 3, SHORT)
    with pytest.raises(NotMet):  # the first process of a group whose others are dead
        agree_on_name(store, 0, 3, SHORT)
    found: list[str] = []
    first = threading.Thread(target=lambda: found.append(agree_on_name(store, 0, 3, LONG)))
    before = store.get("meeting/name")
    first.start()
    until(lambda: store.get("meeting/name") != before, "a name beside the marks of the dead")
    with ThreadPoolExecutor(2) as threads:
        others = list(threads.map(lambda rank: agree_on_name(store, rank, 3, LONG), (1, 2)))
    first.join(LIMIT)
    assert others == found * 2


def test_a_group_that_is_not_complete_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotMet, match="process 1 of 2 has waited 0 s for the others .* same comm"):
        agree_on_name(dist.HashStore(), 1, 2, SHORT)
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", str(get_free_port()))
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(NotMet, match="process 0 of 2 has waited 1 s"):
        meeting.join(datetime.timedelta(seconds=1))
