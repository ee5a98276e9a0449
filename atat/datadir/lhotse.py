"""Manifests of lhotse: read and written as the JSON lines they are, without lhotse.

    recordings.jsonl.gz     {"id", "sources", "sampling_rate", "num_samples", "duration"}
    supervisions.jsonl.gz   {"id", "recording_id", "start", "duration", "channel", "text",
                             "speaker", "custom": {"semantics": "[IN:… ]"}}
    cuts.jsonl.gz           {"type": "MonoCut", "id", "start", "duration", "recording",
                             "supervisions"}, whose supervisions start at the cut

The fields are those of lhotse's documentation (https://lhotse.readthedocs.io/en/latest/corpus.html
and cuts.html). A supervision is an utterance and keeps its id; the tree is its custom field
`semantics`. Knows nothing of lhotse's features.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from atat.base import together
from atat.base.errors import InputError
from atat.datadir import ids, kaldi_dir, licence, own_corpus, plain_text
from atat.datadir.own_corpus import Item
from atat.speech import audio
from atat.text import trees

RECORDINGS, SUPERVISIONS = "recordings.jsonl.gz", "supervisions.jsonl.gz"
SEMANTICS = "semantics"  # the custom field
_ALMOST = 1e-3  # s; a supervision this near to its recording's length is all of it


@dataclass(frozen=True)
class _Recording:
    """A recording that can be used: its file at 16 kHz with one channel."""

    id: str
    wav: str
    duration: float  # s
    channel: int  # the name of the channel in the file


class _Recordings:
    """Makes recordings usable, each once; a root is where relative paths start (`load`)."""

    def __init__(self, manifest: Path, root: Path | None, wavs: Path) -> None:
        self.resolve = kaldi_dir.path_resolver(manifest.parent, root)
        self.wavs = wavs
        self.known: dict[str, _Recording | str] = {}  # a string: why it cannot be used

    def add(self, entry: Any, where: str) -> _Recording:
        """A recording of a manifest; InputError, which begins with `where`, if it is none."""
        entry = _object(entry, where)
        name = _id(entry, "id", where)
        if name not in self.known:
            try:
                self.known[name] = self._usable(name, entry)
            except InputError as error:
                self.known[name] = f"{where}: {error}"
        found = self.known[name]
        if isinstance(found, str):
            raise InputError(found)
        return found

    def _usable(self, name: str, entry: Mapping[str, Any]) -> _Recording:
        sources = entry.get("sources")
        if not isinstance(sources, list) or len(sources) != 1 or not isinstance(sources[0], dict):
            raise InputError(
                f"the recording {name!r} has the sources {sources!r:.80}, expected one; write the "
                "channels to one file, or the one that you need"
            )
        source = sources[0]
        if source.get("type") != "file" or not isinstance(source.get("source"), str):
            raise InputError(
                f"the recording {name!r} has a source of type {source.get('type')!r}, expected "
                "'file' with its path; write it to a file (lhotse: RecordingSet.save_audios)"
            )
        channels = source.get("channels", [0])
        if not isinstance(channels, list) or not all(isinstance(one, int) for one in channels):
            raise InputError(f"the recording {name!r} has channels {channels!r}, expected numbers")
        path = self.resolve(source["source"])
        info = audio.probe(path)
        if info.sample_rate == audio.SAMPLE_RATE and info.channels == 1:
            audio.check(path)
            return _Recording(name, path, info.duration, (channels or [0])[0])
        wav, seconds = own_corpus.usable_audio(Path(path), self.wavs, name)
        return _Recording(name, str(wav), seconds, (channels or [0])[0])

    def of(self, name: str, where: str) -> _Recording:
        found = self.known.get(name)
        if found is None:
            raise InputError(f"{where}: the recording {name!r} is in no line of the recordings")
        if isinstance(found, str):
            raise InputError(f"{where}: {found}")
        return found


def from_manifests(
    recordings: Path, supervisions: Path, wavs: Path, root: Path | None = None
) -> tuple[list[Item], list[str]]:
    """The utterances of two manifests, and what cannot be used: `file:line: why`.

    wavs: folder for recordings that are not 16 kHz with one channel. root: where relative paths
    start; without: the manifest's folder if the file is there, else the current one.
    """
    usable = _Recordings(recordings, root, wavs)
    unusable = {}
    for where, entry in _lines(recordings):
        try:
            usable.add(entry, where)
        except InputError as error:
            unusable[where] = str(error)
    spoken, bad = [], []
    for where, entry in _lines(supervisions):
        try:
            entry = _object(entry, where)
            recording = usable.of(_id(entry, "recording_id", where), where)
            spoken.append((where, _utterance(entry, recording, 0.0, where)))
        except InputError as error:
            bad.append(str(error))
    # A recording that a bad supervision names has been told with it.
    told = "\n".join(bad)
    bad += [what for what in unusable.values() if what not in told]
    return _alike(spoken, bad)


def from_cuts(cuts: Path, wavs: Path, root: Path | None = None) -> tuple[list[Item], list[str]]:
    """The utterances of a manifest of cuts; as `from_manifests`."""
    usable = _Recordings(cuts, root, wavs)
    spoken, bad = [], []
    for where, entry in _lines(cuts):
        try:
            entry = _object(entry, where)
            kind = entry.get("type", "MonoCut")
            if kind != "MonoCut":
                raise InputError(
                    f"{where}: is a {kind}, expected a MonoCut, a part of one recording; save the "
                    "audio of mixed and padded cuts first (lhotse: CutSet.save_audios)"
                )
            recording = usable.add(entry.get("recording"), where)
            listed = entry.get("supervisions")
            if not isinstance(listed, list) or not listed:
                raise InputError(f"{where}: the cut has no supervisions, so nothing is said in it")
            start = _number(entry, "start", where)
            found = [_utterance(_object(one, where), recording, start, where) for one in listed]
            spoken += [(where, one) for one in found]
        except InputError as error:
            bad.append(str(error))
    return _alike(spoken, bad)


def _utterance(
    entry: Mapping[str, Any], recording: _Recording, offset: float, where: str
) -> kaldi_dir.Utterance:
    """The utterance of a supervision that starts `offset` s after the recording's beginning."""
    name = _id(entry, "id", where)
    start = round(offset + _number(entry, "start", where), 6)
    duration = _number(entry, "duration", where)
    if start < 0 or duration <= 0:
        raise InputError(f"{where}: {name!r} lasts from {start} s for {duration} s; expected more")
    channel = entry.get("channel", recording.channel)
    if channel not in (recording.channel, [recording.channel]):
        raise InputError(
            f"{where}: {name!r} is in channel {channel}, and the first one of a file is read, "
            f"{recording.channel}; write the channel to a file of its own"
        )
    speaker = entry.get("speaker") or name
    text = entry.get("text")
    custom = entry.get("custom") or {}
    semantics = custom.get(SEMANTICS) if isinstance(custom, dict) else None
    for key, value in (("speaker", speaker), ("text", text or ""), (SEMANTICS, semantics or "")):
        if not isinstance(value, str) or "\n" in value or "\r" in value:
            raise InputError(f"{where}: {name!r} has the {key} {value!r:.60}, expected one line")
    if fault := ids.fault(speaker):
        raise InputError(f"{where}: the speaker {speaker!r} {fault}")
    end = round(start + duration, 6)
    try:
        audio.check_span(f"the recording of {name!r}", recording.duration, start, end)
        plain_text.refuse_odd_blanks(f"the text of {name!r}", text or "")
        plain_text.refuse_odd_blanks(f"the {SEMANTICS} of {name!r}", semantics or "")
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if semantics is not None:
        try:
            trees.parse(semantics)
        except trees.SemanticsError as error:
            raise InputError(f"{where}: the semantics of {name!r}: {error}") from None
    return kaldi_dir.Utterance(
        name,
        speaker,
        wav=recording.wav,
        start=start,
        end=end,
        duration=duration,
        text=text or None,
        semantics=semantics,
        recording=recording.id,
    )


def _alike(
    spoken: Sequence[tuple[str, kaldi_dir.Utterance]], bad: list[str]
) -> tuple[list[Item], list[str]]:
    """Utterances with the same fields; segments only if one is not all of its recording."""
    found: dict[str, kaldi_dir.Utterance] = {}
    places: dict[str, str] = {}
    for field in ("text", "semantics"):
        have = [getattr(one, field) is not None for _, one in spoken]
        if any(have) and not all(have):
            bad += [
                f"{w}: {u.id!r} has no {field}, others have" for w, u in _without(spoken, field)
            ]
            spoken = [pair for pair in spoken if getattr(pair[1], field) is not None]
    for where, one in spoken:
        if one.id in found:
            bad.append(f"{where}: {one.id!r} a second time, first in {places[one.id]}")
        else:
            found[one.id], places[one.id] = one, where
    utterances = list(found.values())
    if all(_is_whole(one) for one in utterances):
        utterances = [replace(one, start=None, end=None, recording=None) for one in utterances]
    return [Item(one, raw="", where=places[one.id]) for one in utterances], bad


def _without(
    spoken: Iterable[tuple[str, kaldi_dir.Utterance]], field: str
) -> Iterator[tuple[str, kaldi_dir.Utterance]]:
    return ((where, one) for where, one in spoken if getattr(one, field) is None)


def _is_whole(one: kaldi_dir.Utterance) -> bool:
    if one.recording != one.id or one.start or one.wav is None or one.duration is None:
        return False
    return abs(audio.duration(one.wav) - one.duration) < _ALMOST


def write(out: Path, folder: Path, root: Path | None = None) -> int:
    """Write the manifests of a data dir into `out`, both or none; returns the utterances.

    A segment without an end gets that of its recording. Raises InputError for utterances without
    a recording and for shell commands in wav.scp.
    """
    utterances = kaldi_dir.load(folder, root=root)
    kaldi_dir.refuse_pipes(folder, utterances, "a manifest")
    recordings: dict[str, dict[str, Any]] = {}
    supervisions = []
    for one in utterances:
        if one.wav is None:
            raise InputError(
                f"{folder}: has no wav.scp, and lhotse's manifests describe recordings; text alone "
                "stays a data dir"
            )
        name = one.recording or one.id
        if name not in recordings:
            recordings[name] = _recording_entry(name, one.wav)
        supervisions.append(_supervision_entry(one, name, recordings[name]["duration"]))
    with together.new_files(out, remove=[licence.NAME]) as new:
        licence.write(new, licence.of(folder))
        for file, entries in (
            (RECORDINGS, list(recordings.values())),
            (SUPERVISIONS, supervisions),
        ):
            lines = "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in entries)
            (new / file).write_bytes(gzip.compress(lines.encode(), mtime=0))
    return len(supervisions)


def _recording_entry(name: str, wav: str) -> dict[str, Any]:
    info = audio.probe(wav)
    if info.channels != 1:
        raise InputError(f"{wav}: {info.channels} channels, expected one; write it to a file")
    return {
        "id": name,
        "sources": [{"type": "file", "channels": [0], "source": wav}],
        "sampling_rate": info.sample_rate,
        "num_samples": info.num_samples,
        "duration": info.duration,
        "channel_ids": [0],
    }


def _supervision_entry(one: kaldi_dir.Utterance, recording: str, seconds: float) -> dict[str, Any]:
    start = one.start or 0.0
    entry: dict[str, Any] = {
        "id": one.id,
        "recording_id": recording,
        "start": start,
        "duration": round((seconds if one.end is None else one.end) - start, 6),
        "channel": 0,
        "speaker": one.speaker,
    }
    if one.text is not None:
        entry["text"] = one.text
    if one.semantics is not None:
        entry["custom"] = {SEMANTICS: one.semantics}
    return entry


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    """(file:line, value) of a manifest; InputError, with the line, for what is no JSON lines."""
    if not path.name.endswith((".jsonl", ".jsonl.gz")):
        raise InputError(
            f"{path}: expected .jsonl or .jsonl.gz; convert it with: lhotse copy {path} NEW.jsonl"
        )
    number = 0
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield f"{path}:{number}", json.loads(line)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file, expected a manifest of lhotse") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}:{number or 1}: torn or not JSON ({error})") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}:{number + 1}: torn or no gzip ({error}); copy it again") from None


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: found {value!r:.60}, expected an object of lhotse")
    return value


def _id(entry: Mapping[str, Any], key: str, where: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or ids.fault(value):
        why = ids.fault(value) if isinstance(value, str) else "is none"
        raise InputError(f"{where}: the {key} {value!r:.60} {why}; expected a name without blanks")
    return value


def _number(entry: Mapping[str, Any], key: str, where: str) -> float:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e9:
        raise InputError(f"{where}: found {value!r:.60} as {key}, expected seconds")
    return float(value)
