"""The SNIPS NLU benchmark on disk: sentences of seven intents with their slots.

    2017-06-custom-intent-engines/PlayMusic/
      train_PlayMusic_full.json      all sentences to train on, some 2,000 an intent
      train_PlayMusic.json           some of them
      validate_PlayMusic.json        100 to test with

(Coucke et al. 2018, "Snips Voice Platform"; github.com/sonos/nlu-benchmark). A sentence becomes a
tree by bracketing its slots inside its intent; words are normalised within each span, and the text
is that of the tree. Two of the published files are Latin-1. Knows nothing of data dirs or recipes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atat.base.errors import InputError
from atat.datadir import corpus
from atat.text.normalize import normalize
from atat.text.trees import Tree, tag_name

TRAIN, VALIDATE = "train_{}_full.json", "validate_{}.json"
URL = "https://github.com/sonos/nlu-benchmark (folder 2017-06-custom-intent-engines)"
FORM = '{"PlayMusic": [{"data": [{"text": "Play "}, {"text": "Jude", "entity": "album"}]}, ...]}'


@dataclass(frozen=True)
class Row:
    """A sentence with its meaning."""

    intent: str  # as published
    number: int  # within the intent's file, from 1
    raw: str  # as published
    tree: Tree  # its words are normalised


def read_snips_nlu(folder: Path, pattern: str, *, option: str = "--corpus") -> list[Row]:
    """The rows of all intents' files of one kind, TRAIN or VALIDATE.

    Raises InputError for a folder, given by `option`, or a file of another layout.
    """
    found = [path / pattern.format(path.name) for path in _folders(folder)]
    paths = [path for path in found if path.is_file()]
    if not paths:
        raise InputError(
            f"{option} {folder}: no <Intent>/{pattern.format('<Intent>')}; expected SNIPS' folder "
            f"2017-06-custom-intent-engines, found {corpus.contents(folder)}. Get it from {URL}"
        )
    return [row for path in paths for row in _rows(path)]


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _rows(path: Path) -> Iterable[Row]:
    intent = path.parent.name
    for number, entry in enumerate(_read_json(path)[intent], 1):
        where = f"{path}: utterance {number}"
        try:
            spans = [(span["text"], span.get("entity")) for span in entry["data"]]
            if not all(isinstance(text, str) and isinstance(e, str | None) for text, e in spans):
                raise TypeError
        except (KeyError, TypeError, AttributeError):
            raise InputError(f"{where}: expected the form {FORM}") from None
        children: list[Tree | str] = []
        for text, entity in spans:
            spoken = normalize(text).split()
            if entity is not None and spoken:
                children.append(Tree(f"SL:{tag_name(entity)}", tuple(spoken)))
            else:
                children.extend(spoken)
        if not children:
            raise InputError(f"{where} has no words; get the file again from {URL}")
        raw = "".join(text for text, _ in spans)
        yield Row(intent, number, raw, Tree(f"IN:{tag_name(intent)}", tuple(children)))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        text = path.read_bytes().decode("latin-1")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: is no JSON ({error.msg})") from None
    if not isinstance(content, dict) or not isinstance(content.get(path.parent.name), list):
        raise InputError(f"{path}: expected the key {path.parent.name!r}, in the form {FORM}")
    return content
