"""A made-up corpus in the layout of LibriSpeech, with alignments, for `run.sh --mini`.

    python local/make_mini.py --out data_mini/corpus

writes `OUT/LibriSpeech` (flac, upper-case `*.trans.txt`, SPEAKERS.TXT), and alignments in
`OUT/LibriSpeech-Alignments` (condensed) and `OUT/LibriSpeech-TextGrids` (words and phones).
Sentences come from a few patterns, voices from `atat.prepare.miniature_speech`. As in a partial
download there is no dev-other and no test-other.
Two oddities of the published corpus are planted: some utterances have no alignment, and a reader's
name holds bars. One sentence of training is read in a test, too.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from atat.base import cli
from atat.base.files import atomic_write
from atat.datadir import licence
from atat.datadir.ctm import Word
from atat.prepare.miniature_speech import Line, speak_timed
from atat.prepare.textgrid import write_textgrid
from atat.speech import audio

# Folder, then reader, sex and the chapters read; numbers as the corpus has them: of many lengths.
READERS = (
    ("train-clean-100", 19, "F", (198, 227)),
    ("train-clean-100", 1034, "M", (121119,)),
    ("train-clean-100", 26, "M", (495,)),
    ("train-other-500", 1006, "F", (135212,)),
    ("dev-clean", 84, "F", (121123,)),
    ("test-clean", 61, "M", (70968,)),
)
SENTENCES = 5  # a chapter
UNALIGNED = ("19-198-0001", "1006-135212-0003")
NAMES = {26: "|R.W.| Miller"}  # SPEAKERS.TXT parts its columns by bars

WORDS = {
    "who": ["the old man", "a tall woman", "my brother", "the captain", "nobody", "margaret"],
    "did": ["saw", "couldn't find", "carried", "had never heard of", "remembered"],
    "what": ["the letter", "a silver lamp", "the open door", "her father's house", "the horses"],
    "where": ["by the river", "in the garden", "on the hill", "before the storm", "at midnight"],
}
SHARED, SHARED_BY = "the end of the chapter", (198, 70968)  # chapters of train and of test-clean


@dataclass(frozen=True)
class Reading:
    """One utterance: where it goes and what is said."""

    folder: str
    reader: int
    chapter: int
    id: str
    text: str

    def path(self, root: Path, suffix: str) -> Path:
        """A file of this utterance's chapter, named by `suffix`."""
        return root / self.folder / str(self.reader) / str(self.chapter) / suffix


def readings(seed: int) -> list[Reading]:
    """All utterances; equal seeds give equal ones."""
    rng = random.Random(seed)
    found = []
    taken: set[str] = set()
    for folder, reader, _, chapters in READERS:
        for chapter in chapters:
            for number in range(SENTENCES):
                text = _sentence(rng, taken)
                if number == SENTENCES - 1 and chapter in SHARED_BY:
                    text = SHARED
                key = f"{reader}-{chapter}-{number:04d}"
                found.append(Reading(folder, reader, chapter, key, text.upper()))
    return found


def _sentence(rng: random.Random, taken: set[str]) -> str:
    while True:
        text = " ".join(rng.choice(WORDS[part]) for part in ("who", "did", "what", "where"))
        if text not in taken:
            taken.add(text)
            return text


def condensed(key: str, words: Sequence[Word], seconds: float) -> str:
    """A line of *.alignment.txt: words with a silence wherever nobody speaks, and their ends."""
    labels, ends = [], []
    time = 0.0
    for word in words:
        if word.start > time + 1e-3:
            labels.append("")
            ends.append(word.start)
        labels.append(word.text.upper())
        ends.append(word.end)
        time = word.end
    labels.append("")
    ends.append(max(seconds, time))
    return f'{key} "{",".join(labels)}" "{",".join(f"{end:.3f}" for end in ends)}"\n'


def chapters_of(all_readings: Sequence[Reading]) -> Iterator[list[Reading]]:
    """The utterances chapter by chapter."""
    chapters: dict[tuple[str, int, int], list[Reading]] = {}
    for reading in all_readings:
        chapters.setdefault((reading.folder, reading.reader, reading.chapter), []).append(reading)
    yield from chapters.values()


def write(out: Path, seed: int) -> int:
    """Write corpus and alignments; the number of utterances."""
    corpus, alignments = out / "LibriSpeech", out / "LibriSpeech-Alignments" / "LibriSpeech"
    grids = out / "LibriSpeech-TextGrids"
    said = readings(seed)
    numbers = {reader: number for number, (_, reader, _, _) in enumerate(READERS)}
    lines = [Line(r.path(corpus, f"{r.id}.flac"), r.text, numbers[r.reader]) for r in said]
    timed = dict(zip((r.id for r in said), speak_timed(lines)))
    times = {key: words for key, (words, _) in timed.items()}
    seconds = {r.id: audio.duration(line.path) for r, line in zip(said, lines)}
    for reading in said:
        if reading.id not in UNALIGNED:
            words, phones = timed[reading.id]
            path = reading.path(grids, f"{reading.id}.TextGrid")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_textgrid(path, words, seconds[reading.id], phones=phones)
    for chapter in chapters_of(said):
        name = f"{chapter[0].reader}-{chapter[0].chapter}"
        with atomic_write(chapter[0].path(corpus, f"{name}.trans.txt")) as stream:
            stream.writelines(f"{reading.id} {reading.text}\n" for reading in chapter)
        with atomic_write(chapter[0].path(alignments, f"{name}.alignment.txt")) as stream:
            stream.writelines(
                condensed(r.id, times[r.id], seconds[r.id])
                for r in chapter
                if r.id not in UNALIGNED
            )
    with atomic_write(corpus / "SPEAKERS.TXT") as stream:
        stream.write(
            "; Made up: the layout of LibriSpeech's list of readers.\n"
            ";ID  |SEX| SUBSET           |MINUTES| NAME\n"
        )
        for folder, reader, sex, _ in READERS:
            minutes = sum(seconds[r.id] for r in said if r.reader == reader) / 60
            stream.write(
                f"{reader:<5}| {sex} | {folder:<17}| {minutes:5.2f} | "
                f"{NAMES.get(reader, f'Reader {reader}')}\n"
            )
    return len(said)


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/make_mini.py "
        "--out data_mini/corpus",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of corpus and alignments")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other sentences")
    options = parser.parse_args(argv)
    count = write(options.out, options.seed)
    licence.write(options.out / "LibriSpeech", licence.OWN)
    print(f"{options.out}/LibriSpeech: {count} made-up utterances of {len(READERS)} readers")


if __name__ == "__main__":
    cli.run(main)
