"""Spoils a corpus in a hundred ways and says what becomes of each fault.

    utils/in_environment.sh python utils/faulty.py --utterances 5000

Two passes. *One by one*: each kind of fault alone in a small corpus; every stage that reads it must
answer with a result or one sentence, never a traceback, `validate` must name file and line, and no
training may read the spoilt utterance otherwise than it was before. *All at once*: one in ten of
many utterances is spoilt; `validate` must name each, `repair` must keep every other utterance as it
was. Prints what was tried and caught; ends with 1 if anything was not. `tests/test_faulty.py` does
the same in small.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import logging
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import sound
from faults import FAULTS, Fault
from sound import MELS, Dir

from atat.base import report
from atat.base.errors import InputError
from atat.base.report import Finding
from atat.datadir import contents, edit, kaldi_dir, lhotse, normalize, repair
from atat.datadir.check import validate
from atat.engine.settings import SourceSettings
from atat.systems.joint.data import TaskData
from atat.systems.joint.examples import Encoding
from atat.text.encoder_ids import PieceIds
from atat.text.tokenizer import Tokenizer

TASKS = ("asr", "slu", "nlu", "mlm")
SMALL = 8  # utterances of a corpus with one fault
EVERY = 10  # one in so many utterances is spoilt where all faults are in one corpus
Examples = dict[tuple[str, str, str], str]  # features, task, utterance -> digest of what is read


class Models:
    """What a training would read of a data dir: every example of every task, as a digest."""

    def __init__(self) -> None:
        tags = ["[IN:PLAY", "[IN:STOP", "[SL:THING"]
        self.tokenizer = Tokenizer.train([" ".join(sound.WORDS)] * 20, tags, vocab_size=320)

    def examples(self, folder: Path, kinds: tuple[str, ...]) -> Examples:
        """Raises nothing for a data dir that a training refuses: it reads no example then."""
        found: Examples = {}
        for kind in kinds:
            for task in TASKS:
                with contextlib.suppress(InputError):
                    found |= self._of_task(folder, kind, task)
        return found

    def _of_task(self, folder: Path, kind: str, task: str) -> Examples:
        encoding = Encoding(self.tokenizer, PieceIds(self.tokenizer), mel_bins=MELS, features=kind)
        source = SourceSettings(str(folder), task)
        data = TaskData(source, encoding, max_lost=1.0)
        found = {}
        for number, one in enumerate(data.utterances):
            try:
                example = data.example(number)
            except InputError as error:  # in the middle of a training
                found[kind, task, one.id] = f"refused late: {error}"
                continue
            facts = (example.target, example.units, example.source.shape)
            content = repr(facts).encode() + example.source.tobytes()
            found[kind, task, one.id] = hashlib.sha1(content).hexdigest()
        return found


def stages(folder: Path, scratch: Path) -> dict[str, Callable[[], object]]:
    """Everything that reads a data dir."""
    return {
        "load": lambda: kaldi_dir.load(folder),
        "validate": lambda: validate(folder),
        "repair": lambda: repair.plan(folder),
        "contents": lambda: [contents.look(folder, kind) for kind in ("feats", "wav")],
        "subset": lambda: edit.subset(folder, scratch / "subset", edit.first(5)),
        "aligned": lambda: edit.subset(folder, scratch / "aligned", edit.aligned),
        "split": lambda: edit.split(folder, 2),
        "combine": lambda: edit.combine(scratch / "both", [folder]),
        "lhotse": lambda: lhotse.write(scratch / "lhotse", folder),
        "normalize": lambda: normalize.normalize_dir(folder),
        "features": lambda: sound.make_features(folder, scratch / "lfb", max_lost=0.5),
    }


class Place(NamedTuple):
    """A finding with the line it names, empty where it names none."""

    finding: Finding
    line: str


def found_in(folder: Path) -> list[Place]:
    """All findings of `validate`, not only the first few of each kind."""
    with mock.patch.object(report, "KEPT", sys.maxsize):
        found = validate(folder)
    texts: dict[str, list[str]] = {}
    places = []
    for finding in (one for kept in found.kept.values() for one in kept):
        line = ""
        if finding.line:
            if finding.path not in texts:
                text = Path(finding.path).read_bytes().decode("utf-8", errors="surrogateescape")
                texts[finding.path] = text.split("\n")
            line = texts[finding.path][finding.line - 1]
        places.append(Place(finding, line))
    return places


def is_named(fault: Fault, key: str, places: list[Place]) -> bool:
    """Whether a finding names the file and the line of a fault."""
    for finding, line in places:
        if finding.is_error < fault.is_error:
            continue
        if fault.is_whole and Path(finding.path).name == fault.file:
            return True
        if finding.line and (key in line or key in finding.message):
            return True
    return False


def one_by_one(root: Path, faults: Sequence[Fault], tell: Callable[[str], None]) -> int:
    """Each fault alone; returns how many were caught everywhere."""
    models, caught = Models(), 0
    made = {"plain": sound.plain(root / "made", SMALL), "cut": sound.cut(root / "made", SMALL)}
    read = {"plain": ("ark", "wav"), "cut": ("wav",)}
    clean = {name: models.examples(data.folder, read[name]) for name, data in made.items()}
    assert len(clean["plain"]) == SMALL * 8 and len(clean["cut"]) == SMALL * 3
    sound_files = root / "sound"
    shutil.copytree(root / "made", sound_files)
    for fault in faults:
        shutil.rmtree(root / "made")
        shutil.copytree(sound_files, root / "made")
        data = made[fault.where].copy()
        key = sorted(data.rows["utt2spk"])[5]
        fault.spoil(data, key)
        data.write()
        wrong = list(_missed(fault, data, key, models, clean[fault.where], read[fault.where]))
        before = {path.name: path.read_bytes() for path in data.folder.iterdir() if path.is_file()}
        wrong += _tracebacks(data.folder, root / "scratch", before)
        for line in wrong:
            tell(f"{fault.file}: {fault.name}: {line}")
        caught += not wrong
    return caught


def _missed(
    fault: Fault, data: Dir, key: str, models: Models, clean: Examples, kinds: tuple[str, ...]
) -> Iterator[str]:
    try:
        places = found_in(data.folder)
    except Exception:
        yield f"validate: {traceback.format_exc(limit=-2)}"
        return
    if not is_named(fault, key, places):
        yield f"not named by validate, which says {[str(one.finding) for one in places]}"
    try:
        read = models.examples(data.folder, kinds)
    except Exception:
        yield f"training: {traceback.format_exc(limit=-3)}"
        return
    known = {place[2] for place in clean}
    for place, digest in read.items():
        if place[2] in known and clean.get(place) != digest:  # an id may be odd, its words are not
            yield f"a training reads {place}: {digest}"


def _tracebacks(folder: Path, scratch: Path, before: dict[str, bytes]) -> Iterator[str]:
    for name, stage in stages(folder, scratch).items():
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            with (
                contextlib.redirect_stderr(io.StringIO()),
                contextlib.redirect_stdout(io.StringIO()),
            ):
                stage()
        except InputError:
            pass
        except Exception:
            yield f"{name}: {traceback.format_exc(limit=-3)}"
        for file, content in before.items():
            (folder / file).write_bytes(content)


@dataclass
class Outcome:
    """What became of a corpus with all faults in it."""

    spoilt: int = 0  # utterances
    named: int = 0  # of these, by validate
    good: int = 0  # utterances that nothing was wrong with
    kept: int = 0  # of these, by repair, and read by every task as before


def at_once(root: Path, count: int, tell: Callable[[str], None]) -> Outcome:
    """All faults in two data dirs, one in ten utterances."""
    outcome = Outcome()
    for where, kinds, share in (("plain", ("ark", "wav"), 0.9), ("cut", ("wav",), 0.1)):
        data = getattr(sound, where)(root, max(round(share * count), 6 * EVERY))
        _spoil_and_repair(data, where, kinds, outcome, tell)
    return outcome


def _spoil_and_repair(
    data: Dir, where: str, kinds: tuple[str, ...], outcome: Outcome, tell: Callable[[str], None]
) -> None:
    models = Models()
    clean = models.examples(data.folder, kinds)
    # What only warns stays after a repair.
    faults = [one for one in FAULTS if one.where == where and one.is_error and not one.is_whole]
    keys = sorted(data.rows["utt2spk"])
    chosen = {key: faults[n % len(faults)] for n, key in enumerate(keys[5::EVERY])}
    for key, fault in chosen.items():
        fault.spoil(data, key)
    data.write()
    places = found_in(data.folder)
    unnamed = [key for key, fault in chosen.items() if not is_named(fault, key, places)]
    for key in unnamed:
        tell(f"{chosen[key].file}: {chosen[key].name}: not named among all faults")
    repair.apply(repair.plan(data.folder, drop_undecodable=True), max_lost=1.0)
    for finding, _ in found_in(data.folder):
        if finding.is_error:
            tell(f"left by repair: {finding}")
    after = models.examples(data.folder, kinds)
    wrong = {place: digest for place, digest in after.items() if clean.get(place) != digest}
    gone = {place[2] for place, digest in clean.items() if after.get(place) != digest}
    for place, digest in wrong.items():
        tell(f"after repair a training reads {place}: {digest}")
    for key in sorted(gone - chosen.keys()):
        tell(f"lost by repair although nothing was wrong with it: {key}")
    outcome.spoilt += len(chosen)
    outcome.named += len(chosen) - len(unnamed)
    outcome.good += len(keys) - len(chosen)
    outcome.kept += len(keys) - len(chosen) - len(gone - chosen.keys())


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--utterances", type=int, default=5000, help="of the corpus of all faults")
    options = parser.parse_args()
    logging.disable()  # what a training leaves out is counted here
    complaints: list[str] = []

    def tell(text: str) -> None:
        complaints.append(text)
        print(text, flush=True)

    with tempfile.TemporaryDirectory(prefix="atat-faulty-") as name:
        begun = time.monotonic()
        caught = one_by_one(Path(name) / "one", FAULTS, tell)
        print(f"one by one: {caught} of {len(FAULTS)} kinds of fault caught by every stage")
        print(f"  in {time.monotonic() - begun:.0f} s")
        begun = time.monotonic()
        found = at_once(Path(name) / "all", options.utterances, tell)
        print(f"all at once: {found.named} of {found.spoilt} spoilt utterances named by validate")
        print(f"  {found.kept} of {found.good} good ones as before after repair")
        print(f"  in {time.monotonic() - begun:.0f} s")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
