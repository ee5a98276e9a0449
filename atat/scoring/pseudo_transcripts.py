"""Recordings without transcripts become data for the task asr: a recogniser's words are their text.

Self-training on pseudo-labels (Kahn, Lee and Hannun, "Self-training for end-to-end speech
recognition", ICASSP 2020), where a confidence decides which of them are used. The data dir says in
text.json that its text is a recogniser's, of which one, and which utterances were left out and why.
`atat heard --task asr` is the command.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_object
from atat.base.provenance import provenance
from atat.datadir import edit
from atat.datadir.ctm import PHONES, Word, check, ctm_rows, normalize_words, read_ctm
from atat.datadir.files import DataDir
from atat.datadir.kaldi_dir import path_resolver
from atat.scoring import decoded_dir
from atat.scoring.score import check_same_utterances
from atat.text.normalize import normalize

ABOUT = "text.json"
# Of the words that people wrote for these recordings, if they did.
OF_ANOTHER_TEXT = ("text.raw", "semantics", "semantics.raw", "ctm", PHONES, "utt2conf")
EMPTY, CUT, UNSURE = "no words", "ended by the length limit", "confidence below the least"


def write(data: Path, decoded: Path, out: Path, min_confidence: float | None = None) -> str:
    """Write the data dir; returns a sentence that says what was kept and what was not.

    Utterances of `data` are left out if the recogniser found no words in them, if a limit on the
    length ended its transcript, and if its confidence is below `min_confidence`. Word times are
    kept where `atat datadir validate` accepts them. Raises InputError for folders that do not have
    the same utterances, for data without recordings, where confidences are wanted and missing, and
    if no utterance is left.
    """
    if data.resolve() == out.resolve():
        raise InputError(f"{out}: is the data dir that was decoded; choose another --out")
    source = edit.open_dir(data)
    if not {"wav.scp", "feats.scp"} & source.scans.keys():
        raise InputError(
            f"{data}: has neither wav.scp nor feats.scp; task asr learns from recordings"
        )
    texts = {key: normalize(text) for key, text in decoded_dir.read_transcripts(decoded).items()}
    check_same_utterances(source.speakers, texts, f"{data / 'utt2spk'}", f"{decoded / 'hyp'}")
    confidence = decoded_dir.read_confidence(decoded)
    dropped = _dropped(decoded, texts, confidence, min_confidence)
    kept = {key: text for key, text in texts.items() if key not in dropped}
    left_out = _count(dropped)
    if not kept:
        raise InputError(f"{decoded}: no utterance is left of {len(texts)} ({left_out})")
    times = _times(source, decoded, kept)
    tables = edit.select(source, kept.keys(), path_resolver(data))
    tables = {name: table for name, table in tables.items() if name not in OF_ANOTHER_TEXT}
    tables["text"] = kept
    if confidence:
        tables["utt2conf"] = {key: f"{confidence[key]:.4f}" for key in kept}
    if times:
        tables["ctm"] = {key: ctm_rows(words) for key, words in times.items()}
    about = {
        "text": "written by a recogniser, not by people",
        "decoded": str(decoded),
        **_recogniser(decoded),
        "min_confidence": min_confidence,
        "utterances": len(kept),
        "with_times": len(times),
        "left_out": dropped,
        "provenance": provenance(),
    }
    (out / ABOUT).unlink(missing_ok=True)
    edit.write_dir(out, tables, [source], with_questions=False)
    with atomic_write(out / ABOUT) as stream:
        json.dump(about, stream, indent=1, ensure_ascii=False)
    times_of = f"word times in {len(times)}" if times else "no word times"
    return f"{len(kept)} of {len(texts)} utterances, {times_of}; left out: {left_out or 'none'}"


def _dropped(
    decoded: Path,
    texts: Mapping[str, str],
    confidence: Mapping[str, float],
    min_confidence: float | None,
) -> dict[str, str]:
    """The utterances that are left out, and why."""
    unknown = [key for key, text in texts.items() if text and key not in confidence]
    if unknown and (confidence or min_confidence is not None):
        what = f"no confidence for {unknown[0]!r}" if confidence else "no such file"
        raise InputError(
            f"{decoded / decoded_dir.CONFIDENCE}: {what}; decode again with: atat transcribe"
            + ("" if min_confidence is None else ", or leave out --min_confidence")
        )
    at_limit = decoded_dir.read_at_limit(decoded)
    dropped = {}
    for key, text in texts.items():
        if not text:
            dropped[key] = EMPTY
        elif key in at_limit:
            dropped[key] = CUT
        elif min_confidence is not None and confidence[key] < min_confidence:
            dropped[key] = UNSURE
    return dropped


def _count(dropped: Mapping[str, str]) -> str:
    reasons = list(dropped.values())
    found = ((reasons.count(reason), reason) for reason in (EMPTY, CUT, UNSURE))
    return ", ".join(f"{number} ({reason})" for number, reason in found if number)


def _times(source: DataDir, decoded: Path, kept: Mapping[str, str]) -> dict[str, list[Word]]:
    """The words of utterances with their times, where they fit text and audio."""
    path = decoded / decoded_dir.TIMES
    if not path.is_file():
        return {}
    timed = read_ctm(path)
    durations = edit.durations(source)
    found = {key: normalize_words(timed[key]) for key in kept if key in timed}
    return {
        key: words for key, words in found.items() if not check(words, kept[key], durations[key])
    }


def _recogniser(decoded: Path) -> dict[str, object]:
    """What decode.json says of the recogniser."""
    path = decoded / "decode.json"
    about = read_object(path, "decode again") if path.is_file() else {}
    return {key: about[key] for key in ("engine", "model", "confidence", "times") if key in about}
