"""What all imports do: name every row that cannot be used, then write data dirs that are valid.

Knows nothing of the formats that rows come from.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from atat.base import digests
from atat.base.errors import InputError
from atat.base.files import scratch_folder
from atat.datadir import files, kaldi_dir, own_corpus, tables
from atat.datadir.check import validate
from atat.datadir.check_audio import AudioOptions
from atat.datadir.corpus import Oddities
from atat.datadir.own_corpus import Item
from atat.datadir.utterance_table import Table

WAVS = "wavs"  # folder of a data dir with recordings that had to be converted


def usable(table: Table, folder: Path, out: Path, max_lost: float) -> tuple[list[Item], list[str]]:
    """The utterances of a table that make valid data dirs, and remarks on it.

    Raises InputError if more than the share `max_lost` of the rows cannot be used.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; the paths in {table.path} start from it")
    oddities = Oddities()
    items = own_corpus.usable(table, folder, out / WAVS, oddities)
    lost = [what for kind, what in oddities.items if "left out" in kind]
    items = valid(items, lost, max_lost, table.path)
    notes = [f"{kind}: {what}" for kind, what in oddities.items if "left out" not in kind]
    return items, notes + own_corpus.remarks(table, items)


def valid(items: Sequence[Item], bad: Sequence[str], max_lost: float, source: Path) -> list[Item]:
    """The items of a source that make valid data dirs; prints the others, and the `bad` rows.

    Raises InputError if these are more than the share `max_lost` of all, or all of them, and for
    recordings of which only some have a text.
    """
    faults: dict[str, str] = {}
    for alike in _by_kind(items).values():
        if len({item.utterance.text is None for item in alike}) > 1:
            raise InputError(
                f"{source}: some recordings have a text and others none; give all rows with a "
                "recording a text, or keep those without in a table of their own"
            )
        faults |= _faults(alike, source)
    kept = [item for item in items if item.utterance.id not in faults]
    _refuse_losses([*bad, *faults.values()], len(kept), max_lost, source)
    return kept


def _by_kind(items: Sequence[Item]) -> dict[str, list[Item]]:
    """The items of each kind that there is, in the order of `own_corpus.KINDS`."""
    alike = {kind: [item for item in items if item.kind == kind] for kind in own_corpus.KINDS}
    return {kind: chosen for kind, chosen in alike.items() if chosen}


def _faults(items: Sequence[Item], source: Path) -> dict[str, str]:
    """Utterance -> its place, and what `validate` finds wrong with it in a data dir of all."""
    with scratch_folder("import") as held:
        scratch = held / "data"
        kaldi_dir.write(scratch, (item.utterance for item in items))
        report = validate(scratch)
        kept = [item for item in items if item.utterance.id not in report.lost]
        if kept and report.errors:
            kaldi_dir.write(scratch, (item.utterance for item in kept))
            left = validate(scratch, AudioOptions(check_audio=False))
            if left.errors:
                found = str(left).replace(f"{scratch}/", "")
                raise InputError(f"{source}: no valid data dir; nothing was written\n{found}")
    return {
        item.utterance.id: f"{item.where}: {report.why[item.utterance.id]}"
        for item in items
        if item.utterance.id in report.lost
    }


def _refuse_losses(bad: Sequence[str], kept: int, max_lost: float, source: Path) -> None:
    for what in bad:
        print(f"left out: {what}", file=sys.stderr)
    total = len(bad) + kept
    if len(bad) > max_lost * total:
        raise InputError(
            f"{source}: {len(bad)} of {total} rows cannot be used, more than --max_lost "
            f"{max_lost:g}; they are named above. Nothing was written; mend them, or leave them "
            f"out with --max_lost {len(bad) / total + 0.005:.2f}"
        )
    if not kept:
        raise InputError(f"{source}: no row can be used")


def write(out: Path, splits: Mapping[str, Sequence[Item]], license_: str) -> None:
    """Write the `valid` items of each split into OUT/SPLIT (OUT for the split ""), each data dir
    whole or not at all.

    Items of several kinds go to OUT/SPLIT, OUT/SPLIT_asr and OUT/SPLIT_nlu. The tables of what an
    earlier import wrote to OUT and this one does not are removed, unless another data dir has been
    made in its place since, or it lies elsewhere now.
    """
    if not out.name:
        out = out.resolve()
    made = {}
    for split, items in splits.items():
        kinds = _by_kind(items)
        for kind, alike in kinds.items():
            made[_of_kind(out / split, kind if len(kinds) > 1 else own_corpus.SLU)] = alike
    for folder, items in made.items():
        speakers = {item.utterance.id: item.utterance.speaker for item in items}
        files.write_anew(
            folder,
            (item.utterance for item in items),
            {
                own_corpus.RAW: own_corpus.raw_texts(items),
                files.IMPORTED: _mark(out, folder, speakers),
            },
            license_,
        )
        print(f"{folder}: {len(items)} utterances")
    for folder in sorted(_of_imports(out) - made.keys()):
        tables.write_tables(folder, {}, remove=files.replaced(folder))
        print(f"{folder}: its tables are removed; an earlier import into {out} made them")
        with suppress(OSError):  # other files are in it
            folder.rmdir()


def _of_kind(folder: Path, kind: str) -> Path:
    return folder.with_name(folder.name + kind)


def _of_imports(out: Path) -> set[Path]:
    """The data dirs that imports into OUT made: it, those beside it, and those below."""
    beside = [_of_kind(out, kind) for kind in own_corpus.KINDS]
    below = [path.parent for path in out.glob(f"*/{files.IMPORTED}")]
    return {folder for folder in (*beside, *below) if _is_of_import(folder, out)}


def _is_of_import(folder: Path, out: Path) -> bool:
    try:
        mark = tables.read_table(folder / files.IMPORTED)
        return mark == _mark(out, folder, tables.read_table(folder / "utt2spk"))
    except InputError:  # there is no mark, or no table any more
        return False


def _mark(out: Path, folder: Path, speakers: Mapping[str, str]) -> dict[str, str]:
    """What an import into OUT leaves in a data dir.

    Its place and a digest of its utterances tell it from a copy, and from what others have written
    over it.
    """
    digest = digests.of_text(json.dumps(sorted(speakers.items())))
    return {"import": out.name, "folder": os.path.relpath(folder, out), "utt2spk": digest}
