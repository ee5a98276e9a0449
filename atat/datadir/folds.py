"""Cross-validation without a list of folds: a hash of a key decides the fold.

A key must not be in two of train, dev and test: it is a speaker or a sentence. Adding or removing
keys moves no other. Knows nothing of data dirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection


def fold_of(key: str, folds: int) -> int:
    """The fold whose test set has the key."""
    return _hash(f"fold {key}") % folds


def is_dev(key: str, share: float) -> bool:
    """Whether a key is in dev in all folds where it is not in test."""
    return _hash(f"dev {key}") < share * 2**64


def held_out(keys: Collection[str], share: float) -> set[str]:
    """A share of the keys, at least one, for dev: those with the lowest hashes, as in `is_dev`."""
    ranked = sorted(set(keys), key=lambda key: _hash(f"dev {key}"))
    return set(ranked[: max(1, round(share * len(ranked)))])


def part_of(key: str, fold: int, folds: int, dev_share: float) -> str:
    """The part of a key in one of the folds: train, dev or test."""
    if fold_of(key, folds) == fold:
        return "test"
    return "dev" if is_dev(key, dev_share) else "train"


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
