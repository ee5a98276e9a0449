"""The licence of a data dir: its file `license`, one line, which model cards carry on.

    licence.write(out, licence.of_corpus(corpus, "LibriSpeech"))  # where a corpus is read
    licence.write(out, licence.of(data))  # where a data dir is made of another

What is written here of a published corpus is what its page or its download says, and no more. A
corpus of one's own, or a miniature of ours, says it in a file `license` at its root.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from atat.base.files import atomic_write, read_lines

NAME = "license"
UNKNOWN = "unknown"
OWN = "Apache-2.0"  # of this project, its grammars and miniatures included
SEPARATOR = "; "  # between the licences of data of several sources

# docs/pages/start/licences.md says the same, and where each is from.
CORPORA = {
    "Picovoice's speech-to-intent benchmark": "Apache 2.0",
    "speechocean762": "free for any use",
    "LibriSpeech": "CC BY 4.0",
    "Fluent Speech Commands": "academic and other non-commercial use, its audio may not be "
    "passed on",
    "SNIPS smart lights": "academic and research purposes, on request",
    "SNIPS NLU": "CC0",
    "Spoken-SQuAD, SQuAD 1.1": "see their pages",
    "TOP": "in its zip",
    "STOP": "see its page",
}


def of(folder: str | Path) -> str:
    """What a data dir, or the root of a corpus, says of itself; "" if nothing."""
    folder = Path(folder)
    # By its exact name: a file system may take another's LICENSE for it.
    if not folder.is_dir() or NAME not in os.listdir(folder):
        return ""
    return " ".join(read_lines(folder / NAME)).strip()


def of_corpus(root: str | Path, name: str) -> str:
    """The licence of a corpus by its name in `CORPORA`, unless the file `license` says another."""
    return of(root) or f"{name}: {CORPORA[name]}"


def joined(licences: Iterable[str]) -> str:
    """Those of all sources of a data dir, each once; "" if none is known."""
    found: dict[str, None] = {}
    for one in licences:
        found |= dict.fromkeys(one.split(SEPARATOR) if one else [UNKNOWN])
    return "" if found.keys() <= {UNKNOWN} else SEPARATOR.join(sorted(found))


def table(license_: str) -> dict[str, str]:
    """The file's one line as a table of `tables.write_tables`; an empty one if none is known."""
    first, _, rest = license_.partition(" ")
    return {first: rest} if first else {}


def write(folder: str | Path, *licences: str) -> None:
    """Write the licences of all that a data dir is made of; no file if none of them is known."""
    path, text = Path(folder) / NAME, joined(licences)
    if text:
        with atomic_write(path) as stream:
            stream.write(f"{text}\n")
    else:
        path.unlink(missing_ok=True)
