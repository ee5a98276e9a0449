"""Spoken-SQuAD, or a generated corpus in its layout, as data dirs whose utterances are paragraphs.

    python local/prepare_spoken_squad.py --corpus ~/Spoken-SQuAD --out data

writes, for train, dev and test, two data dirs of the same recordings and questions: one whose
`text` is what was spoken (train, dev, test_reference) and one whose `text` is what the recogniser
heard (train_asr, dev_asr, test). dev are the last topics of the published training set, which has
none. The recordings of a paragraph's sentences become one, in OUT/wavs. Where the corpus has times
of words (train_wav.ctm, in a generated one) they become `ctm`; else `atat align` makes it. The
questions have the words of their answers but no times yet: local/time_questions.py adds these.
What was heard of the test in noise, where the corpus has it (spoken_test-v1.1_WER44.json), becomes
test_WER44, for models that read: all questions of spoken_test-v1.1.json, without times.

A paragraph without questions is passed over. One whose recordings are missing or damaged, and a
question whose answer is not in its context, are left out, counted, and listed in OUT/findings.txt.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import corpus, kaldi_dir, licence, questions
from atat.datadir import corpus_spoken_squad as layout
from atat.datadir.corpus import Oddities
from atat.datadir.corpus_spoken_squad import Paragraph
from atat.datadir.ctm import Word, read_ctm, write_ctm
from atat.datadir.kaldi_dir import Utterance
from atat.datadir.questions import Answer, Question
from atat.prepare.limited import limited
from atat.scoring import metrics
from atat.speech import audio

# Part -> name of the data dir with the words spoken, and of the one with the words heard.
FOLDERS = {
    "train": ("train", "train_asr"),
    "dev": ("dev", "dev_asr"),
    "test": ("test_reference", "test"),
}
PUBLISHED = "Spoken-SQuAD, SQuAD 1.1"  # in atat.datadir.licence
LOST_AUDIO = "paragraph without a usable recording (left out)"


@dataclass
class Item:
    """A paragraph that is kept: both its texts, its recording, its words' times where known."""

    key: str
    speaker: str
    original: Paragraph
    heard: Paragraph
    wav: Path
    seconds: float
    words: list[Word] | None = None
    asked: list[tuple[Question, Question]] = field(default_factory=list)  # spoken, heard


def items_of(folder: Path, part: str, out: Path, oddities: Oddities, limit: int) -> list[Item]:
    """The usable paragraphs of a part of the corpus, with their questions."""
    names = layout.PARTS[part]
    pairs = [
        (original, heard)
        for original, heard in layout.joined(
            layout.read(folder / names.reference), layout.read(folder / names.spoken), names
        )
        if original.asked
    ]
    if 0 < limit < len(pairs):
        pairs = limited(pairs, limit, seed=1)
    wavs = layout.recordings(folder, part)
    times = {
        key: words
        for path in layout.audio_folders(folder, part)
        if path.with_name(f"{names.audio}.ctm").exists()
        for key, words in read_ctm(path.with_name(f"{names.audio}.ctm")).items()
    }
    found = []
    for original, heard in pairs:
        topic = f"{part}-{original.topic:03d}"
        key = f"{topic}-{original.number:03d}"
        try:
            wav, seconds, words = _recording(
                wavs.get((original.topic, original.number), []), times, out / f"{key}.wav"
            )
        except InputError as error:
            oddities.add(LOST_AUDIO, f"{names.reference} {key}: {error}", lost=True)
            continue
        item = Item(key, topic, original, heard, wav, seconds, words)
        _ask(item, oddities)
        if item.asked:
            found.append(item)
    return found


def _recording(
    wavs: Sequence[Path], times: Mapping[str, Sequence[Word]], path: Path
) -> tuple[Path, float, list[Word] | None]:
    """One recording of a paragraph's sentences, its length, and when its words are spoken.

    Raises InputError if a sentence is missing or cannot be read, or ends before its words do.
    """
    if not wavs:
        raise InputError("there is none")
    if missing := layout.missing_sentences(list(wavs)):
        raise InputError(f"those of the sentences {', '.join(map(str, missing))} are missing")
    start, words, known = 0.0, [], True
    for wav in wavs:
        seconds = audio.duration(wav)
        timed = times.get(wav.stem)
        known = known and timed is not None
        if timed and timed[-1].end > seconds + 0.05:
            raise InputError(
                f"{wav}: lasts {seconds:.2f} s, but its last word ends at {timed[-1].end:.2f} s"
            )
        words += [Word(one.text, start + one.start, one.duration) for one in timed or ()]
        start += seconds
    if len(wavs) == 1 and audio.probe(wavs[0]).sample_rate == audio.SAMPLE_RATE:
        return wavs[0].resolve(), start, words if known else None
    if not (_is_newer(path, wavs) and abs(audio.duration(path) - start) < 0.01):
        audio.save(path, np.concatenate([audio.load(wav, resample=True) for wav in wavs]))
    return path.resolve(), audio.duration(path), words if known else None


def _is_newer(path: Path, sources: Sequence[Path]) -> bool:
    """Whether a file is there and was written after all those that it is made from."""
    if not path.exists():
        return False
    return path.stat().st_mtime_ns >= max(source.stat().st_mtime_ns for source in sources)


def _ask(item: Item, oddities: Oddities) -> None:
    """The questions of a paragraph, with the words of their answers in both texts."""
    heard_of = {one.id: one for one in item.heard.asked}
    for asked in item.original.asked:
        where = f"{item.key} {asked.id}"
        spoken = tuple(_answer(item.original, given) for given in asked.answers)
        for answer in (one for one in spoken if one.first is None):
            oddities.add("answer that is not in the words spoken", f"{where}: {answer.text!r}")
        kept = heard_of.get(asked.id)
        # What the corpus leaves out is lost, whatever our rules for numbers would still find.
        heard = (
            tuple(_answer(item.heard, given) for given in kept.answers)
            if kept is not None
            else tuple(Answer(given.text) for given in asked.answers)
        )
        lost = all(one.first is None for one in heard)
        if kept is not None and lost:
            oddities.add("answer that is not in the words heard: counted as lost", where)
        if lost and all(one.first is None for one in spoken):
            oddities.add("question whose answers are nowhere (left out)", where, lost=True)
            continue
        item.asked.append(
            (
                Question(asked.id, item.key, asked.question, _different(spoken), lost),
                Question(asked.id, item.key, asked.question, _different(heard), lost),
            )
        )


def _answer(paragraph: Paragraph, given: layout.Given) -> Answer:
    place = layout.place(paragraph, given)
    return Answer(given.text, *place) if place is not None else Answer(given.text)


def _different(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    """Several people gave an answer; the same one counts once."""
    return tuple(dict.fromkeys(answers))


def divide(items: Sequence[Item], share: float) -> tuple[list[Item], list[Item]]:
    """Training and development: of the topics the last, about a share of them."""
    topics = sorted({item.speaker for item in items})
    count = max(1, round(share * len(topics))) if len(topics) > 1 else 0
    held = set(topics[len(topics) - count :])
    return (
        [item for item in items if item.speaker not in held],
        [item for item in items if item.speaker in held],
    )


def write(out: Path, part: str, items: Sequence[Item]) -> None:
    """The two data dirs of a part, and what is in them on the terminal."""
    for kind, name in enumerate(FOLDERS[part]):
        _write(out / name, items, heard=bool(kind))
    times = {item.key: item.words for item in items if item.words is not None}
    spoken = out / FOLDERS[part][0] / "ctm"
    about = spoken.with_name("ctm.json")  # of `atat align`, which made the ctm if it is there
    if times:
        write_ctm(spoken, times)
        about.unlink(missing_ok=True)
    elif not about.exists():
        spoken.unlink(missing_ok=True)
    asked = [pair[0] for item in items for pair in item.asked]
    lost = sum(one.lost for one in asked)
    hours = sum(item.seconds for item in items) / 3600
    print(
        f"{part}: {len(items)} paragraphs, {hours:.2f} h, {len(asked)} questions, of which the "
        f"recogniser, of {_error_rate(items):.1f} % WER, lost {lost}; times of words in "
        f"{len(times)}"
    )


def heard_in_noise(items: Sequence[Item], spoken: Path) -> list[Item]:
    """The same paragraphs as another file has them, with the questions of that file."""
    names = layout.PARTS["test"]._replace(spoken=spoken.name)
    reference = layout.read(spoken.with_name(names.reference))
    heard_of = {
        (one.topic, one.number): heard
        for one, heard in layout.joined(reference, layout.read(spoken), names)
    }
    found = []
    for item in items:
        heard = heard_of.get((item.original.topic, item.original.number))
        if heard is None:
            continue
        again = replace(item, heard=heard, asked=[])
        _ask(again, Oddities())  # what is odd about the test has been told
        left = {one.id for one in heard.asked}
        again.asked = [pair for pair in again.asked if pair[0].id in left]
        if again.asked:
            found.append(again)
    return found


def write_version(folder: Path, out: Path, version: str, test: Sequence[Item]) -> None:
    """The data dir of what was heard of the test in noise, if the corpus has it; else nothing."""
    spoken = folder / layout.version_of(layout.PARTS["test"].spoken, version)
    if not spoken.is_file():
        return
    items = heard_in_noise(test, spoken)
    if not items:
        print(f"test_{version}: not made, since {spoken} has none of the test's questions")
        return
    _write(out / f"test_{version}", items, heard=True)
    licence.write(out / f"test_{version}", licence.of_corpus(folder, PUBLISHED))
    asked = [one for item in items for _, one in item.asked]
    print(
        f"test_{version}: {len(asked)} questions, WER {_error_rate(items):.1f} %, answers of "
        f"{sum(one.lost for one in asked)} are not among the words"
    )


def _write(folder: Path, items: Sequence[Item], *, heard: bool) -> None:
    """A data dir of paragraphs, whose text is what was heard or what was said."""
    texts = {
        item.key: " ".join(layout.words_of(item.heard if heard else item.original)) or "<unk>"
        for item in items
    }
    kaldi_dir.write(
        folder,
        (
            Utterance(
                item.key,
                item.speaker,
                wav=str(item.wav),
                duration=item.seconds,
                text=texts[item.key],
            )
            for item in items
        ),
    )
    questions.write(folder, (pair[heard] for item in items for pair in item.asked))


def _error_rate(items: Sequence[Item]) -> float:
    """WER of what was heard, in %."""
    edits = words = 0.0
    for item in items:
        said, heard = (" ".join(layout.words_of(one)) for one in (item.original, item.heard))
        wrong, count = metrics.text_counts(said, heard)["wer"]
        edits, words = edits + wrong, words + count
    return 100 * edits / max(words, 1)


def prepare(
    folder: Path, out: Path, limits: Sequence[int], dev_share: float, max_lost: float
) -> None:
    """All data dirs of a corpus; InputError if it is not one or too much of it is unusable."""
    marks = [name for names in layout.PARTS.values() for name in (names.spoken, names.reference)]
    source = f"{layout.URL} (spoken files and audio) and {layout.SQUAD_URL} (SQuAD 1.1)"
    folder = corpus.root(folder, marks, name="Spoken-SQuAD with SQuAD 1.1", source=source)
    oddities = Oddities()
    found = {
        part: items_of(folder, part, out / "wavs" / part, oddities, limit)
        for part, limit in zip(layout.PARTS, limits)
    }
    kept = sum(len(items) for items in found.values())
    audio_of = " and ".join(names.audio for names in layout.PARTS.values())
    oddities.close(
        out / "findings.txt",
        kept=kept,
        max_lost=max_lost,
        corpus=folder,
        noun="paragraphs",
        advice=f"Is the audio unpacked there, in {audio_of}?",
    )
    train, dev = divide(found["train"], dev_share)
    for part, items in (("train", train), ("dev", dev), ("test", found["test"])):
        if not items:
            raise InputError(f"{folder}: no paragraph is left for {part}; see {out}/findings.txt")
        write(out, part, items)
        for name in FOLDERS[part]:
            licence.write(out / name, licence.of_corpus(folder, PUBLISHED))
    for version in layout.VERSIONS:
        write_version(folder, out, version, found["test"])


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare_spoken_squad.py "
        "--corpus ~/Spoken-SQuAD --out data",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--corpus", type=Path, required=True, help="folder of the four JSON files and the audio")
    add("--out", type=Path, default=Path("data"), help="where data dirs go")
    add(
        "--limit",
        type=int,
        nargs=2,
        default=[0, 0],
        metavar=("TRAIN", "TEST"),
        help="paragraphs at most of the training and the test set; 0: all",
    )
    add("--dev_share", type=float, default=0.1, help="share of the training topics that are dev")
    add("--max_lost", type=float, default=0.01, help="share of paragraphs that may be unusable")
    options = parser.parse_args(argv)
    prepare(options.corpus, options.out, options.limit, options.dev_share, options.max_lost)


if __name__ == "__main__":
    cli.run(main)
