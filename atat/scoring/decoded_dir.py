"""A decoded dir: a system's hypotheses for each utterance of a data dir, and how they were made.

hyp           `<utt> <best hypothesis>`, a transcript or a tree
nbest.jsonl   {"utt": ..., "nbest": [{"text": ..., "score": ..., "length": ...}, ...]}, best first;
              "at_limit" is true if the length limit ended it
decode.json   task, data, model, times, options, provenance and how many best outputs ended at the
              length limit (at_limit); written last
utt2conf      `<utt> <confidence>`, if the system gives one: the larger, the surer; utterances with
              an empty best hypothesis have none
ctm           the words of the best hypotheses with their times, if the system gives them

An utterance that could not be read has one empty hypothesis, without score and with the reason
under `lost`: no utterance is missing, and it counts as wrong.

Every system that decodes writes one, and `atat score` reads it. Knows nothing of systems.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atat.base.errors import InputError
from atat.base.files import atomic_write, read_lines
from atat.base.json_file import read_object
from atat.datadir import tables
from atat.datadir.ctm import Word, write_ctm
from atat.text.tasks import TASKS

CONFIDENCE, TIMES = "utt2conf", "ctm"
Hypothesis = dict[str, Any]  # text, score (of the system's own kind), length


def unread(why: str) -> list[Hypothesis]:
    """The hypotheses of an utterance that could not be read."""
    return [{"text": "", "score": None, "length": 0, "lost": why}]


def lost(nbest: Mapping[str, Sequence[Hypothesis]]) -> dict[str, str]:
    """Utterances that could not be read, and why."""
    return {name: found[0]["lost"] for name, found in nbest.items() if "lost" in found[0]}


def write(
    folder: Path,
    nbest: Mapping[str, Sequence[Hypothesis]],
    about: Mapping[str, Any],
    *,
    confidence: Mapping[str, float] | None = None,
    words: Mapping[str, Sequence[Word]] | None = None,
) -> None:
    """Write a decoded dir: the hypotheses of each utterance, best first, and how they were made.

    confidence, words: of the best hypotheses; without them the files of an earlier decoding go.
    """
    for name in (CONFIDENCE, TIMES):
        (folder / name).unlink(missing_ok=True)
    if confidence:
        table = {name: f"{value:.4f}" for name, value in confidence.items()}
        tables.write_table(folder / CONFIDENCE, table)
    if words:
        write_ctm(folder / TIMES, words)
    tables.write_table(folder / "hyp", {name: found[0]["text"] for name, found in nbest.items()})
    with atomic_write(folder / "nbest.jsonl") as stream:
        for name in sorted(nbest):
            entry = {"utt": name, "nbest": list(nbest[name])}
            stream.write(json.dumps(entry, ensure_ascii=False) + "\n")
    with atomic_write(folder / "decode.json") as stream:
        json.dump(about, stream, indent=1)


def is_decoded(folder: Path) -> bool:
    """Whether a folder is a decoded dir and not, for example, a data dir."""
    return (folder / "hyp").is_file()


def read_transcripts(folder: Path) -> dict[str, str]:
    """Utterance -> recognised words; raises InputError for a folder without transcripts."""
    if not is_decoded(folder):
        raise InputError(
            f"{folder}: not a decoded dir: no hyp; make one with: atat decode --task asr"
        )
    path = folder / "decode.json"
    fix = f"remove {folder} and run the decoding again"
    about = read_object(path, fix) if path.is_file() else {}
    task = about.get("task")
    if about.get("target", TASKS[task].target if task in TASKS else None) != "text":
        raise InputError(f"{folder}: decoded as task {task}, expected transcripts (task asr)")
    return tables.read_table(folder / "hyp")


def read_confidence(folder: Path) -> dict[str, float]:
    """Utterance -> confidence of its transcript; empty if the system gave none."""
    path = folder / CONFIDENCE
    if not path.is_file():
        return {}
    found = {}
    for line, (name, value) in enumerate(tables.read_table(path).items(), 1):
        try:
            found[name] = float(value)
        except ValueError:
            raise InputError(
                f"{path}:{line}: found {value!r} for {name!r}, expected a number; decode again"
            ) from None
    return found


def read_at_limit(folder: Path) -> set[str]:
    """The utterances whose best hypothesis was ended by the length limit."""
    path = folder / "nbest.jsonl"
    found = set()
    for number, line in enumerate(read_lines(path), 1):
        try:
            entry = json.loads(line)
            if entry["nbest"][0].get("at_limit"):
                found.add(entry["utt"])
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise InputError(
                f'{path}:{number}: expected {{"utt": ..., "nbest": [...]}}; remove {folder} and '
                "run the decoding again"
            ) from None
    return found
