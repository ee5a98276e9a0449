"""Cross-validation without a list of folds: a hash of a key says where what has that key belongs.

The key is what must not be in two of train, dev and test: a speaker, a sentence. Nothing changes
place when others come or go. Knows nothing of data dirs.
"""

from __future__ import annotations

import hashlib


def fold_of(key: str, folds: int) -> int:
    """The fold in whose test set a key is."""
    return _hash(f"fold {key}") % folds


def is_dev(key: str, share: float) -> bool:
    """Whether a key is in dev wherever it is not in test."""
    return _hash(f"dev {key}") < share * 2**64


def part_of(key: str, fold: int, folds: int, dev_share: float) -> str:
    """train, dev or test: where a key is in one of the folds."""
    if fold_of(key, folds) == fold:
        return "test"
    return "dev" if is_dev(key, dev_share) else "train"


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
