"""Speech from text: one interface to all synthesisers, and the stage that speaks a data dir.

    atat synthesis --data data/train --wavs wavs/train --nj 2

The data dir holds `text`, `utt2spk` and `spk2voice` (`<speaker> <engine:name[:key=value...]>`);
the stage adds wav.scp, utt2dur, spk2utt and, if the engines give times of words and phones, ctm
and phones.ctm. Knows nothing of how an engine works: an engine is a module `synthesis_<engine>`
with `unavailable`, `check` and `speak`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np

from atat.base import cli, digests, lock, parallel, suggest
from atat.base.errors import InputError
from atat.base.files import remove_leftovers
from atat.datadir import feats_type, ids, kaldi_dir, repair, tables
from atat.datadir.ctm import ALIGNMENT, PHONES, Word, ctm_rows
from atat.datadir.lost import report as report_lost
from atat.prepare import synthesis_espeak, synthesis_flite, synthesis_piper, synthesis_polly
from atat.prepare.synthesis_espeak import joined_silences
from atat.prepare.synthesis_record import Record
from atat.prepare.synthesis_voice import SAMPLE_RATE, Speech, SynthesisError, parse_voice
from atat.speech import audio
from atat.text.phones import SILENCE

# Goes up when the same text and voice sound different, so that older wavs are made again.
VERSION = 1
# Utterances of one job: enough to keep a worker busy, few enough to lose little when interrupted.
CHUNK = 20
SAME = 0.001  # s by which two lengths of the same speech may differ
JOURNAL = "synthesis.jsonl"

_ENGINES: dict[str, ModuleType] = {
    "espeak": synthesis_espeak,
    "flite": synthesis_flite,
    "piper": synthesis_piper,
    "polly": synthesis_polly,
}

# Silence around the speech, in seconds, and the level (RMS) of the noise added to all of it.
# Digital silence would reveal that speech is synthetic.
_PADDING = (0.05, 0.15)
_FLOOR = 1.5 / 32768
# Engines leave pauses of their own before and after the speech: samples this far below the peak,
# 40 dB, except for a margin (s) that keeps soft consonants complete.
_SILENT = 0.01
_MARGIN = 0.03


def available(engine: str) -> str | None:
    """None if an engine can be used here, else why not and how to install it."""
    return _engine(engine).unavailable()


def speak(spec: str, text: str) -> Speech:
    """Speak normalised text with the voice `engine:name[:key=value...]`.

    Raises InputError for a malformed voice or a missing engine, and SynthesisError if the engine
    fails.
    """
    if "\0" in spec + text:  # where C ends a text
        raise SynthesisError(f"voice {spec!r}: a zero byte cannot be spoken, in {text!r}")
    voice = parse_voice(spec)
    reason = available(voice.engine)
    if reason:
        raise InputError(f"voice '{spec}': {reason}")
    return _engine(voice.engine).speak(voice, text)


def _check_voice(spec: str, *, speaks: bool) -> None:
    """Raise InputError for a malformed voice, and for one that is to speak and cannot."""
    voice = parse_voice(spec)
    reason = available(voice.engine)
    if speaks and reason:
        raise InputError(reason)
    if speaks:
        _engine(voice.engine).check(voice)


def _engine(name: str) -> ModuleType:
    if name not in _ENGINES:
        raise InputError(f"unknown synthesiser '{name}'; {suggest.among(name, _ENGINES)}")
    return _ENGINES[name]


def frame_speech(speech: Speech, utterance: str) -> Speech:
    """Speech between short pauses of random length over a faint noise.

    The random values depend on the utterance id only; word times move with the sound.
    """
    digest = hashlib.sha256(utterance.encode("utf-8")).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    before, after = (int(seconds * SAMPLE_RATE) for seconds in rng.uniform(*_PADDING, size=2))
    first, last = _loud_span(speech.samples)
    samples = np.concatenate([np.zeros(before), speech.samples[first:last], np.zeros(after)])
    samples += rng.normal(0.0, _FLOOR, len(samples))
    words, phones = speech.words, speech.phones
    shift, end = (before - first) / SAMPLE_RATE, len(samples) / SAMPLE_RATE
    if words is not None:
        words = [_moved(word, shift, end) for word in words]
    if phones:
        # Their silences grow or shrink with the pauses.
        moved = [_moved(one, shift, end) for one in phones]
        head = Word(SILENCE, 0.0, moved[0].start)
        tail = Word(SILENCE, moved[-1].end, end - moved[-1].end)
        phones = joined_silences([head, *moved, tail])
    return Speech(np.clip(samples, -1.0, 1.0).astype(np.float32), words, phones)


def _loud_span(samples: np.ndarray) -> tuple[int, int]:
    """First sample and end of the speech within its pauses."""
    magnitude = np.abs(samples)
    loud = np.flatnonzero(magnitude > _SILENT * magnitude.max(initial=0.0))
    if not len(loud):
        raise SynthesisError("the engine returned silence")
    margin = int(_MARGIN * SAMPLE_RATE)
    return max(int(loud[0]) - margin, 0), min(int(loud[-1]) + 1 + margin, len(samples))


def _moved(word: Word, shift: float, end: float) -> Word:
    """The word `shift` seconds later, within 0 to `end` seconds."""
    start = min(max(word.start + shift, 0.0), end)
    stop = min(max(word.end + shift, start), end)
    return replace(word, start=start, duration=stop - start)


@dataclass(frozen=True)
class Order:
    """An utterance to be spoken."""

    utterance: str
    voice: str
    text: str
    path: str

    @property
    def fingerprint(self) -> str:
        """A value that changes if the audio would change."""
        identity = json.dumps([VERSION, self.utterance, self.voice, self.text])
        return digests.of_text(identity)[: digests.SHORT]


@dataclass(frozen=True)
class Spoken:
    """The record of a spoken utterance; `error` says why there is no audio."""

    utterance: str
    fingerprint: str
    duration: float = 0.0
    words: list[tuple[str, float, float]] | None = None  # (word, start, duration) in seconds
    error: str | None = None
    phones: list[tuple[str, float, float]] | None = None


def speak_all(orders: Sequence[Order]) -> list[Spoken]:
    """Speak utterances into their wav files. Runs in a worker process."""
    spoken = []
    for order in orders:
        try:
            speech = frame_speech(speak(order.voice, order.text), order.utterance)
        except SynthesisError as error:
            why = " ".join(str(error).split())  # a line of a table
            spoken.append(Spoken(order.utterance, order.fingerprint, error=why))
            continue
        audio.save(order.path, speech.samples, SAMPLE_RATE)
        duration = len(speech.samples) / SAMPLE_RATE
        words, phones = _plain(speech.words), _plain(speech.phones)
        spoken.append(Spoken(order.utterance, order.fingerprint, duration, words, phones=phones))
    return spoken


def _plain(words: Sequence[Word] | None) -> list[tuple[str, float, float]] | None:
    return None if words is None else [(word.text, word.start, word.duration) for word in words]


def synthesise(data: str | Path, wavs: str | Path, *, nj: int = 1, max_lost: float = 0.01) -> None:
    """Speak the missing utterances of a data dir, then write wav.scp, utt2dur, spk2utt and ctm.

    Utterances that no engine could speak are dropped from all tables (the old ones are kept in
    DATA/.backup), listed in WAVS/synthesis.lost and counted; more than `max_lost` (a share) of
    them, or all, is an InputError, after which the tables are what they were, and so is another
    synthesis running in WAVS, and recordings of another data dir in WAVS that this one would
    overwrite.
    """
    data, wavs = Path(data), Path(os.path.abspath(wavs))
    tables.refuse_line_breaks(wavs)
    orders = read_orders(data, wavs)
    with lock.hold(wavs, f"synthesis of {data}"):
        remove_leftovers(wavs)
        _synthesise(data, wavs, orders, nj, max_lost)


def _synthesise(data: Path, wavs: Path, orders: Sequence[Order], nj: int, max_lost: float) -> None:
    spoken = _read_journal(wavs / JOURNAL)
    missing = [order for order in orders if not _is_spoken(order, spoken)]
    record = Record(wavs, data)
    record.claim([order.utterance for order in missing if _overwrites(order, spoken)])
    _speak_missing(missing, spoken, wavs / JOURNAL, nj, str(data))
    results = [spoken[order.utterance] for order in orders]
    lost = {result.utterance: result.error for result in results if result.error is not None}
    kept = [order for order in orders if order.utterance not in lost]
    dropped = "\nthey are dropped from its tables; a copy of the old ones is kept (.backup)"
    report_lost(
        lost,
        len(orders),
        max_lost,
        "are not spoken",
        "fix their text or voice (what was spoken is kept)",
        data=data,
        path=wavs / "synthesis.lost",
        advice=dropped if kept else "",
    )
    if lost:
        repair.check_droppable(data, lost)
    made_of = digests.of_text("".join(sorted(order.fingerprint for order in kept)))
    before = record.tables_of
    _write_tables(data, kept, spoken, other=before is not None and before != made_of)
    if lost:
        repair.drop(data, lost)
    record.written(made_of)
    hours = sum(result.duration for result in results) / 3600
    print(f"{data}: speech of {len(kept)} utterances, {hours:.2f} h ({len(missing)} spoken now)")


def read_orders(data: Path, wavs: Path) -> list[Order]:
    """The utterances of a data dir to speak; InputError with file and line for a fault."""
    texts = tables.read_table(data / "text")
    speakers = tables.read_table(data / "utt2spk")
    voices = tables.read_table(data / "spk2voice")
    kaldi_dir.check_ids(data / "text", texts, speakers)
    if not speakers:
        raise InputError(f"{data / 'utt2spk'}: no utterances to speak")
    speaking = set(speakers.values())
    for line, (speaker, spec) in enumerate(voices.items(), 1):
        try:
            _check_voice(spec, speaks=speaker in speaking)
        except InputError as error:
            raise InputError(f"{data / 'spk2voice'}:{line}: {error}") from None
    orders = []
    for line, (utterance, speaker) in enumerate(speakers.items(), 1):
        if speaker not in voices:
            raise InputError(
                f"{data / 'utt2spk'}:{line}: speaker '{speaker}' has no voice; add a line "
                f"'{speaker} <engine:name>' to {data / 'spk2voice'}"
            )
        try:
            path = ids.path_in(wavs, speaker, utterance, suffix=".wav")
        except InputError as error:
            raise InputError(f"{data / 'utt2spk'}:{line}: {error}") from None
        orders.append(Order(utterance, voices[speaker], texts[utterance], str(path)))
    return orders


def _speak_missing(
    missing: Sequence[Order], spoken: dict[str, Spoken], journal: Path, nj: int, title: str
) -> None:
    """Speak with a progress bar, adding each result to `spoken` and to the journal."""
    from tqdm import tqdm

    if not missing:
        return
    size = max(1, min(CHUNK, len(missing) // (2 * nj)))
    jobs = [missing[start : start + size] for start in range(0, len(missing), size)]
    journal.parent.mkdir(parents=True, exist_ok=True)
    seconds = 0.0
    with (
        open(journal, "a", encoding="utf-8") as stream,
        tqdm(total=len(missing), desc=title, unit="utt") as progress,
    ):
        for results in parallel.run(speak_all, jobs, parallel.processes(nj, len(missing))):
            for result in results:
                spoken[result.utterance] = result
                stream.write(json.dumps(result.__dict__, ensure_ascii=False) + "\n")
            stream.flush()
            seconds += sum(result.duration for result in results)
            progress.update(len(results))
            elapsed = max(progress.format_dict["elapsed"], 1e-3)
            progress.set_postfix_str(f"{seconds / elapsed:.0f} s of audio/s")


def _is_spoken(order: Order, spoken: Mapping[str, Spoken]) -> bool:
    result = spoken.get(order.utterance)
    if result is None or result.error is not None or result.fingerprint != order.fingerprint:
        return False
    try:
        # After a power cut the file may be incomplete.
        return os.path.getsize(order.path) >= 2 * round(result.duration * SAMPLE_RATE)
    except FileNotFoundError:
        return False


def _overwrites(order: Order, spoken: Mapping[str, Spoken]) -> bool:
    """Whether an utterance was spoken before, and is another one now."""
    result = spoken.get(order.utterance)
    return result is not None and result.error is None and result.fingerprint != order.fingerprint


def _read_journal(path: Path) -> dict[str, Spoken]:
    """The results of earlier runs, the latest of each utterance.

    A last line torn by a crash is cut off, so that the next one is not appended to it.
    """
    if not path.exists():
        return {}
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with open(path, "r+b") as stream:
            stream.truncate(whole)
    spoken = {}
    for number, line in enumerate(data[:whole].split(b"\n")[:-1], 1):
        try:
            result = Spoken(**json.loads(line))
            spoken[result.utterance] = result
        except (ValueError, TypeError) as error:
            print(
                f"warning: {path}:{number}: damaged ({error}); its utterance is spoken again",
                file=sys.stderr,
            )
    return spoken


def _write_tables(
    data: Path, orders: Sequence[Order], spoken: Mapping[str, Spoken], *, other: bool
) -> None:
    """Write what the speech of some utterances gives; other: than the tables were of so far.

    What was made of other speech goes. Of the same speech features stay, and the times of words
    that `atat align` has found in it.
    """
    results = {order.utterance: spoken[order.utterance] for order in orders}
    found: dict[str, tables.Table] = {
        "wav.scp": {order.utterance: order.path for order in orders},
        "utt2dur": {utt: tables.seconds(result.duration) for utt, result in results.items()},
        "spk2utt": kaldi_dir.speakers_to_utterances(tables.read_table(data / "utt2spk")),
    }
    timed = {"ctm": _rows(results, "words"), PHONES: _rows(results, "phones")}
    other = other or _lasts_otherwise(data, results)
    aligned = not other and all((data / name).exists() for name in ("ctm", ALIGNMENT[0]))
    if not aligned:
        found |= {name: rows for name, rows in timed.items() if rows}
    gone = [*timed, *ALIGNMENT] if not aligned else []
    if other:
        gone += feats_type.FILES
    tables.write_tables(data, found, remove=gone)
    if not aligned and len(timed[PHONES]) < len(timed["ctm"]):
        print(
            f"{data}/{PHONES}: {len(timed[PHONES])} of {len(results)} utterances have times of "
            "phones, which English voices of espeak give; if they spoke before atat could write "
            "them, remove the wavs"
        )


def _lasts_otherwise(data: Path, results: Mapping[str, Spoken]) -> bool:
    """Whether the utterances of a data dir are others by now, or of other lengths."""
    path = data / "utt2dur"
    try:
        before = {name: float(found) for name, found in tables.read_table(path).items()}
    except (InputError, ValueError):  # there is none, or it is at fault
        return True
    return before.keys() != results.keys() or any(
        abs(before[name] - result.duration) > SAME for name, result in results.items()
    )


def _rows(results: Mapping[str, Spoken], kind: str) -> tables.Table:
    """The lines of a ctm of all utterances that have some; kind: words or phones."""
    return {
        utt: ctm_rows([Word(*one) for one in timed])
        for utt, result in results.items()
        if (timed := getattr(result, kind)) is not None
    }


def _refuse_same_names(folders: Sequence[str]) -> None:
    """Raise InputError for two data dirs whose audio would be in one folder, where an utterance of
    one could be taken for that of the other."""
    seen: dict[str, str] = {}
    for folder in folders:
        path = os.path.abspath(folder)
        other = seen.setdefault(os.path.basename(path), path)
        if other != path:
            raise InputError(
                f"{folder} and {other} have the same name, so their audio would be in the same "
                "folder of --wavs; speak them in two calls with other --wavs"
            )


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        prog="atat synthesis",
        description=cli.guide(
            "Speak the text of data dirs with synthetic voices. A rerun speaks only what is "
            "missing.",
            "atat synthesis --data data/train data/test --wavs wavs --nj 2",
            reads="DATA/text, DATA/utt2spk and DATA/spk2voice, whose lines are a speaker and "
            "a voice, such as `anna espeak:en-us+f3:rate=160`.",
            writes="recordings in WAVS/NAME, where NAME is the data dir's; wav.scp, utt2dur, "
            "spk2utt and, where the engines tell times of words and phones, ctm and phones.ctm in "
            "the data dir.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    parser.add_argument(
        "--data", nargs="+", required=True, help="data dirs with text, utt2spk and spk2voice"
    )
    parser.add_argument(
        "--wavs",
        required=True,
        help="folder for the audio; each data dir gets a folder of its name in it",
    )
    parser.add_argument("--nj", type=int, default=1, help="processes, each on one core")
    parser.add_argument(
        "--max_lost", type=float, default=0.01, help="share of utterances that may fail"
    )
    options = parser.parse_args(argv)
    cli.check_positive(options, "nj")
    _refuse_same_names(options.data)
    for data in options.data:
        wavs = Path(options.wavs) / Path(os.path.abspath(data)).name
        synthesise(data, wavs, nj=options.nj, max_lost=options.max_lost)
