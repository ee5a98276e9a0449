"""Whose turn it is to use the model: a few at once, a bounded number waiting, no more.

Whoever gets no place, or would wait too long, is told at once when to try again. A place is taken
before the body of a request is read, so that the places also bound the memory. Knows nothing of
HTTP and of models.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
# Share of the newest in the running mean of how long an answer takes.
NEWEST = 0.2


class Full(Exception):
    """All places are taken. `seconds`: when it is worth trying again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"all places are taken, try again in {seconds} s")
        self.seconds = seconds


class Closed(Exception):
    """The server ends: whoever has not begun will not begin."""


class Gone(Exception):
    """The caller has left before its turn came."""


class Turns:
    """To be used from one event loop; the work itself runs in threads."""

    def __init__(self, parallel: int, waiting: int, patience: float = math.inf) -> None:
        """parallel: how many pieces of work run at once; waiting: how many more have a place;
        patience: seconds after which, as far as can be told, the last of them has its turn."""
        self.parallel, self.waiting, self.patience = parallel, waiting, patience
        self.places = 0  # taken: work that runs, waits, or whose recording is still arriving
        self.running = 0
        self.closed = False
        self.mean = 1.0  # seconds of work; a guess until somebody knows
        self._queue: deque[asyncio.Future[None]] = deque()
        self._idle: set[asyncio.Task[object]] = set()  # have a place, and no work that runs yet
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="model")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place. Raises Full, and Closed, also if the server ends before the work begins."""
        if self.closed:
            raise Closed
        wait = self.mean * self.places / self.parallel
        free = self.places < self.parallel + self.waiting
        if not free or (self.places >= self.parallel and wait > self.patience):
            raise Full(max(1, math.ceil(wait)))
        task = asyncio.current_task()
        assert task is not None
        self.places += 1
        self._idle.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if self.closed:
                raise Closed from None
            raise
        finally:
            self._idle.discard(task)
            self.places -= 1

    async def run(self, work: Callable[[], T], gone: Callable[[], Awaitable[bool]]) -> T:
        """The result of `work`, which runs in a thread when its turn has come, first come first.

        gone: asked when the turn has come, whether nobody waits for the result any more. Raises
        Gone then. The caller holds a place.
        """
        await self._turn()
        try:
            if await gone():
                raise Gone
            self._idle -= {asyncio.current_task()}
            started = time.monotonic()
            result = await asyncio.get_running_loop().run_in_executor(self._threads, work)
            self.mean += NEWEST * (time.monotonic() - started - self.mean)
            return result
        finally:
            self._next()

    async def _turn(self) -> None:
        if self.running < self.parallel:
            self.running += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn  # whoever gives the turn keeps `running` as it is
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._next()
            raise

    def _next(self) -> None:
        """Give the turn to the first that still waits."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1

    def close(self) -> None:
        """Work that runs ends as usual; whoever has only a place is told that no turn will come."""
        self.closed = True
        for task in self._idle:
            task.cancel()
