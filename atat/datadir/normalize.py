"""Normalises the text and trees of a data dir to spoken words.

The published text stays beside it, in `text.raw` and `semantics.raw`. Command line:
`atat datadir normalize DIR`.
"""

from __future__ import annotations

from pathlib import Path

from atat.base.errors import InputError
from atat.datadir.edit import open_dir
from atat.datadir.files import DataDir
from atat.datadir.questions import QUESTIONS
from atat.datadir.tables import Table, write_tables
from atat.text.normalize import normalize, normalize_tree
from atat.text.trees import SemanticsError, parse, to_string

RAW = ".raw"


def normalize_dir(folder: str | Path) -> dict[str, int]:
    """Normalise `text` and `semantics` in place; returns how many lines of each changed.

    The old tables are kept as `text.raw` and `semantics.raw`, unless these exist already. Raises
    InputError, and changes nothing, for an invalid dir, for one with a ctm or questions (its words
    would no longer be the text's, nor their answers be where they say), for an invalid tree and
    for an utterance without any words left.
    """
    data = open_dir(folder)
    if "ctm" in data.scans:
        raise InputError(
            f"{folder}: has a ctm, whose words would no longer be those of the text; "
            "move it away, normalise, and align again (atat align)"
        )
    if QUESTIONS in data.others:
        raise InputError(
            f"{folder}: has {QUESTIONS}, whose answers are told by the numbers of the words of the "
            "text; move it away, normalise, and write the questions again"
        )
    changed: dict[str, int] = {}
    tables: dict[str, Table] = {}
    for name, spoken in (("text", _texts), ("semantics", _trees)):
        before = data.table(name)
        after = spoken(data)
        changed[name] = sum(after[key] != before[key] for key in after)
        if changed[name]:
            tables[name] = after
            if name + RAW not in data.scans:
                tables[name + RAW] = before
    write_tables(folder, tables)
    return changed


def _texts(data: DataDir) -> dict[str, str]:
    texts = {key: normalize(text) for key, text in data.table("text").items()}
    for key, text in texts.items():
        if not text:
            raise InputError(
                f"{data.folder / 'text'}:{data.line('text', key)}: no words are left of "
                f"{data.table('text')[key]!r} ({key}); write what is said or drop the utterance"
            )
    return texts


def _trees(data: DataDir) -> dict[str, str]:
    trees = {}
    for key, tree in data.table("semantics").items():
        try:
            trees[key] = to_string(normalize_tree(parse(tree)))
        except SemanticsError as error:
            raise InputError(
                f"{data.folder / 'semantics'}:{data.line('semantics', key)}: {key}: {error}"
            ) from None
    return trees
