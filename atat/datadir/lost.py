"""Utterances that a command cannot use: listed, counted, and an error if there are too many.

Knows nothing of why an utterance is lost; the caller says what happened and how to fix it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sized
from pathlib import Path

from atat.base.errors import InputError
from atat.datadir import tables

SHOWN = 5  # lost utterances that a message names


def describe(
    lost: Mapping[str, str],
    total: int,
    what: str,
    *,
    data: str | Path | None = None,
    path: Path | None = None,
    noun: str = "utterances",
) -> str:
    """`<data>: 2 of 90 utterances <what>:` and a line for each of the first few, with its reason.

    path: the file that lists all of them. noun: what they are.
    """
    before = "" if data is None else f"{data}: "
    after = "" if path is None else f" (all in {path})"
    lines = [f"{before}{len(lost)} of {total} {noun} {what}{after}:"]
    for key, why in list(lost.items())[:SHOWN]:
        lines.append(f"  {key}: {why.removeprefix(f'utterance {key}: ')}")
    if len(lost) > SHOWN:
        lines.append(f"  and {len(lost) - SHOWN} more")
    return "\n".join(lines)


def refuse_too_many(
    lost: Mapping[str, str],
    total: int,
    max_lost: float,
    message: str,
    fix: str,
    option: str = "--max_lost",
) -> None:
    """Raise InputError if more than `max_lost`, a share of all utterances, are lost.

    `message` says what happened (`describe`), `fix` what the user can do other than allow more.
    """
    if len(lost) > max_lost * total:
        raise InputError(
            f"{message}\nmore than {max_lost:.1%} (now {option} {max_lost:g}): {fix}, or go on "
            f"without them with {option} {len(lost) / total + 0.001:.3f}"
        )


def refuse_all(left: Sized, data: str | Path) -> None:
    """Raise InputError if none of the utterances is left, however many may be lost."""
    if not len(left):
        raise InputError(f"{data}: no utterance can be used")


def report(
    lost: Mapping[str, str],
    total: int,
    max_lost: float,
    what: str,
    fix: str,
    *,
    data: str | Path | None = None,
    path: Path | None = None,
    advice: str = "",
) -> None:
    """Write the list of all to `path`, then refuse too many or print a warning.

    If there are none, an earlier run's list is removed. `advice` ends the warning.
    """
    if path is not None and lost:
        tables.write_table(path, {key: " ".join(why.split()) for key, why in lost.items()})
    elif path is not None:
        path.unlink(missing_ok=True)
    if not lost:
        return
    message = describe(lost, total, what, data=data, path=path)
    refuse_too_many(lost, total, max_lost, message, fix)
    print(f"warning: {message}{advice}", file=sys.stderr)
