"""SNIPS smart lights: where its files are, its annotated sentences, its recordings.

    <folder>/smart-lights-en-close-field/
      dataset.json                        sentences by intent, slots marked
      speech_corpus/metadata.json         recordings: file, sentence, who spoke
      speech_corpus/audio/<n>.wav
    <folder>/smart-lights-en-far-field/   the same recordings, played and recorded at two metres

Nothing but the sentence joins an annotation and its recording. Knows nothing of data dirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atat.base.errors import InputError
from atat.datadir import corpus
from atat.text import trees
from atat.text.normalize import normalize, normalize_tree
from atat.text.trees import Tree, tag_name

SOURCE = (
    "https://github.com/sonos/spoken-language-understanding-research-datasets "
    "(on request, for research)"
)
FIELDS = {"close": "smart-lights-en-close-field", "far": "smart-lights-en-far-field"}
DATASET = Path("dataset.json")
METADATA = Path("speech_corpus/metadata.json")
AUDIO = Path("speech_corpus/audio")


@dataclass(frozen=True)
class Sentence:
    """An annotated sentence: the text as published, and its meaning, words normalised."""

    text: str
    tree: Tree

    @property
    def key(self) -> str:
        """What a sentence and its recordings have in common."""
        return normalize(self.text)


@dataclass(frozen=True)
class Recording:
    """An entry of metadata.json; `speaker` is empty where none is told."""

    number: str
    file: str
    text: str
    speaker: str

    @property
    def key(self) -> str:
        return normalize(self.text)


def field_folder(folder: str | Path, field: str) -> Path:
    """The folder of the close or the far field; InputError if it is wrong or incomplete."""
    marks = [f"{FIELDS[field]}/{name}" for name in (DATASET, METADATA, AUDIO)]
    root = corpus.root(folder, marks, name="the folder of the smart lights", source=SOURCE)
    return root / FIELDS[field]


def sentences(folder: Path) -> list[Sentence]:
    """All annotated sentences, in the order of the file; InputError for another layout."""
    path = folder / DATASET
    intents = _object(path, _read(path), "intents")
    found = []
    for intent, entry in intents.items():
        utterances = entry.get("utterances") if isinstance(entry, Mapping) else None
        if not isinstance(utterances, list):
            raise InputError(f"{path}: intent {intent!r} has no list `utterances`; {_EXPECTED}")
        for number, utterance in enumerate(utterances):
            found.append(_sentence(path, intent, number, utterance))
    if not found:
        raise InputError(f"{path}: no sentences; get the file again")
    return found


def recordings(folder: Path) -> list[Recording]:
    """All entries of metadata.json, by number; InputError for another layout."""
    path = folder / METADATA
    content = _read(path)
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{path}: expected an object from numbers to recordings")
    found = []
    for number, entry in content.items():
        file, text = (
            entry.get(key) if isinstance(entry, Mapping) else None for key in ("filename", "text")
        )
        if not (isinstance(file, str) and file and isinstance(text, str) and text):
            raise InputError(
                f"{path}: entry {number!r} is {json.dumps(entry)[:80]}; expected "
                '{"filename": "0.wav", "text": "…", "worker": {"id": "…"}}'
            )
        worker = entry.get("worker")
        speaker = worker.get("id") if isinstance(worker, Mapping) else None
        found.append(Recording(str(number), file, text, re.sub(r"\W", "-", str(speaker or ""))))
    return sorted(found, key=lambda one: (len(one.number), one.number))


_EXPECTED = (
    'expected {"data": [{"text": "Turn on the "}, {"text": "kitchen", "entity": "room", '
    '"slot_name": "room"}]}'
)


def _sentence(path: Path, intent: str, number: int, utterance: Any) -> Sentence:
    parts = utterance.get("data") if isinstance(utterance, Mapping) else None
    if not isinstance(parts, list) or not all(
        isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in parts
    ):
        raise InputError(
            f"{path}: {intent}, utterance {number}: {json.dumps(utterance)[:80]}; {_EXPECTED}"
        )
    children: list[Tree | str] = []
    for part in parts:
        words = part["text"].split()
        name = part.get("slot_name")
        # A slot that spans nothing is none.
        children += [Tree(f"SL:{tag_name(name)}", tuple(words))] if name and words else words
    return Sentence(
        "".join(part["text"] for part in parts),
        normalize_tree(Tree(f"IN:{tag_name(intent)}", tuple(children))),
    )


def tree_text(sentence: Sentence) -> str:
    """The meaning of a sentence as data dirs hold it."""
    return trees.to_string(sentence.tree)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8; get the file again") from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}:{error.lineno}: is no JSON ({error.msg}); is the file whole? Get it again"
        ) from None


def _object(path: Path, content: Any, key: str) -> Mapping[str, Any]:
    value = content.get(key) if isinstance(content, Mapping) else None
    if not isinstance(value, Mapping):
        found = ", ".join(content) if isinstance(content, Mapping) else type(content).__name__
        raise InputError(f"{path}: no object `{key}` at the top; found {found}")
    return value
