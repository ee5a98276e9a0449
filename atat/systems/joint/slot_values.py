"""The values that slots may have (`atat.text.slot_values`), from the trees of a data dir."""

from __future__ import annotations

from pathlib import Path

from atat.base.errors import InputError
from atat.datadir import kaldi_dir
from atat.text import trees
from atat.text.slot_values import of_trees


def of_data(data: Path) -> dict[str, list[str]]:
    """The values in the trees of a data dir; InputError if there are none."""
    semantics = (one.semantics for one in kaldi_dir.load(data))
    found = of_trees(trees.parse(text) for text in semantics if text)
    if not found:
        raise InputError(
            f"{data / 'semantics'}: no slot with words for a value; --values wants a data dir "
            "whose trees have the values that may be said"
        )
    return found
