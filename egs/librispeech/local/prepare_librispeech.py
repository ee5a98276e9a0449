"""The folders of LibriSpeech as Kaldi data dirs, and the lists of those to train and to test on.

    python local/prepare_librispeech.py --corpus ~/LibriSpeech --out data --lists data/train

writes `data/train_clean_100`, `data/dev_other`, ... (`text` normalised, `text.raw` as published,
`spk2gender` from SPEAKERS.TXT); the speaker is the reader. `LISTS/train_dirs` and `LISTS/eval_dirs`
name the data dirs to train on and those of dev and test, one a line; those of --speech are to
train on, and a folder of --train is no test. What cannot be used is listed in
`OUT/findings/<data dir>.txt` and counted. Reads no audio but its headers: whether it decodes, the
next stage tells.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.datadir import kaldi_dir, licence, tables
from atat.datadir.corpus import Oddities
from atat.datadir.corpus_librispeech import (
    SPEAKERS,
    Recording,
    Speaker,
    folders,
    missing_speakers,
    read_folder,
    read_speakers,
)
from atat.speech import audio
from atat.text.normalize import normalize

SHOWN = 5  # speakers in a message


def refuse_shared(speech: Sequence[Path]) -> None:
    """Raise InputError for an utterance of two dirs, which could not be told apart later."""
    seen: dict[str, Path] = {}
    for folder in speech if len(speech) > 1 else ():
        for name in tables.read_table(folder / "utt2spk"):
            if name in seen:
                raise InputError(
                    f"--speech: utterance {name} is in {seen[name]} and in {folder}; leave one of "
                    "them out, or give its utterances other names"
                )
            seen[name] = folder


def choose(
    present: Sequence[str], train: Sequence[str], everything: bool, *, may_lack: bool = False
) -> list[str]:
    """The folders to train on: those asked for, else every train-*, or all there are.

    Raises InputError for one that is not there, and, unless `may_lack`, where there is none.
    """
    if everything:
        return list(present)
    for name in train:
        if name not in present:
            raise InputError(
                f"--train {name}: no such folder in the corpus; there are: {', '.join(present)}"
            )
    chosen = sorted(set(train)) or [name for name in present if name.startswith("train-")]
    if not chosen and not may_lack:
        raise InputError(
            f"no train-* folder in the corpus, only {', '.join(present)}; get "
            "one, name the folders to train on with --train, or give other speech with --speech"
        )
    return chosen


def data_dir(folder: str) -> str:
    """train-clean-100 -> train_clean_100, as Kaldi's and ESPnet's recipes call it."""
    return folder.replace("-", "_")


def prepare(
    corpus: Path,
    name: str,
    out: Path,
    speakers: dict[str, Speaker] | None,
    *,
    max_lost: float,
    partial: bool,
) -> None:
    """Write the data dir of one folder.

    Raises InputError when more than the share `max_lost` of its utterances is lost, or, unless
    `partial`, of its speakers.
    """
    oddities = Oddities()
    recordings = read_folder(corpus, name, oddities)
    utterances = [made for one in recordings if (made := _utterance(one, oddities)) is not None]
    oddities.close(
        out.parent / "findings" / f"{out.name}.txt",
        kept=len(utterances),
        max_lost=max_lost,
        corpus=corpus / name,
    )
    if speakers is not None and not partial:
        _check_whole(corpus, name, recordings, speakers, max_lost)
    kaldi_dir.write(out, utterances)
    licence.write(out, licence.of_corpus(corpus, "LibriSpeech"))
    texts = {recording.id: recording.text for recording in recordings}
    tables.write_table(out / "text.raw", {u.id: texts[u.id] for u in utterances})
    _write_genders(out, {u.speaker for u in utterances}, speakers)
    hours = sum(u.duration or 0.0 for u in utterances) / 3600
    listed = sum(s.minutes for s in (speakers or {}).values() if s.folder == name) / 60
    print(
        f"{out}: {len(utterances)} utterances, {len({u.speaker for u in utterances})} speakers, "
        f"{hours:.2f} h"
        + (f" ({listed:.2f} h by {SPEAKERS})" if listed else "")
        + f"; {oddities.lost} left out"
    )


def _utterance(recording: Recording, oddities: Oddities) -> kaldi_dir.Utterance | None:
    text = normalize(recording.text)
    if not text:
        oddities.add(
            "transcript without words (left out)", f"{recording.id}: {recording.text!r}", lost=True
        )
        return None
    try:
        seconds = audio.duration(recording.flac)
    except InputError as error:
        oddities.add("recording that cannot be read (left out)", str(error), lost=True)
        return None
    return kaldi_dir.Utterance(
        id=recording.id,
        speaker=recording.speaker,
        wav=str(recording.flac.resolve()),
        duration=round(seconds, 4),
        text=text,
    )


def _check_whole(
    corpus: Path,
    name: str,
    recordings: list[Recording],
    speakers: dict[str, Speaker],
    max_lost: float,
) -> None:
    """Raise InputError for half a download: speakers that SPEAKERS.TXT lists and that lack."""
    listed = sum(speaker.folder == name for speaker in speakers.values())
    missing = missing_speakers(name, recordings, speakers)
    if len(missing) > max_lost * max(listed, 1):
        raise InputError(
            f"{corpus / name}: {len(missing)} of the {listed} speakers that {SPEAKERS} lists for "
            f"it are not there ({', '.join(missing[:SHOWN])}"
            f"{', ...' if len(missing) > SHOWN else ''}): is the download whole? Unpack "
            f"{name}.tar.gz again, or say --partial where a part is meant"
        )


def _write_genders(out: Path, names: set[str], speakers: dict[str, Speaker] | None) -> None:
    """spk2gender, where SPEAKERS.TXT knows all speakers: Kaldi's table has no gaps."""
    path = out / "spk2gender"
    unknown = sorted(names - (speakers or {}).keys(), key=int)
    if not unknown:
        assert speakers is not None
        tables.write_table(path, {name: speakers[name].sex.lower() for name in names})
        return
    path.unlink(missing_ok=True)
    print(
        f"{out}: no spk2gender, {SPEAKERS} does not know {len(unknown)} of {len(names)} speakers "
        f"({', '.join(unknown[:SHOWN])}{', ...' if len(unknown) > SHOWN else ''})"
    )


def write_lists(lists: Path, train: Sequence[Path], evaluate: Sequence[Path]) -> None:
    """Write `train_dirs` and `eval_dirs`.

    Raises InputError where `train_dirs` names other folders: models trained on them lie in the
    folder of the same name.
    """
    path = lists / "train_dirs"
    content = "".join(f"{folder}\n" for folder in train)
    if path.is_file() and path.read_text(encoding="utf-8") != content:
        before = " ".join(Path(line).name.replace("_", "-") for line in path.read_text().split())
        raise InputError(
            f"{path}: the training set of this name was made of {before}, now it would be "
            f"{' '.join(folder.name.replace('_', '-') for folder in train)}; name the folders with "
            f'--train "...", which is a training set of its own, or remove {lists} and the '
            "models trained on it"
        )
    for name, text in (("train_dirs", content), ("eval_dirs", "".join(f"{f}\n" for f in evaluate))):
        with atomic_write(lists / name) as stream:
            stream.write(text)


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare_librispeech.py "
        "--corpus ~/LibriSpeech --out data --lists data/train",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--corpus", type=Path, required=True, help="the folder LibriSpeech")
    add("--out", type=Path, default=Path("data"), help="where data dirs go")
    add("--lists", type=Path, default=Path("data/train"), help="where the two lists go")
    add("--train", default="", help="folders to train on, parted by blanks; every train-* if empty")
    add("--all", action="store_true", help="train on every folder, dev and test included")
    add(
        "--speech",
        type=Path,
        nargs="*",
        default=[],
        help="data dirs of other speech to train on as well, or alone",
    )
    add("--partial", action="store_true", help=f"do not compare the folders with {SPEAKERS}")
    add(
        "--max_lost",
        type=float,
        default=0.01,
        help="share of a folder's utterances (speakers) that may be lacking",
    )
    options = parser.parse_args(argv)
    refuse_shared(options.speech)
    present = folders(options.corpus)
    train = choose(present, options.train.split(), options.all, may_lack=bool(options.speech))
    evaluate = [
        name
        for name in present
        if not name.startswith("train-") and (options.all or name not in train)
    ]
    dirs = {name: options.out / data_dir(name) for name in present}
    write_lists(
        options.lists,
        [*(dirs[name] for name in train), *options.speech],
        [dirs[name] for name in evaluate],
    )
    speakers = read_speakers(options.corpus)
    if speakers is None:
        print(f"{options.corpus / SPEAKERS}: no such file; nobody can tell whether speakers lack")
    for name in sorted({*train, *evaluate}):
        prepare(
            options.corpus,
            name,
            dirs[name],
            speakers,
            max_lost=options.max_lost,
            partial=options.partial,
        )


if __name__ == "__main__":
    cli.run(main)
