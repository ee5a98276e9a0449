"""Spoken-SQuAD on disk: paragraphs that a recogniser heard, questions about them, recordings.

    spoken_train-v1.1.json          SQuAD's form; contexts are a recogniser's words, and questions
    spoken_test-v1.1.json           whose answers it did not hear are left out
    spoken_test-v1.1_WER44.json     the test with noise; all questions of spoken_test
    train-v1.1.json, dev-v1.1.json  SQuAD 1.1 itself: what was spoken, all questions
    **/train_wav/**/0_3_1.wav       audio of topic 0, paragraph 3, sentence 1; dev_wav of the test
    **/train_wav.ctm                of a generated corpus: times of the words in each recording

(Lee et al. 2018, github.com/Chia-Hsuan-Lee/Spoken-SQuAD; rajpurkar.github.io/SQuAD-explorer.)
Topics and paragraphs are numbered alike in the spoken and the original files. Knows nothing of data
dirs or recipes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from atat.base.errors import InputError
from atat.base.json_file import read_object
from atat.datadir.questions import places
from atat.text.normalize import normalize

VERSION = "1.1"
URL = "https://github.com/Chia-Hsuan-Lee/Spoken-SQuAD"
SQUAD_URL = "https://rajpurkar.github.io/SQuAD-explorer"
FORM = (
    '{"version": "1.1", "data": [{"title": ..., "paragraphs": [{"context": ..., "qas": [{"id": '
    '..., "question": ..., "answers": [{"text": ..., "answer_start": 0}]}]}]}]}'
)
_WAV = re.compile(r"(\d+)_(\d+)_(\d+)")


class Names(NamedTuple):
    """What the files of a part are called."""

    spoken: str
    reference: str
    audio: str  # folder; with .ctm, the times in a generated corpus


PARTS = {
    "train": Names("spoken_train-v1.1.json", "train-v1.1.json", "train_wav"),
    "test": Names("spoken_test-v1.1.json", "dev-v1.1.json", "dev_wav"),
}


# Of the test: what was heard of it in noise, with this WER in %.
VERSIONS = ("WER44", "WER54")


class Given(NamedTuple):
    """An answer: its text and the number of its first character in the context."""

    text: str
    start: int


@dataclass(frozen=True)
class Asked:
    """A question as in the file."""

    id: str
    question: str
    answers: tuple[Given, ...]


@dataclass(frozen=True)
class Paragraph:
    """A context with its questions; topic and number count from 0 in the file."""

    topic: int
    number: int
    context: str
    asked: tuple[Asked, ...]


def version_of(name: str, version: str) -> str:
    """The file of another version of the test: of spoken_test-v1.1.json and "WER44"."""
    return name.replace(".json", f"_{version}.json")


def read(path: Path) -> list[Paragraph]:
    """The paragraphs of a file in SQuAD's form, with and without questions, in its order.

    Raises InputError for a file of another version or form, naming the place, and for a question id
    that occurs twice.
    """
    fix = f"get the file again from {URL} or, of SQuAD itself, {SQUAD_URL}"
    content = read_object(path, fix)
    if content.get("version") != VERSION:
        raise InputError(
            f"{path}: `version` is {content.get('version')!r}, expected {VERSION!r} (2.0 has "
            f"questions without answers, which this task does not have); {fix}"
        )
    found = []
    seen: dict[str, str] = {}
    for topic, number, paragraph in _paragraphs(content, path):
        where = f"{path}: topic {topic}, paragraph {number}"
        asked = tuple(_asked(one, where) for one in _of(paragraph, "qas", list, where))
        for one in asked:
            if one.id in seen:
                raise InputError(
                    f"{where}: the question {one.id!r} occurs a second time, first in "
                    f"{seen[one.id]}; remove one"
                )
            seen[one.id] = f"topic {topic}, paragraph {number}"
        found.append(Paragraph(topic, number, _of(paragraph, "context", str, where), asked))
    if not found:
        raise InputError(f"{path}: holds no paragraph; expected the form {FORM}; {fix}")
    return found


def words_of(paragraph: Paragraph) -> list[str]:
    """The words of a context as they are spoken: normalised."""
    return list(_normalized(paragraph.context))


def place(paragraph: Paragraph, answer: Given) -> tuple[int, int] | None:
    """The numbers of the first and last word of an answer in `words_of`; None: it is not there.

    The characters say where; an answer that begins or ends within a word gets the whole word. Where
    they do not hold it (as in the test versions of other noise, which have SQuAD's numbers), it is
    the occurrence that is nearest to them.
    """
    if not normalize(answer.text):
        return None
    context, words = paragraph.context, _normalized(paragraph.context)
    end = answer.start + len(answer.text)
    if context[answer.start : end].lower() == answer.text.lower():
        for start, stop in ((answer.start, end), _whole_tokens(context, answer.start, end)):
            before = normalize(context[:start]).split()
            inside = normalize(context[start:stop]).split()
            after = normalize(context[stop:]).split()
            if tuple(before + inside + after) == words:
                return len(before), len(before) + len(inside) - 1
    found = places(words, answer.text)
    if not found:
        return None
    near = len(normalize(context[: answer.start]).split())
    return min(found, key=lambda one: abs(one[0] - near))


def recordings(folder: Path, part: str) -> dict[tuple[int, int], list[Path]]:
    """The recordings of each paragraph (topic, number) of a part, in the order of its sentences.

    Any folder below `folder` that has the part's name is looked through. Raises InputError for two
    recordings of one sentence.
    """
    found: dict[tuple[int, int], dict[int, Path]] = {}
    for path in audio_folders(folder, part):
        for wav in sorted(path.rglob("*.wav")):
            match = _WAV.fullmatch(wav.stem)
            if match is None:
                continue
            topic, number, sentence = map(int, match.groups())
            listed = found.setdefault((topic, number), {})
            if sentence in listed:
                raise InputError(f"{wav}: the same sentence as {listed[sentence]}; remove one")
            listed[sentence] = wav
    return {key: [listed[n] for n in sorted(listed)] for key, listed in found.items()}


def missing_sentences(wavs: list[Path]) -> list[int]:
    """The sentences of a paragraph whose recordings are not there though a later one is."""
    numbers = [int(path.stem.rpartition("_")[2]) for path in wavs]
    return sorted(set(range(max(numbers) + 1)) - set(numbers)) if numbers else []


def audio_folders(folder: Path, part: str) -> list[Path]:
    """The folders below `folder` that have the name of a part's audio."""
    found = sorted(path for path in folder.rglob(PARTS[part].audio) if path.is_dir())
    # The folder of a data dir, with sentences to be spoken, holds no audio.
    return [path for path in found if not (path / "utt2spk").exists()]


def joined(
    reference: list[Paragraph], spoken: list[Paragraph], names: Names
) -> Iterator[tuple[Paragraph, Paragraph]]:
    """Each original paragraph with what the recogniser heard of it.

    Raises InputError if a spoken paragraph has no original, or asks what that does not ask.
    """
    originals = {(one.topic, one.number): one for one in reference}
    heard = {(one.topic, one.number): one for one in spoken}
    for key, one in heard.items():
        known = {asked.id for asked in originals[key].asked} if key in originals else set()
        for asked in one.asked:
            if asked.id not in known:
                raise InputError(
                    f"{names.spoken}: topic {key[0]}, paragraph {key[1]}: the question "
                    f"{asked.id!r} is not in that paragraph of {names.reference}; expected both "
                    f"files of the same corpus; get them from {URL} and {SQUAD_URL}"
                )
    for key, original in originals.items():
        if key in heard:
            yield original, heard[key]


def _paragraphs(
    content: Mapping[str, Any], path: Path
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    for topic, article in enumerate(_of(content, "data", list, str(path))):
        listed = _of(article, "paragraphs", list, f"{path}: topic {topic}")
        for number, paragraph in enumerate(listed):
            yield topic, number, paragraph


def _asked(row: Any, where: str) -> Asked:
    name = _of(row, "id", str, where)
    where = f"{where}: question {name}"
    answers = tuple(
        Given(_of(one, "text", str, where), _of(one, "answer_start", int, where))
        for one in _of(row, "answers", list, where)
    )
    if not answers:
        raise InputError(f"{where}: no answers; expected one at least, as in SQuAD 1.1")
    return Asked(name, _of(row, "question", str, where), answers)


def _of(row: Any, key: str, kind: type, where: str) -> Any:
    if not isinstance(row, dict) or not isinstance(row.get(key), kind):
        found = repr(row.get(key))[:40] if isinstance(row, dict) and key in row else "no such key"
        raise InputError(
            f"{where}: `{key}`: expected {kind.__name__}, found {found}; expected the form {FORM}"
        )
    return row[key]


def _whole_tokens(context: str, start: int, end: int) -> tuple[int, int]:
    """The same span up to the blanks around it."""
    start = context.rfind(" ", 0, start) + 1
    stop = context.find(" ", end)
    return start, len(context) if stop < 0 else stop


@lru_cache(maxsize=64)
def _normalized(context: str) -> tuple[str, ...]:
    return tuple(normalize(context).split())
