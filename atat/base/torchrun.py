"""What torchrun tells a process that it starts; without torch, which takes seconds to load."""

from __future__ import annotations

import os


def is_launched() -> bool:
    """Whether torchrun has started this process."""
    return "WORLD_SIZE" in os.environ


def rank() -> int:
    """The number of this process among all; 0 if there are no others."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """The number of this process among those of its machine, which is that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def size() -> int:
    """The number of processes; 1 if this one is alone."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def max_restarts() -> int:
    """How often torchrun starts the processes again after one has ended; 0 without torchrun."""
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0"))
