"""The words that a model knows, by their numbers: marks first, then those seen often enough.

Stored in a packed model as words.txt, one a line. Knows nothing of files of data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from atat.base import digests
from atat.base.errors import InputError
from atat.base.files import atomic_write, read_lines
from atat.text.word_pieces import SPECIALS

FILE = "words.txt"
PAD, UNKNOWN, CLS, SEP, MASK = range(len(SPECIALS))
FIRST = len(SPECIALS)  # the number of the first word


@dataclass(frozen=True)
class Words:
    """All words and marks, in the order of their numbers."""

    names: tuple[str, ...] = SPECIALS

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def ids(self, words: Iterable[str]) -> np.ndarray:
        """The number (N,) of each word; UNKNOWN for those that are not known."""
        found = [self._numbers.get(word, UNKNOWN) for word in words]
        return np.array(found, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of_texts(cls, texts: Iterable[str], least: int) -> Words:
        """The words of normalised texts that are in them `least` times or more, frequent first."""
        counts = Counter(word for text in texts for word in text.split())
        found = sorted(
            (word for word, count in counts.items() if count >= least),
            key=lambda word: (-counts[word], word),
        )
        return cls((*SPECIALS, *found))

    def identity(self) -> str:
        """A digest of all."""
        return digests.of_text("\n".join(self.names))

    def write(self, folder: Path) -> None:
        """Write words.txt."""
        with atomic_write(folder / FILE) as stream:
            stream.writelines(f"{name}\n" for name in self.names)

    @classmethod
    def read(cls, folder: Path) -> Words:
        """Read words.txt; InputError if it is damaged."""
        found = tuple(line.rstrip("\n") for line in read_lines(folder / FILE))
        if not _is_right(found):
            raise InputError(
                f"{folder / FILE}: expected {', '.join(SPECIALS)} and then words, one a line, each "
                "once; copy the packed model again"
            )
        return cls(found)


def _is_right(names: Sequence[str]) -> bool:
    words = all(name and not name.isspace() for name in names)
    return tuple(names[:FIRST]) == SPECIALS and words and len(set(names)) == len(names)
