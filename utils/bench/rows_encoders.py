"""Front ends side by side: filterbanks, and each pretrained speech encoder that is at hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import inputs
import torch
from clock import Rounds, interleave, rounds_text
from remote import Remote
from table import Table, seconds_text

from atat.base.encoder_files import PUBLISHED, is_here
from atat.speech import frontend
from atat.speech.frontend import Frontend

BASELINE = "LFB, 80 bands"


def encoders(rounds: Rounds, device: torch.device) -> Table:
    """The same recordings by each front end: on a core, then by two threads and two processes."""
    known = [name for name, one in PUBLISHED.items() if one.use == "speech encoder"]
    here: dict[str, Frontend] = {BASELINE: frontend.Lfb()}
    here |= {name: frontend.find(name) for name in known if is_here(name)}
    cores = min(2, len(os.sched_getaffinity(0)))
    with ExitStack() as stack:

        def work(name: str, threads: int, parts: int) -> Callable[[], object]:
            one: dict[str, Any] = {"work": "frames", "device": "cpu", "threads": threads}
            one |= {"frontend": "" if name == BASELINE else name, "parts": parts}
            remote = Remote([{**one, "part": part} for part in range(parts)])
            stack.callback(remote.close)
            return remote

        works = {name: work(name, 1, 1) for name in here}
        if cores > 1:
            for name in here:
                if name != BASELINE:
                    works[f"{name}, 2 threads"] = work(name, 2, 1)
                works[f"{name}, 2 processes"] = work(name, 1, 2)
        timings = interleave(works, BASELINE, rounds=rounds)
    seconds = inputs.recordings_seconds()
    rows = []
    for row, timing in timings.items():
        one = next(one for name, one in here.items() if row.startswith(name))
        rows.append(
            [
                row,
                seconds_text(timing.seconds),
                f"{timing.speedup:.3f}",
                f"{seconds / timing.seconds:.0f}",
                f"{one.dim} values every {one.frame_shift * 1e3:g} ms",
                f"{one.dim / one.frame_shift * 3600 / 2**20:.0f}",
            ]
        )
    note = (
        f"{inputs.RECORDINGS} recordings of 1 to 16 s, {seconds:.0f} s of noise, one at a time; "
        "on one core unless the row says otherwise. MiB an hour: of audio, a byte for each value, "
        f"as `atat features --compress` stores it. {rounds_text(timings)}"
        + "".join(
            f" Not measured: {name}, which is not here (atat encoder get {name})."
            for name in known
            if name not in here
        )
    )
    header = ["", "time", "speed", "x real time", "frames", "MiB an hour"]
    return Table("Front ends", note, header, rows)
