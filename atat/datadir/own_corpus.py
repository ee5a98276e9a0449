"""Data dirs from a table of utterances and a folder of recordings.

    table = utterance_table.read("utterances.csv")
    sets = own_corpus.arrange(own_corpus.usable(table, folder, wavs, oddities))
    own_corpus.write(Path("data"), sets, licence.of(folder))

The cells of a row decide which tasks can learn from it, and so its data dirs:

    train      dev      test        recordings whose meaning is known (slu; asr and nlu with a text)
    train_asr  dev_asr  test_asr    recordings with a transcript only
    train_nlu  dev_nlu  test_nlu    sentences with their meaning, without a recording

Speakers of dev and test are not in train if there are enough speakers (`SPEAKERS`); else
utterances are split. train_nlu has no sentence that is spoken in a test set. Knows nothing of
models; `utterance_table` reads the table, `atat.text.slot_trees` makes trees from slots.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atat.base import digests
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.datadir import files, ids, kaldi_dir, overlap, parts, plain_text
from atat.datadir.corpus import Oddities
from atat.datadir.overlap import sentence
from atat.datadir.utterance_table import Row, Table
from atat.speech import audio
from atat.text import slot_trees, trees
from atat.text.normalize import normalize, normalize_tree

DEV, TEST = 0.1, 0.2  # shares of the utterances
SPEAKERS = 5  # fewer cannot be kept apart without losing too much of the training set
SLU, ASR, NLU = KINDS = ("", "_asr", "_nlu")  # the ending of a data dir
SETS = tuple(part + kind for kind in KINDS for part in parts.PARTS)
DECODINGS = "decodings"  # lines `<set> <task>`: the possible tests of a model
RAW = "text.raw"  # table of the texts before they were normalised
WRITTEN = "text"  # prefix of the ids of sentences without a recording


@dataclass(frozen=True)
class Item:
    """A usable row: its utterance, its text as in the table, and its place, file:line."""

    utterance: kaldi_dir.Utterance
    raw: str
    where: str

    @property
    def kind(self) -> str:
        if self.utterance.wav is None:
            return NLU
        return ASR if self.utterance.semantics is None else SLU


Sets = dict[str, list[Item]]  # name of a data dir -> what is in it


def usable(table: Table, folder: Path, wavs: Path, oddities: Oddities) -> list[Item]:
    """The usable rows of a table with recordings in `folder`; the others go to `oddities`.

    Recordings that are not 16 kHz with one channel are converted into the folder `wavs`.
    """
    items: dict[str, Item] = {}
    paths: dict[str, str] = {}
    for what in table.broken:
        oddities.add("row with other cells than the header (left out)", what, lost=True)
    for row in table.rows:
        if row.path and paths.setdefault(row.path, row.where) != row.where:
            oddities.add(
                "recording in two rows (the first counts)",
                f"{row.where}: {row.path}, first in {paths[row.path]}",
            )
            continue
        try:
            item = _item(row, table, folder, wavs, oddities)
        except InputError as error:
            oddities.add("row that cannot be used (left out)", f"{row.where}: {error}", lost=True)
            continue
        if item.utterance.id in items:
            oddities.add(
                "row that cannot be used (left out)",
                f"{row.where}: the recording "
                f"{row.path!r} is called like another one but for signs; rename it",
                lost=True,
            )
            continue
        items[item.utterance.id] = item
    return list(items.values())


def _item(row: Row, table: Table, folder: Path, wavs: Path, oddities: Oddities) -> Item:
    """A row as an utterance; InputError, without its line, if it cannot be used."""
    text = normalize(row.text) if table.has("text") else None
    if text == "":
        raise InputError(f"no words in the column text, found {row.text!r}; write what is said")
    tree = _meaning(row, text, oddities)
    plain_text.refuse_odd_blanks("the tree", tree or "")
    if not row.path:
        if text is None or tree is None:
            raise InputError(
                "neither a recording nor a text with a meaning; add a path, or text "
                "and tree (or intent)"
            )
        key = f"{WRITTEN}-{int(row.where.rpartition(':')[2]):06d}"
        return Item(kaldi_dir.Utterance(key, key, text=text, semantics=tree), row.text, row.where)
    if text is None and tree is None:
        raise InputError("neither text nor meaning, nothing can be learned; fill in one of them")
    name = _identifier(os.path.splitext(row.path)[0].removeprefix(str(folder)))
    speaker = _identifier(row.speaker)
    if table.has("speaker") and not speaker:
        oddities.add("recording without a speaker (is a speaker of its own)", row.where)
    key = f"{speaker}-{name}" if speaker else name
    wav, seconds = usable_audio(folder / row.path, wavs, key)
    return Item(
        kaldi_dir.Utterance(
            key, speaker or key, wav=str(wav), duration=seconds, text=text, semantics=tree
        ),
        row.text,
        row.where,
    )


def _meaning(row: Row, text: str | None, oddities: Oddities) -> str | None:
    """The tree of a row, normalised; None if the row has no meaning."""
    if row.tree:
        return trees.to_string(normalize_tree(trees.parse(row.tree)))
    if not row.intent:
        if row.slots:
            raise InputError(f"slots {row.slots!r} without an intent; fill in the intent")
        return None
    found = slot_trees.build(row.intent, slot_trees.parse_slots(row.slots), text)
    for name in found.ambiguous:
        oddities.add(
            "slot value that stands twice in the text (the first is taken)",
            f"{row.where}: {name} in {text!r}; give a tree where that is wrong",
        )
    return trees.to_string(found.tree)


def usable_audio(path: Path, wavs: Path, name: str) -> tuple[Path, float]:
    """A recording at 16 kHz with one channel, and its seconds; the first of several channels.

    That is `path` itself, or the file WAVS/<name>.<digest>.wav, which is written unless it exists.
    The digest is of the path, size and time of the recording: another recording of this name
    becomes another file, so data dirs that were made before keep their audio. Raises InputError if
    the recording is missing or cannot be read.
    """
    info = audio.probe(path)
    if info.sample_rate == audio.SAMPLE_RATE and info.channels == 1:
        audio.check(path)
        return path.resolve(), info.duration
    status = path.stat()
    origin = digests.of_text(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}")
    converted = ids.path_in(wavs, name, suffix=f".{origin[: digests.SHORT]}.wav")
    if not converted.exists():
        audio.save(
            converted, audio.load(path, resample=True, channel=0 if info.channels > 1 else None)
        )
    return converted.resolve(), audio.duration(converted)


def _identifier(name: str) -> str:
    """A name as a part of an id. No hyphen: ids of a speaker must sort together."""
    return re.sub(r"\W+", "_", name).strip("_")


def arrange(items: Iterable[Item]) -> Sets:
    """The data dirs of all usable rows, without empty ones; InputError if train is empty."""
    by_kind: dict[str, list[Item]] = {kind: [] for kind in KINDS}
    for item in items:
        by_kind[item.kind].append(item)
    sets: Sets = {}
    known: dict[str, str] = {}  # part of a speaker, or of an utterance where speakers are few
    for kind in (SLU, ASR):  # a test speaker of slu is in no training set of asr
        known |= _parts_of_recordings(by_kind[kind], known)
        for item in by_kind[kind]:
            part = known.get(item.utterance.speaker) or known[item.utterance.id]
            sets.setdefault(part + kind, []).append(item)
    for item, part in _parts_of_sentences(by_kind[NLU], sets):
        sets.setdefault(part + NLU, []).append(item)
    if not any(parts.TRAIN + kind in sets for kind in KINDS):
        raise InputError("no row can be used; see the findings")
    return {name: sets[name] for name in SETS if name in sets}


def _parts_of_recordings(items: Sequence[Item], known: Mapping[str, str]) -> dict[str, str]:
    """The part of each speaker that has none yet; of each utterance if speakers are few."""
    new = [item.utterance for item in items if item.utterance.speaker not in known]
    are_many = len({item.utterance.speaker for item in items}) >= SPEAKERS
    return parts.split([one.speaker if are_many else one.id for one in new], dev=DEV, test=TEST)


def _parts_of_sentences(items: Sequence[Item], sets: Sets) -> Iterable[tuple[Item, str]]:
    """The part of each sentence: the part where it is spoken, if that is dev or test."""
    spoken = {
        item.utterance.text: part
        for part in (parts.DEV, parts.TEST)
        for kind in (SLU, ASR)
        for item in sets.get(part + kind, [])
    }
    chosen = parts.split([item.utterance.text or "" for item in items], dev=DEV, test=TEST)
    for item in items:
        text = item.utterance.text or ""
        yield item, spoken.get(text) or chosen[text]


def write(out: Path, sets: Sets, license_: str) -> None:
    """Write the data dirs and the list of `DECODINGS`; nothing of an earlier table stays."""
    for name in SETS:
        if name not in sets:
            shutil.rmtree(out / name, ignore_errors=True)
            continue
        utterances = (item.utterance for item in sets[name])
        files.write_anew(out / name, utterances, {RAW: raw_texts(sets[name])}, license_)
    with atomic_write(out / DECODINGS) as stream:
        stream.writelines(f"{name} {task}\n" for name, task in decodings(sets))


def raw_texts(items: Iterable[Item]) -> dict[str, str]:
    """The table `RAW` of these items."""
    return {item.utterance.id: item.raw for item in items if item.raw}


def decodings(sets: Sets) -> list[tuple[str, str]]:
    """The test sets with the tasks that each can be decoded as."""
    tasks = {SLU: ("slu", "asr", "nlu"), ASR: ("asr",), NLU: ("nlu",)}
    found = []
    for kind in KINDS:
        for item in sets.get(parts.TEST + kind, [])[:1]:
            found += [
                (parts.TEST + kind, task)
                for task in tasks[kind]
                if task == "slu" or item.utterance.text is not None
            ]
    return found


def describe(sets: Sets) -> list[str]:
    """Lines that describe the data dirs, and how much of test is in train."""
    lines = []
    for name, items in sets.items():
        utterances = [item.utterance for item in items]
        line = f"{name}: {len(items)} utterances, {len(set(map(sentence, utterances)))} sentences"
        if utterances[0].wav is not None:
            hours = sum(one.duration or 0.0 for one in utterances) / 3600
            line += f", {len({one.speaker for one in utterances})} speakers, {hours:.2f} h"
        train = name.replace(parts.TEST, parts.TRAIN)
        if train != name and train in sets:
            shared = overlap.count([item.utterance for item in sets[train]], utterances)
            line += f"; in {train}, too: {shared}"
        lines.append(line)
    return lines


def remarks(table: Table, items: Sequence[Item]) -> list[str]:
    """Consequences of missing columns, and other notes, as sentences."""
    found = []
    if table.unread:
        found.append(f"columns that are not read: {', '.join(table.unread)}")
    if not table.has("path"):
        found.append(
            "no column path: only nlu is learned, the meaning of sentences that are read; "
            "a model that understands speech needs recordings"
        )
    if not table.has("text"):
        found.append(
            "no column text: only slu is learned. Lost: asr and nlu, and the loss on the "
            "words (CTC), without which a model needs far more recordings to learn from"
        )
    if not (table.has("tree") or table.has("intent")):
        found.append(
            "no column tree or intent: only asr is learned. Lost: slu and nlu, that is "
            "intents and slots"
        )
    if table.has("tree") and table.has("intent"):
        found.append("both tree and intent: intent and slots are read where a row has no tree")
    voices = {item.utterance.speaker for item in items if item.utterance.wav is not None}
    if table.has("path") and not table.has("speaker"):
        found.append(
            "no column speaker: every recording is a speaker of its own, since nobody "
            "knows who speaks. If few people do, test has voices of train: figures are "
            "better than for new people, and their intervals too narrow"
        )
    elif table.has("path") and len(voices) < SPEAKERS:
        found.append(
            f"{len(voices)} speakers are too few to keep some for the test (at least "
            f"{SPEAKERS}): utterances are split, figures are for these speakers"
        )
    return found
