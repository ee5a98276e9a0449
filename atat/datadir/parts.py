"""Splits a corpus into train, dev and test by a hash, so that the split is always the same.

A group (a speaker, a sentence) must not be in two parts. The groups are taken in the order of
their hashes: test takes those that fit into its share, then dev, and train gets the rest. If no
group fits into a part, it takes the smallest. Knows nothing of utterances.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

TRAIN, DEV, TEST = PARTS = ("train", "dev", "test")
FEWEST = 3  # groups: one for each part


def split(groups: Iterable[str], *, dev: float, test: float) -> dict[str, str]:
    """group -> part, where each item of `groups` is the group of one utterance.

    dev and test are shares of the utterances. Fewer than three groups are all in train.
    """
    sizes = Counter(groups)
    total = sum(sizes.values())
    left = sorted(sizes, key=_hash)
    parts = {}
    if len(left) >= FEWEST:
        for part, share in ((TEST, test), (DEV, dev)):
            for group in _take(left, sizes, share * total):
                parts[group] = part
                left.remove(group)
    return parts | dict.fromkeys(left, TRAIN)


def _take(groups: list[str], sizes: Counter[str], room: float) -> list[str]:
    """Groups that fit into so much room, at least one."""
    chosen = []
    for group in groups:
        if sizes[group] <= room:
            chosen.append(group)
            room -= sizes[group]
    return chosen or [min(groups, key=sizes.__getitem__)]


def _hash(group: str) -> str:
    return hashlib.sha256(f"part {group}".encode()).hexdigest()
