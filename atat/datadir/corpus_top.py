"""Facebook's TOP and STOP on disk: sentences with their trees, and what is wrong with them.

TOP (Gupta et al. 2018; fb.me/semanticparsingdialog): `train.tsv`, `eval.tsv`, `test.tsv` without
header, three columns: the sentence as written, its tokens, its tree. STOP (Tomasello et al. 2022)
is speech for a later edition of TOP: `manifests/{train,eval,test}.tsv` with a header, audio beside.

The spoken text is the normalised sentence; the tree is normalised span by span. If a tag
separates a word from its ending ("today 's" with a tag between), the two differ by that blank.
Knows nothing of data dirs or recipes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from atat.base.errors import InputError
from atat.base.files import read_lines
from atat.datadir import corpus
from atat.datadir.corpus import Oddities
from atat.text.normalize import normalize, normalize_tree
from atat.text.trees import SemanticsError, Tree, brackets, parse, words

PARTS = {"train": "train.tsv", "dev": "eval.tsv", "test": "test.tsv"}
TOP_URL = "http://fb.me/semanticparsingdialog"
STOP_URL = "https://dl.fbaipublicfiles.com/stop/stop.tar.gz"
MANIFESTS = "manifests"
# The manifests' header, as read by facebookresearch/fairseq, examples/audio_nlp/nlu/
# generate_manifests.py, and espnet/espnet, egs2/stop/asr1/local/prepare_stop_data.py: file_id,
# domain, gender, native, utterance, seqlogical, normalized_utterance, normalized_seqlogical,
# decoupled_normalized_seqlogical. Ours are the ones before STOP's own normalisation.
STOP_COLUMNS = ("file_id", "utterance", "seqlogical")


@dataclass(frozen=True)
class Row:
    """A sentence with its meaning."""

    number: int  # line of the file, from 1; in STOP the header is not counted
    raw: str  # as published
    text: str  # as spoken
    tree: Tree  # its words as spoken, too
    file: str = ""  # STOP: the recording, as its manifest names it

    @property
    def nested(self) -> bool:
        """Whether a slot holds an intent, which distinguishes TOP from older corpora."""
        return sum(label.startswith("IN:") for label, _, _ in brackets(self.tree)) > 1


def top_folder(folder: Path, *, option: str = "--corpus", stop_option: str = "") -> Path:
    """Check that a folder, given by `option`, holds TOP.

    InputError says what is missing or which folder is meant; `stop_option` is the option for STOP.
    """
    if (folder / MANIFESTS).is_dir():
        advice = f"; give it as: {stop_option} {folder}" if stop_option else f"; get TOP, {TOP_URL}"
        raise InputError(f"{folder}: is STOP, not TOP{advice}")
    return corpus.root(folder, list(PARTS.values()), name="TOP", source=TOP_URL, option=option)


def stop_folder(folder: Path) -> Path:
    """Check that a folder holds STOP; InputError says what is missing or which folder is meant."""
    marks = [f"{MANIFESTS}/{name}" for name in PARTS.values()]
    return corpus.root(folder, marks, name="STOP", source=STOP_URL, option="--stop")


def read_top(folder: Path, part: str, oddities: Oddities) -> tuple[list[Row], int]:
    """The rows of train, dev or test that can be used, and how many there are."""
    path = folder / PARTS[part]
    lines = read_lines(path)
    _refuse_header(path, lines)
    rows = []
    for number, line in enumerate(lines, 1):
        columns = line.split("\t")
        if len(columns) != 3:
            oddities.add(
                "other number of columns (left out)",
                f"{path}:{number}: {len(columns)}, expected 3: sentence, tokens, tree",
                lost=True,
            )
            continue
        row = _row(path, number, columns[1], columns[2], oddities, raw=columns[0])
        if row is not None:
            rows.append(row)
    return _some(path, rows), len(lines)


def read_stop(folder: Path, part: str, oddities: Oddities) -> tuple[list[Row], int]:
    """The rows of one of STOP's manifests that can be used, and how many there are."""
    path = folder / MANIFESTS / PARTS[part]
    lines = read_lines(path)
    header = lines[0].split("\t") if lines else []
    missing = [name for name in STOP_COLUMNS if name not in header]
    if missing:
        raise InputError(
            f"{path}:1: the header has no {' and no '.join(missing)}; "
            f"found {', '.join(header) or 'nothing'}"
        )
    rows = []
    for number, line in enumerate(lines[1:], 1):
        columns = line.split("\t")
        if len(columns) != len(header):
            oddities.add(
                "other number of columns (left out)",
                f"{path}:{number + 1}: {len(columns)}, the header has {len(header)}",
                lost=True,
            )
            continue
        file, sentence, tree = (columns[header.index(name)] for name in STOP_COLUMNS)
        row = _row(path, number, sentence, tree, oddities, file=file, line=number + 1)
        if row is not None:
            rows.append(row)
    return _some(path, rows), len(lines) - 1


def has_intent(row: Row, names: Iterable[str]) -> bool:
    """Whether one of its intents has one of these words in its label: UNSUPPORTED, MUSIC ..."""
    labels = {label for label, _, _ in brackets(row.tree) if label.startswith("IN:")}
    return any(name in label[3:].split("_") for label in labels for name in names)


def _row(
    path: Path,
    number: int,
    sentence: str,
    tree: str,
    oddities: Oddities,
    *,
    raw: str = "",
    file: str = "",
    line: int = 0,
) -> Row | None:
    """A row, or None if it holds no tree or no words; oddities are noted."""
    where = f"{path}:{line or number}"
    try:
        parsed = parse(tree)
    except SemanticsError as error:
        oddities.add("no tree (left out)", f"{where}: {error}; found {tree!r}", lost=True)
        return None
    row = Row(number, raw or sentence, normalize(sentence), normalize_tree(parsed), file)
    said = " ".join(words(row.tree))
    if not row.text or not said:
        oddities.add("no words (left out)", f"{where}: {sentence!r}, {tree!r}", lost=True)
        return None
    # STOP's sentences are in lower case beside trees that are not.
    if [word.lower() for word in words(parsed)] != sentence.lower().split():
        oddities.add(
            "tokens are not those of the tree (kept)",
            f"{where}: {sentence!r}, {' '.join(words(parsed))!r}",
        )
    elif row.text != said:
        oddities.add("a tag parts a spoken word (kept)", f"{where}: {row.text!r}, {said!r}")
    return row


def _some(path: Path, rows: list[Row]) -> list[Row]:
    if not rows:
        raise InputError(f"{path}: no line has a sentence and its tree")
    return rows


def _refuse_header(path: Path, lines: list[str]) -> None:
    """Raise InputError if the first line names columns: the file is of another corpus."""
    columns = lines[0].split("\t") if lines else []
    if (
        columns
        and not any("[" in column for column in columns)
        and any(name in columns for name in ("semantic_parse", "utterance", "seqlogical"))
    ):
        raise InputError(
            f"{path}:1: found the columns {', '.join(columns)}; TOP has no header and "
            "three columns: sentence, tokens, tree (TOPv2 and STOP have others)"
        )
