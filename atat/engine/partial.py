"""What an interrupted decoding has done so far, line by line, so that the next one goes on with it.

    OUT/nbest.partial.jsonl     an entry a line: `utt`, what was found, `seconds` so far
    OUT/decode.partial.json     of what they are: options, and digests of the inputs

Knows nothing of what is decoded.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from atat.base.files import atomic_write
from atat.base.json_file import read_object_or_none

PARTIAL, ABOUT_PARTIAL = "nbest.partial.jsonl", "decode.partial.json"


def begun(out: Path) -> dict[str, Any]:
    """Of what the entries in `out` are; {} if there are none."""
    return read_object_or_none(out / ABOUT_PARTIAL) or {}


def read(out: Path, key: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    """The entries by utterance that an interrupted run of the same decoding has made, and its
    seconds. key: of what they are; entries of others are removed."""
    partial = out / PARTIAL
    if not (partial.is_file() and begun(out) == key):
        partial.unlink(missing_ok=True)
        with atomic_write(out / ABOUT_PARTIAL) as stream:
            json.dump(key, stream)
        return {}, 0.0
    done = {}
    for line in partial.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:  # the line that was being written when it was interrupted
            continue
        done[entry["utt"]] = entry
    # A cut-off last line must not run into the next one.
    with atomic_write(partial) as stream:
        stream.writelines(json.dumps(entry) + "\n" for entry in done.values())
    return done, max((entry["seconds"] for entry in done.values()), default=0.0)


def add(
    out: Path,
    found: Iterable[list[dict[str, Any]]],
    done: dict[str, Any],
    before: float,
    *,
    is_lost: Callable[[dict[str, Any]], bool],
    total: int,
    title: str,
) -> float:
    """Add entries as they are found to `done` and to the partial file, under a progress bar.

    before: seconds of the runs before. An entry that is lost is not kept: the next run tries it
    again. total: entries in all, those that were done included. Returns the seconds it took.
    """
    from tqdm import tqdm

    start = time.monotonic()
    with (
        open(out / PARTIAL, "a", encoding="utf-8") as stream,
        tqdm(total=total, initial=len(done), unit="utt", desc=title) as bar,
    ):
        for entries in found:
            for entry in entries:
                entry["seconds"] = before + time.monotonic() - start
                done[entry["utt"]] = entry
                if not is_lost(entry):
                    stream.write(json.dumps(entry) + "\n")
            stream.flush()
            bar.update(len(entries))
    return time.monotonic() - start


def remove(out: Path) -> None:
    """Remove both files, of a decoding that is finished."""
    (out / PARTIAL).unlink(missing_ok=True)
    (out / ABOUT_PARTIAL).unlink(missing_ok=True)
