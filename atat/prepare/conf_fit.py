"""Fits a training conf to the available data: sources that cannot be read are left out.

One conf names all sources that a corpus might have. If a data dir is missing, or lacks a file that
its task reads, its source is removed from `train` or `valid`. Command line: `atat conf_copy --fit`.
Knows nothing of the other keys of a conf.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from atat.base.errors import InputError
from atat.text.tasks import task

FILES = {"text": ("text",), "semantics": ("semantics",), "audio": ("feats.scp", "wav.scp")}


def missing(folder: Path, task_name: str) -> str | None:
    """What a data dir lacks for a task, as text; None if nothing."""
    if not folder.is_dir():
        return "no such data dir"
    reads = task(task_name)
    for what in (reads.source, reads.target):
        if not any((folder / name).is_file() for name in FILES[what]):
            return f"no {' or '.join(FILES[what])}"
    return None


def fitted(
    values: dict[str, Any],
    where: str,
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """The values of a conf without sources that cannot be read; `tell` gets a line for each.

    Raises InputError if no source of `train` is left, and for what are no sources.
    """

    def kept(found: Any, key: str) -> list[dict[str, Any]]:
        chosen = []
        for source in _sources(found or [], where, key):
            why = missing(Path(source["data"]), source["task"])
            if why is None:
                chosen.append(source)
            else:
                tell(f"{where}: {key}: {source['task']} of {source['data']} is left out: {why}")
        return chosen

    train = kept(values.get("train"), "train")
    if not train:
        raise InputError(
            f"{where}: key `train`: no source can be read; make one of the data dirs it names"
        )
    valid = values.get("valid") or {}
    if not isinstance(valid, dict):
        raise InputError(f"{where}: key `valid` is {valid!r}; expected further keys")
    valid = {**valid, "sources": kept(valid.get("sources"), "valid.sources")}
    fit = {**values, "train": train, "valid": valid}
    if not any(task(source["task"]).source == "audio" for source in train):
        fit.pop("cmvn", None)  # there are no recordings
    return fit


def _sources(found: Any, where: str, key: str) -> list[dict[str, Any]]:
    """A list of sources, each with a data dir and a task that there is; InputError otherwise."""
    if not isinstance(found, list):
        raise InputError(f"{where}: key `{key}` is {found!r}; expected a list of sources")
    for number, source in enumerate(found):
        keys = source if isinstance(source, dict) else {}
        if not all(isinstance(keys.get(name), str) for name in ("data", "task")):
            raise InputError(
                f"{where}: key `{key}[{number}]` is {source!r}; expected `data` and `task`"
            )
        try:
            task(keys["task"])
        except InputError as error:
            raise InputError(f"{where}: key `{key}[{number}].task`: {error}") from None
    return found
