"""What all imports do: name every row that cannot be used, check the data dir, then write it.

Knows nothing of the formats that rows come from.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from atat.base.errors import InputError
from atat.base.files import scratch_folder
from atat.datadir import files, kaldi_dir, own_corpus, tables
from atat.datadir.check import validate
from atat.datadir.corpus import Oddities
from atat.datadir.utterance_table import Table

WAVS = "wavs"  # folder of a data dir with recordings that had to be converted


def refuse_losses(bad: Sequence[str], kept: int, max_lost: float, source: str | Path) -> None:
    """Print every bad row; raises InputError if they are more than the share `max_lost`."""
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


def write(
    out: Path, utterances: Iterable[kaldi_dir.Utterance], raw: Mapping[str, str] | None = None
) -> None:
    """Write a data dir that is valid; else raise InputError and leave what was there.

    raw: the texts before they were normalised, for `text.raw`.
    """
    utterances = list(utterances)
    with scratch_folder("import") as held:
        scratch = held / "data"
        kaldi_dir.write(scratch, utterances)
        report = validate(scratch)
        if report.errors:
            shown = str(report).replace(str(scratch), str(out))
            print(shown, file=sys.stderr)
            raise InputError(
                f"{out}: {report.errors.total()} errors would be in the data dir, see above; "
                "nothing was written"
            )
    files.remove_extras(out, kaldi_dir.LOADED)
    kaldi_dir.write(out, utterances)
    if raw:
        tables.write_table(out / "text.raw", raw)
    else:
        (out / "text.raw").unlink(missing_ok=True)
    print(f"{out}: {len(utterances)} utterances")


def usable(
    table: Table, folder: Path, out: Path, max_lost: float
) -> tuple[list[own_corpus.Item], list[str]]:
    """The utterances of a table (`own_corpus.usable`), and remarks on it.

    Raises InputError if more than the share `max_lost` of the rows cannot be used.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; the paths in {table.path} start from it")
    oddities = Oddities()
    items = own_corpus.usable(table, folder, out / WAVS, oddities)
    lost = [what for kind, what in oddities.items if "left out" in kind]
    refuse_losses(lost, len(items), max_lost, table.path)
    notes = [f"{kind}: {what}" for kind, what in oddities.items if "left out" not in kind]
    return items, notes + own_corpus.remarks(table, items)


def write_kinds(out: Path, items: Sequence[own_corpus.Item]) -> None:
    """Write utterances of a table: OUT if all have the same, else OUT, OUT_asr and OUT_nlu."""
    kinds = [kind for kind in own_corpus.KINDS if any(item.kind == kind for item in items)]
    for kind in kinds:
        chosen = [item for item in items if item.kind == kind]
        if len({item.utterance.text is None for item in chosen}) > 1:
            raise InputError(
                f"{out}: some recordings have a text and others none; give all rows with a "
                "recording a text, or keep those without in a table of their own"
            )
        raw = {item.utterance.id: item.raw for item in chosen if item.raw}
        folder = out if len(kinds) == 1 else out.with_name(out.name + kind)
        write(folder, (item.utterance for item in chosen), raw)
