"""Digests of files and texts, in hexadecimal: equal contents have equal digests.

Knows nothing of their use.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

BLOCK = 2**20  # bytes read at a time
SHORT = 16  # digits; enough to tell results apart


def of_file(path: str | Path, algorithm: str = "sha256") -> str:
    """Digest of the bytes of a file; raises OSError."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def of_text(text: str, algorithm: str = "sha256") -> str:
    """Digest of a text's UTF-8 bytes."""
    return hashlib.new(algorithm, text.encode("utf-8"), usedforsecurity=False).hexdigest()
