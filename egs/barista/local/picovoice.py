"""A clone of Picovoice's speech-to-intent benchmark: where its files are, what its labels say.

The labels are dirty, and no transcripts and no speaker ids are published. Everything odd is
collected as findings; nothing is fixed but blanks around and inside values.

Knows nothing of data dirs or models.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from order_grammar import Grammar, Order

from atat.base.errors import InputError
from atat.base.files import read_lines
from atat.datadir.corpus import Oddities, root
from atat.speech import audio

REPOSITORY = "https://github.com/Picovoice/speech-to-intent-benchmark"
PUBLISHED = "Picovoice's speech-to-intent benchmark"  # in atat.datadir.licence
LABELS = Path("data/label/label.json")
SPEECH = Path("data/speech/clean")
GRAMMAR = Path("data/rhino/coffee_maker.yaml")
SENTENCES = Path("data/watson/corpus.txt")
NOISE = Path("data/noise")


def corpus_folder(folder: str | Path) -> Path:
    """Check that a folder is the root of a clone; InputError says what to clone or where it is."""
    return root(
        folder,
        [str(LABELS)],
        name="a clone of Picovoice's speech-to-intent benchmark",
        source=REPOSITORY,
    )


def read_labels(corpus: Path, grammar: Grammar, oddities: Oddities) -> dict[str, Order]:
    """Utterance id -> order, for every label that can be understood.

    Values lose stray blanks. A value which the grammar does not have stays as it was published,
    for the published engines were judged by it, too.
    """
    path = corpus / LABELS
    repeated: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(key for key, _ in pairs)
        repeated.extend(key for key, count in counts.items() if count > 1)
        return dict(pairs)

    try:
        content = json.loads("\n".join(read_lines(path)), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: is no JSON ({error.msg}); clone again") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object from file names to labels")
    for key in repeated:
        oddities.add("label given twice (the last one counts)", key)
    orders = {}
    for name, entry in sorted(content.items()):
        order = _order(name, entry, oddities)
        if order is None:
            continue
        for complaint in grammar.complaints(order):
            oddities.add("label outside the grammar (kept as published)", f"{name}: {complaint}")
        orders[Path(name).stem] = order
    return orders


def _order(name: str, entry: Any, oddities: Oddities) -> Order | None:
    slots = entry.get("slots") if isinstance(entry, Mapping) else None
    if (
        not isinstance(slots, Mapping)
        or not isinstance(entry.get("intent"), str)
        or not all(isinstance(value, str) and value.strip() for value in slots.values())
    ):
        oddities.add("label that cannot be read (left out)", f"{name}: {json.dumps(entry)}")
        return None
    clean = {}
    for slot, value in slots.items():
        clean[slot] = re.sub(r"\s+", " ", value.strip())
        if clean[slot] != value:
            oddities.add("stray blank in a value (removed)", f"{name}: {slot} {value!r}")
    return Order(entry["intent"], clean)


def recordings(corpus: Path, labels: Mapping[str, Order], oddities: Oddities) -> dict[str, Path]:
    """Utterance id -> recording, for those that have a label and can be read."""
    folder = corpus / SPEECH
    paths = {path.stem: path for path in sorted(folder.glob("*.wav"))}
    if not paths:
        raise InputError(
            f"{folder}: no recordings (*.wav); clone {REPOSITORY} again. Are they "
            "pointers of Git LFS? Then: git lfs pull"
        )
    for utterance in sorted(labels.keys() - paths.keys()):
        oddities.add("label without a recording (left out)", f"{utterance}.wav")
    good = {}
    seen: dict[bytes, str] = {}
    for utterance, path in paths.items():
        if utterance not in labels:
            oddities.add("recording without a label (left out)", path.name, lost=True)
            continue
        try:
            samples = audio.load(path)
        except InputError as error:
            oddities.add("recording that cannot be read (left out)", str(error), lost=True)
            continue
        first = seen.setdefault(samples.tobytes(), utterance)
        if first != utterance:
            oddities.add("the same audio twice (both kept)", f"{first}.wav and {path.name}")
        good[utterance] = path
    return good
