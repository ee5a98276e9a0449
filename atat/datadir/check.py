"""All checks of a data dir in one pass: `validate`.

Checks what Kaldi's validate_data_dir.sh checks, and what atat needs beyond it. This module checks
the tables as tables: lines, ids, speakers, numbers. `check_words` checks words, trees and
alignments, `check_audio` recordings and features. Nothing is changed and no shell pipe is run.
Command line: `atat datadir validate DIR`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from atat.base.files import fields
from atat.base.report import Finding, Report
from atat.datadir import ids
from atat.datadir.check_audio import AudioOptions, check_recordings
from atat.datadir.check_words import check_alignments, check_questions, check_texts, check_trees
from atat.datadir.files import (
    ALIGNMENTS,
    COMPLETE,
    KNOWN,
    RECORDING,
    SPEAKER,
    UTTERANCE,
    DataDir,
    scan_dir,
)
from atat.datadir.kaldi_dir import speakers_to_utterances
from atat.datadir.tables import Scan

OF_TWO_SPEAKERS = "utterance of two speakers"  # a kind of finding


def validate(folder: str | Path, options: AudioOptions | None = None) -> Report:
    """All findings of a data dir; warnings stop no command.

    Raises InputError if there is no such folder.
    """
    return examine(scan_dir(folder), options or AudioOptions())


def examine(data: DataDir, options: AudioOptions) -> Report:
    """All findings of a data dir that has been read.

    `Report.lost` names utterances to drop, and as `(file, utterance)` alignments to drop.
    """
    report = Report()
    _check_files(data, report)
    _check_lines(data, report)
    _check_utterance_ids(data, report)
    _check_names(data, report)
    _check_speakers(data, report)
    _check_recording_ids(data, report)
    _check_numbers(data, report)
    check_texts(data, report)
    check_trees(data, report)
    check_questions(data, report)
    durations = check_recordings(data, report, options)
    check_alignments(data, report, durations)
    return report


def _check_files(data: DataDir, report: Report) -> None:
    folder = str(data.folder)
    mend = "; repair makes one from the other" if {"utt2spk", "spk2utt"} & data.scans.keys() else ""
    for name in ("utt2spk", "spk2utt"):
        if name not in data.scans:
            # A text-only dir (atat's, not Kaldi's) needs no spk2utt.
            is_error = name == "utt2spk" or "wav.scp" in data.scans
            report.add(
                Finding(
                    folder,
                    0,
                    "missing file",
                    f"there is no {name}; expected lines "
                    "`<utterance> <speaker>` in utt2spk and `<speaker> <utterances>` "
                    f"in spk2utt{mend}",
                    is_error,
                )
            )
    if not {"text", "semantics", "wav.scp", "feats.scp"} & data.scans.keys():
        report.add(
            Finding(
                folder,
                0,
                "missing file",
                "there is none of text, semantics, wav.scp, feats.scp; expected at least one",
            )
        )
    if "segments" in data.scans and "wav.scp" not in data.scans:
        report.add(
            Finding(
                folder,
                0,
                "missing file",
                "there is segments but no wav.scp; expected the recordings it cuts",
                "feats.scp" not in data.scans,
            )
        )
    for name, scan in data.scans.items():
        if not scan.table:
            report.add(
                Finding(
                    str(scan.path),
                    0,
                    "empty file",
                    "has no entries; fill or remove it",
                    name in KNOWN,
                )
            )


def _check_lines(data: DataDir, report: Report) -> None:
    """Faults found while reading the files; in unknown files they are warnings."""
    for name, scan in data.scans.items():
        is_known = name in KNOWN
        for finding in scan.findings:
            if name == "utt2spk" and finding.kind == "malformed id":
                continue  # `_check_names` reports it for the utterance
            report.add(
                Finding(
                    finding.path,
                    finding.line,
                    finding.kind,
                    finding.message,
                    finding.is_error and is_known,
                )
            )
        if is_known:
            _lose_keys(data, name, report)


def _lose_keys(data: DataDir, name: str, report: Report) -> None:
    """Note as lost the utterances of keys that a repair cannot keep, here those of recordings."""
    scan = data.scans[name]
    # Which of two values is right is unknown, so both are dropped.
    if data.keyed_by[name] == UTTERANCE:
        report.lost |= dict.fromkeys(scan.conflicting - report.lost.keys(), "duplicate key")
    if data.keyed_by[name] != RECORDING:
        return
    bad = dict.fromkeys(scan.conflicting, "duplicate key") if name == "wav.scp" else {}
    bad |= dict.fromkeys(filter(ids.odd_character, scan.table), "malformed id")
    users = data.users() if bad else {}
    for key, kind in bad.items():
        for utterance in users.get(key, ()):
            report.lost.setdefault(utterance, kind)


def _check_utterance_ids(data: DataDir, report: Report) -> None:
    """Every table of utterances has all utterances and no others."""
    expected = data.speakers
    for name in data.names(UTTERANCE):
        scan = data.scans[name]
        is_required = name in COMPLETE
        for key in sorted(expected.keys() - scan.table.keys()):
            report.add(
                Finding(
                    str(data.folder / "utt2spk"),
                    data.line("utt2spk", key),
                    f"missing in {name}",
                    f"{key!r} has no line in {scan.path}; add one, or drop the utterance (repair)",
                    is_required,
                ),
                key,
            )
        for key in sorted(scan.table.keys() - expected.keys()):
            report.add(
                Finding(
                    str(scan.path),
                    scan.line(key),
                    "not in utt2spk",
                    f"{key!r} is not in utt2spk; give it a speaker there or drop the line (repair)",
                    name in KNOWN,
                ),
                (name, key) if name in ALIGNMENTS else key,
            )


def _check_names(data: DataDir, report: Report) -> None:
    """The ids of utterances and speakers can be keys of tables and names of files."""
    path = str(data.folder / "utt2spk")
    for utterance, speaker in data.speakers.items():
        for name, noun in ((utterance, "utterance"), (speaker, "speaker")):
            if not name or (noun == "speaker" and fields(name) != [name]):
                continue  # no speaker, or several: the check of speakers finds it
            if fault := ids.fault(name):
                report.add(
                    Finding(
                        path,
                        data.line("utt2spk", utterance),
                        "malformed id",
                        f"the {noun} id {name!r} {fault}; rename it in all files, or "
                        "drop the utterance (repair)",
                    ),
                    utterance,
                )


def _check_speakers(data: DataDir, report: Report) -> None:
    path = str(data.folder / "utt2spk")
    speakers = data.speakers
    for utterance, speaker in speakers.items():
        if not speaker or " " in speaker or "\t" in speaker:
            report.add(
                Finding(
                    path,
                    data.line("utt2spk", utterance),
                    "malformed utt2spk",
                    f"found {speaker!r} after {utterance!r}, expected one speaker id; "
                    "correct the line",
                ),
                utterance,
            )
        elif not utterance.startswith(speaker):
            report.add(
                Finding(
                    path,
                    data.line("utt2spk", utterance),
                    "id without its speaker",
                    f"{utterance!r} does not begin with its speaker {speaker!r}; "
                    "Kaldi's tools may refuse the dir; rename the utterances to "
                    f"`{speaker}-<utterance>`",
                    is_error=False,
                )
            )
    by_speaker = speakers_to_utterances(speakers)
    if len(by_speaker) == 1:
        report.add(
            Finding(
                path,
                0,
                "one speaker",
                f"all utterances are of {min(by_speaker)!r}; "
                "where speakers are unknown, give each utterance its own",
                is_error=False,
            )
        )
    _check_order_of_speakers(data, report)
    if "spk2utt" in data.scans:
        _check_spk2utt(data, report, by_speaker)
    for name in data.names(SPEAKER):
        _check_keys(
            data, report, name, set(by_speaker), "speaker", "utt2spk", is_error=name in KNOWN
        )


def _check_order_of_speakers(data: DataDir, report: Report) -> None:
    """utt2spk is sorted by speaker as well, as Kaldi requires."""
    scan = data.scans.get("utt2spk")
    if scan is None or any(finding.kind == "not sorted" for finding in scan.findings):
        return
    previous = ""
    for utterance, speaker in scan.table.items():
        if speaker < previous:
            report.add(
                Finding(
                    str(scan.path),
                    scan.line(utterance),
                    "speakers not sorted",
                    f"speaker {speaker!r} comes after {previous!r}: sorting by "
                    "utterance and by speaker gives two orders, which Kaldi's tools "
                    "refuse; rename utterances to `<speaker>-<utterance>` with "
                    "speaker ids of one length",
                    is_error=False,
                )
            )
            return
        previous = speaker


def _check_spk2utt(data: DataDir, report: Report, expected: dict[str, str]) -> None:
    """spk2utt agrees with utt2spk; another check finds speakers that one of them lacks."""
    scan = data.scans["spk2utt"]
    if "utt2spk" not in data.scans:
        _check_once(scan, report)
    for speaker, utterances in scan.table.items():
        found = fields(utterances)
        if speaker not in expected or found == fields(expected[speaker]):
            continue
        wrong = sorted(set(found) ^ set(fields(expected[speaker])))
        what = (
            f"and utt2spk disagree about {wrong[0]!r} ({len(wrong)} in all)"
            if wrong
            else "are not sorted, or one occurs twice"
        )
        report.add(
            Finding(
                str(scan.path),
                scan.line(speaker),
                "spk2utt unlike utt2spk",
                f"the utterances of {speaker!r} {what}; repair makes it from utt2spk",
            )
        )


def _check_once(scan: Scan, report: Report) -> None:
    """Each utterance has one speaker in spk2utt."""
    first: dict[str, str] = {}
    for speaker, utterances in scan.table.items():
        for utterance in fields(utterances):
            if first.setdefault(utterance, speaker) != speaker:
                message = (
                    f"{utterance!r} is also in line {scan.line(first[utterance])}; remove it from "
                    "the speaker that does not say it"
                )
                report.add(Finding(str(scan.path), scan.line(speaker), OF_TWO_SPEAKERS, message))


def _check_recording_ids(data: DataDir, report: Report) -> None:
    """wav.scp, reco2dur, … have the recordings of segments, or without segments the utterances."""
    segments = data.scans.get("segments")
    if segments is None:
        expected = set(data.speakers)
        source = "utt2spk"
    else:
        expected = {data.recording(utterance) for utterance in segments.table}
        source = "segments"
        if "wav.scp" in data.scans:
            wavs = data.table("wav.scp")
            for utterance in segments.table:
                if data.recording(utterance) not in wavs:
                    report.add(
                        Finding(
                            str(segments.path),
                            segments.line(utterance),
                            "recording not in wav.scp",
                            "the recording "
                            f"{data.recording(utterance)!r} of {utterance!r} is not in "
                            "wav.scp; add it or drop the segment (repair)",
                        ),
                        utterance,
                    )
    for name in data.names(RECORDING):
        wanted = expected if name != "wav.scp" else expected & data.table("wav.scp").keys()
        _check_keys(data, report, name, wanted, "recording", source, is_error=name in KNOWN)


def _check_keys(
    data: DataDir,
    report: Report,
    name: str,
    expected: set[str],
    noun: str,
    source: str,
    *,
    is_error: bool,
) -> None:
    """A table of speakers or recordings has exactly the expected keys."""
    scan = data.scans[name]
    for key in sorted(expected - scan.table.keys()):
        report.add(
            Finding(
                str(scan.path),
                0,
                f"missing in {name}",
                f"no line for the {noun} {key!r} of {source}; add one or remove the file",
                is_error,
            )
        )
    for key in sorted(scan.table.keys() - expected):
        report.add(
            Finding(
                str(scan.path),
                scan.line(key),
                f"not in {source}",
                f"the {noun} {key!r} is not in {source}; drop the line (repair)",
                is_error,
            )
        )


def _is_finite(value: str) -> bool:
    return math.isfinite(float(value))


def _is_positive(value: str) -> bool:
    return 0 < float(value) < float("inf")


def _is_count(value: str) -> bool:
    return int(value) > 0


def _is_warp(value: str) -> bool:
    return 0.5 < float(value) < 1.5


def _is_gender(value: str) -> bool:
    return value in ("m", "f")


def _is_channel(value: str) -> bool:
    found = fields(value)
    return len(found) == 2 and found[1] in ("A", "B", "1")


_VALUES: dict[str, tuple[Callable[[str], bool], str]] = {
    "utt2conf": (_is_finite, "a number"),
    "utt2dur": (_is_positive, "seconds, more than 0"),
    "utt2num_frames": (_is_count, "a whole number of frames, more than 0"),
    "reco2dur": (_is_positive, "seconds, more than 0"),
    "utt2warp": (_is_warp, "a number between 0.5 and 1.5"),
    "spk2warp": (_is_warp, "a number between 0.5 and 1.5"),
    "spk2gender": (_is_gender, "m or f"),
    "reco2file_and_channel": (_is_channel, "a file name and a channel, A or B"),
}


def _check_numbers(data: DataDir, report: Report) -> None:
    """Values of the small tables: durations, frames, warps, genders, channels."""
    for name, (is_right, expected) in _VALUES.items():
        for key, value in data.table(name).items():
            try:
                if is_right(value):
                    continue
            except ValueError:
                pass
            report.add(
                Finding(
                    str(data.folder / name),
                    data.line(name, key),
                    f"malformed {name}",
                    f"found {value!r} for {key!r}, expected {expected}; correct it or "
                    "remove the file",
                ),
                key if data.keyed_by[name] == UTTERANCE else None,
            )
