"""Recordings of people saying TOP's test sentences, as the data dir `real_test`.

    python local/prepare_audio.py --audio ~/top-audio --audio_csv ~/top-audio/test.csv --out data
    python local/prepare_audio.py --stop ~/stop --out data

It needs `text_test` (prepare_text.py) in `--out`. The csv has a header and the columns

    file      the recording, relative to --audio
    row       its line in test.tsv, from 1   (this one, or text, or both)
    text      what is said: a sentence of test.tsv
    speaker   who says it                    (optional; else every recording is its own speaker)

Of STOP the recordings are used whose sentence is one of `text_test`; where text and trees are
STOP's own, those are all. STOP names no speakers. Whatever is not 16 kHz with one channel is
converted. Recordings that are missing or cannot be decoded are listed in `real_test/findings.txt`.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prepare_text import LEFT_OUT

from atat.base import cli
from atat.base.errors import InputError
from atat.base.files import read_lines
from atat.datadir import kaldi_dir, licence, tables
from atat.datadir.corpus import Oddities
from atat.datadir.corpus_top import MANIFESTS, PARTS, read_stop, stop_folder
from atat.speech import audio
from atat.text.normalize import normalize

COLUMNS = ("file", "row", "text", "speaker")


@dataclass(frozen=True)
class Recording:
    """A recording and its utterance in `text_test`."""

    file: Path
    source: str  # "audio" or "stop"
    number: int  # of the row that names it
    sentence: str  # utterance id in text_test
    speaker: str  # empty: not known


class Sentences:
    """The test sentences, found by line or by text."""

    def __init__(self, folder: Path):
        self.of = {utterance.id: utterance for utterance in kaldi_dir.load(folder)}
        self.left_out = tables.read_table(folder / LEFT_OUT)
        self._by_number = {int(key.rpartition("-")[2]): key for key in (*self.of, *self.left_out)}
        # Of repeated sentences the first counts, and one that is used before one that is left out.
        self._by_text = {text: key for key, text in self.left_out.items()}
        self._by_text |= {u.text or "": key for key, u in reversed(self.of.items())}

    @property
    def are_stops(self) -> bool:
        """Whether they come from STOP's own manifest."""
        return any(key.startswith("stop-") for key in (*self.of, *self.left_out))

    def by_number(self, number: int) -> str | None:
        return self._by_number.get(number)

    def by_text(self, text: str) -> str | None:
        return self._by_text.get(normalize(text))

    def text(self, key: str) -> str:
        return self.left_out[key] if key in self.left_out else self.of[key].text or ""


def read_csv(path: Path, folder: Path, sentences: Sentences, oddities: Oddities) -> list[Recording]:
    """What the user's csv names; rows without a test sentence are noted."""
    rows = _rows(path)
    header = [name.strip() for name in next(rows, (1, []))[1]]
    unknown = [name for name in header if name not in COLUMNS]
    if "file" not in header or not {"row", "text"} & set(header) or unknown:
        raise InputError(
            f"{path}:1: found the columns {', '.join(header) or '(none)'}; expected "
            "file, and row (line of test.tsv, from 1) or text (the sentence), and "
            "speaker where it is known; separated by commas, no others"
        )
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder (--audio); {path} names files in it")
    recordings = []
    for number, (line, values) in enumerate(rows, 1):
        if not any(map(str.strip, values)):
            continue
        if len(values) != len(header):
            oddities.add(
                "other number of columns (left out)",
                f"{path}:{line}: {len(values)}, the header has {len(header)}",
                lost=True,
            )
            continue
        row = dict(zip(header, (value.strip() for value in values)))
        key = _find(row, sentences, oddities, path, line)
        if key is not None:
            speaker = re.sub(r"[\s/]+", "_", row.get("speaker", ""))
            recordings.append(Recording(folder / row["file"], "audio", number, key, speaker))
    _check_folder(recordings, folder, "--audio", path)
    return recordings


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The line and the cells of each row; InputError for a line that is none of a csv file."""
    reader = csv.reader(read_lines(path))
    try:
        for values in reader:
            yield reader.line_num, values
    except csv.Error as error:
        raise InputError(
            f"{path}:{reader.line_num}: this line is no row of a csv file ({error}); a cell with a "
            "line break in it stands between quotes"
        ) from None


def _find(
    row: dict[str, str], sentences: Sentences, oddities: Oddities, path: Path, line: int
) -> str | None:
    """The utterance id for a row of the csv; None, with a finding, if there is none."""
    key = None
    if "row" in row:
        key = sentences.by_number(int(row["row"])) if row["row"].isdecimal() else None
        if key is None:
            oddities.add(
                "no such line in the test set (left out)",
                f"{path}:{line}: row {row['row']!r} of {row['file']}",
                lost=True,
            )
            return None
    if row.get("text") or key is None:
        by_text = sentences.by_text(row.get("text", ""))
        if by_text is None or (key and sentences.text(key) != normalize(row["text"])):
            found = f"{row['text']!r} of {row['file']}"
            what = f"; row {row['row']} is {sentences.text(key)!r}" if key else ""
            oddities.add(
                "text is not that of the test set (left out)",
                f"{path}:{line}: {found}{what}",
                lost=True,
            )
            return None
        key = key or by_text
    return key


def read_stop_test(folder: Path, sentences: Sentences, oddities: Oddities) -> list[Recording]:
    """STOP's recordings of test sentences; how many there are is printed."""
    rows, count = read_stop(folder, "test", oddities)
    recordings = []
    for row in rows:
        key = sentences.by_number(row.number) if sentences.are_stops else None
        key = key or sentences.by_text(row.raw)
        if key is not None:
            file = stop_file(folder, row.file)
            recordings.append(Recording(file, "stop", row.number, key, ""))
    print(f"{len(recordings)} of STOP's {count} test recordings are of sentences of the test set")
    if not recordings:
        raise InputError(
            f"{folder / MANIFESTS / PARTS['test']}: not one of its sentences is in the test set of "
            "--corpus; leave --corpus out to use STOP's own text and trees"
        )
    _check_folder(recordings, folder, "--stop", folder / MANIFESTS / PARTS["test"])
    return recordings


def stop_file(folder: Path, name: str) -> Path:
    """The file of a recording of STOP.

    Manifests say `test_0/alarm_test_0/00003470.wav` where the folder is `test_0/alarm_test`; so
    espnet's recipe (egs2/stop/asr1/local/prepare_stop_data.py) takes the second `_0` away.
    """
    path = folder / name
    if path.exists():
        return path
    parts = Path(name).parts
    if len(parts) < 2:
        return path
    shorter = re.sub(r"_\d+$", "", parts[-2])
    other = folder.joinpath(*parts[:-2], shorter, parts[-1])
    return other if other.exists() else path


def keep_decodable(
    recordings: list[Recording], wavs: Path, oddities: Oddities
) -> Iterator[tuple[Recording, Path, float]]:
    """Each recording that can be read, its file at 16 kHz with one channel, and its seconds."""
    from tqdm import tqdm

    for recording in tqdm(recordings, desc="recordings", unit="file"):
        try:
            info = audio.probe(recording.file)
            samples = audio.load(
                recording.file, resample=True, channel=0 if info.channels > 1 else None
            )
        except InputError as error:
            missing = not recording.file.exists()
            kind = "no such recording" if missing else "recording that cannot be decoded"
            oddities.add(f"{kind} (left out)", str(error), lost=True)
            continue
        path = recording.file.resolve()
        if info.sample_rate != audio.SAMPLE_RATE or info.channels > 1:
            path = (wavs / f"{recording.source}-{recording.number:06d}.wav").resolve()
            audio.save(path, samples)
        yield recording, path, len(samples) / audio.SAMPLE_RATE


def _check_folder(recordings: list[Recording], folder: Path, option: str, names: Path) -> None:
    """Raise InputError if none of the files exists: it is probably the wrong folder."""
    names_in = [r.file.relative_to(folder) for r in recordings if r.file.is_relative_to(folder)]
    if not names_in or any(recording.file.exists() for recording in recordings):
        return
    for near in (*sorted(path for path in folder.iterdir() if path.is_dir()), folder.parent):
        if (near / names_in[0]).exists():
            raise InputError(
                f"{folder}: holds none of the recordings that {names} names; they are "
                f"in {near}: {option} {near}"
            )
    raise InputError(
        f"{folder}: holds none of the {len(recordings)} recordings that {names} names "
        f"(the first is {names_in[0]}); is the audio unpacked?"
    )


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare_audio.py "
        "--audio ~/top-audio --audio_csv ~/top-audio/test.csv --out data",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--audio", type=Path, help="folder of recordings")
    parser.add_argument("--audio_csv", type=Path, help="csv that says what is said in them")
    parser.add_argument("--stop", type=Path, help="STOP: manifests/*.tsv and audio")
    parser.add_argument("--out", type=Path, default=Path("data"), help="where data dirs are")
    parser.add_argument(
        "--max_lost", type=float, default=0.01, help="share of the recordings that may be unusable"
    )
    options = parser.parse_args(argv)
    if (options.audio is None) != (options.audio_csv is None):
        raise InputError("--audio and --audio_csv go together: a folder, and what is said in it")
    if options.audio is None and options.stop is None:
        raise InputError("no recordings given: --audio with --audio_csv, or --stop")
    sentences = Sentences(options.out / "text_test")
    oddities = Oddities()
    recordings: list[Recording] = []
    licences = [licence.of(options.out / "text_test")]
    if options.audio:
        licences.append(licence.of(options.audio))
        recordings += read_csv(options.audio_csv, options.audio, sentences, oddities)
    if options.stop:
        licences.append(licence.of_corpus(options.stop, "STOP"))
        recordings += read_stop_test(stop_folder(options.stop), sentences, oddities)
    prepare(recordings, sentences, options.out / "real_test", oddities, options.max_lost)
    licence.write(options.out / "real_test", *licences)


def prepare(
    recordings: list[Recording],
    sentences: Sentences,
    out: Path,
    oddities: Oddities,
    max_lost: float,
) -> None:
    """Write the data dir of the recordings that can be used; counts what cannot."""
    wanted = [recording for recording in recordings if recording.sentence in sentences.of]
    groups: dict[str, str] = {}
    kinds = tables.read_table(out.parent / "text_test" / "utt2group")
    utterances = []
    for recording, path, seconds in keep_decodable(wanted, out / "wavs", oddities):
        name = f"{recording.source}{recording.number:06d}"
        speaker = recording.speaker or name
        sentence = sentences.of[recording.sentence]
        key = f"{speaker}-{name}"
        utterances.append(
            kaldi_dir.Utterance(
                id=key,
                speaker=speaker,
                wav=str(path),
                duration=seconds,
                text=sentence.text,
                semantics=sentence.semantics,
            )
        )
        groups[key] = kinds[recording.sentence]
    usable = len(utterances) + len(recordings) - len(wanted)
    oddities.close(out / "findings.txt", kept=usable, max_lost=max_lost, corpus=out)
    if not utterances:
        raise InputError(f"{out}: not one recording can be used; see {out / 'findings.txt'}")
    kaldi_dir.write(out, utterances)
    tables.write_table(out / "utt2group", groups)
    speakers = len({utterance.speaker for utterance in utterances})
    hours = sum(utterance.duration or 0 for utterance in utterances) / 3600
    print(
        f"{out}: {len(utterances)} recordings, {hours:.2f} h, {speakers} speakers; "
        f"{len(recordings) - len(wanted)} are of sentences left out by intent"
    )


if __name__ == "__main__":
    cli.run(main)
