"""Alignments of a data dir: DIR/ctm from a backend, with --phones DIR/phones.ctm beside it, and the
table of boundary errors.

    atat align --backend pocketsphinx --data data/train --nj 4
    atat align --backend textgrid --data data/train --textgrids LibriSpeech-TextGrids
    atat align report --reference data/test/ctm pocketsphinx=ps.ctm --out table.md

Utterances without an alignment are listed in CTM.lost and counted; more than --max_lost of them
is an error, and no ctm is written. Finished alignments are kept in CTM.parts until the ctm is
written, so that a rerun aligns only what is missing; CTM.json says how the ctm was made. Knows
nothing of how the backends align.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atat.base import cli, digests, lock, parallel
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_object, read_object_or_none
from atat.base.provenance import provenance
from atat.datadir import ids, kaldi_dir
from atat.datadir.ctm import PHONES, Word, read_ctm, read_phones, write_ctm
from atat.datadir.kaldi_dir import Utterance
from atat.datadir.lost import report as report_lost
from atat.engine import named_model
from atat.prepare import align_report
from atat.prepare.align_backends import (
    IN_PROCESS,
    SOURCES,
    WITH_PHONES,
    Aligned,
    Outcome,
    Settings,
    align,
    duration,
    listens,
    origin,
    prepare,
)

CHUNK = 100  # utterances that an interrupted run may have to do again


@dataclass(frozen=True)
class Job:
    """Utterances that one process aligns and writes as one part."""

    utterances: Sequence[Utterance]
    settings: Settings
    part: Path
    fingerprints: Mapping[str, str]


def make(
    data: Path,
    out: Path,
    settings: Settings,
    *,
    nj: int = 1,
    max_lost: float = 0.01,
    textgrids: Path | None = None,
) -> None:
    """Write the ctm of a data dir, and a TextGrid of each utterance if a folder is given.

    If the settings ask for phones, they are written beside it (`phones_path`).

    Raises InputError if more than `max_lost` (a share) of the utterances have no alignment, and
    while another process makes the same ctm.
    """
    utterances = _load(data, settings)
    grids = (
        {u.id: ids.path_in(textgrids, u.id, suffix=".TextGrid") for u in utterances}
        if textgrids is not None
        else {}
    )
    prepare(settings)
    fingerprints = {u.id: _fingerprint(u, settings) for u in utterances}
    made = digests.of_text("".join(fingerprints.values()), "sha1")
    wanted = [out, phones_path(out)] if settings.phones else [out]
    if _is_made(wanted, made, max_lost):
        _write_textgrids(grids, _read_made(utterances, settings, out) if grids else {})
        print(
            f"{out}: already made from the same data with {settings.backend}, "
            f"{'its TextGrids are written' if grids else 'nothing to do'}; "
            "remove it to make it again"
        )
        return
    parts = out.with_name(out.name + ".parts")
    with lock.hold(parts, f"alignment of {data}"):
        aligned, lost = _align_missing(utterances, settings, parts, fingerprints, nj)
        report_lost(
            lost,
            len(utterances),
            max_lost,
            "have no alignment",
            "fix them and run again (what was aligned is kept)",
            data=data,
            path=out.with_name(out.name + ".lost"),
        )
        write_ctm(out, {utt: found.words for utt, found in aligned.items()})
        if settings.phones:
            write_ctm(phones_path(out), {utt: one.phones or [] for utt, one in aligned.items()})
        counts = {"utterances": len(utterances), "aligned": len(aligned), "lost": len(lost)}
        with atomic_write(_about(out)) as stream:
            about = {"backend": settings.backend, **counts, "made_from": made}
            about |= {"digests": _digests(wanted), "provenance": provenance()}
            json.dump(about, stream, indent=2)
        shutil.rmtree(parts, ignore_errors=True)
        _write_textgrids(grids, aligned)
    print(f"{out}: {len(aligned)} of {len(utterances)} utterances aligned with {settings.backend}")


def _align_missing(
    utterances: Sequence[Utterance],
    settings: Settings,
    parts: Path,
    fingerprints: Mapping[str, str],
    nj: int,
) -> tuple[dict[str, Aligned], dict[str, str]]:
    """The alignments of this run and earlier ones, and why others are missing."""
    aligned = _read_parts(parts, fingerprints)
    missing = [u for u in utterances if u.id not in aligned]
    lost: dict[str, str] = {}
    for outcome in _run(missing, settings, parts, fingerprints, nj):
        aligned |= {utt: found for utt, found in outcome.items() if isinstance(found, Aligned)}
        lost |= {utt: reason for utt, reason in outcome.items() if isinstance(reason, str)}
    return aligned, lost


def _load(data: Path, settings: Settings) -> list[Utterance]:
    utterances = kaldi_dir.load(data)
    if not utterances:
        raise InputError(f"{data}: no utterances")
    if not settings.allow_pipes:
        # The others only need the length of the audio, if no table has it.
        heard = [u for u in utterances if listens(settings) or u.duration is None]
        kaldi_dir.refuse_pipes(data, heard, f"{settings.backend} (without --allow_pipes)")
    for name, field in (("text", "text"), ("wav.scp", "wav")):
        if getattr(utterances[0], field) is None and (name == "text" or listens(settings)):
            raise InputError(f"{data}/{name}: no such file; {settings.backend} needs it")
    return utterances


def _fingerprint(utterance: Utterance, settings: Settings) -> str:
    parts = (settings, utterance.wav, utterance.start, utterance.end, utterance.text)
    phones = (PHONES,) if settings.phones else ()
    return digests.of_text(repr((*parts, origin(utterance, settings), *phones)), "sha1")


def phones_path(out: Path) -> Path:
    """phones.ctm for the phones of a `ctm`, phones.ps.ctm for those of ps.ctm."""
    return out.with_name(PHONES if out.name == "ctm" else f"phones.{out.name}")


def _about(out: Path) -> Path:
    return out.with_name(out.name + ".json")


def _digests(paths: Sequence[Path]) -> dict[str, str]:
    return {path.name: digests.of_file(path, "sha1") for path in paths}


def _is_made(paths: Sequence[Path], made: str, max_lost: float) -> bool:
    """Whether ctms were made from the same, are as they were written, and lack few enough."""
    about = read_object_or_none(_about(paths[0]))
    if about is None or about.get("made_from") != made or not all(map(Path.exists, paths)):
        return False
    if "digests" in about and about["digests"] != _digests(paths):  # old ones have none
        return False
    return bool(about["lost"] <= max_lost * about["utterances"])


def _read_made(
    utterances: Sequence[Utterance], settings: Settings, out: Path
) -> dict[str, Aligned]:
    """The alignments that a ctm holds."""
    words = read_ctm(out)
    phones = read_phones(phones_path(out)) if settings.phones else {}
    return {
        one.id: Aligned(words[one.id], duration(one, settings), phones.get(one.id))
        for one in utterances
        if one.id in words
    }


def _run(
    utterances: Sequence[Utterance],
    settings: Settings,
    parts: Path,
    fingerprints: Mapping[str, str],
    nj: int,
) -> Iterator[Outcome]:
    """Outcomes of all utterances, part by part, with a progress bar."""
    from tqdm import tqdm

    jobs = []
    size = max(1, min(CHUNK, -(-len(utterances) // nj)))
    for first in range(0, len(utterances), size):
        chunk = utterances[first : first + size]
        # Named after its contents: no run overwrites a part of another run.
        name = digests.of_text("".join(fingerprints[u.id] for u in chunk), "sha1")[: digests.SHORT]
        part = parts / f"{name}.json"
        jobs.append(Job(chunk, settings, part, {u.id: fingerprints[u.id] for u in chunk}))
    here = nj == 1 or len(jobs) < 2 or settings.backend in IN_PROCESS
    outcomes = map(_work, jobs) if here else parallel.run(_work, jobs, nj)
    with tqdm(total=len(utterances), unit=" utterances", desc=settings.backend) as bar:
        for outcome in outcomes:
            bar.update(len(outcome))
            yield outcome


def _work(job: Job) -> Outcome:
    """Align one part and store its outcomes; in its own process or not."""
    outcome = align(job.utterances, job.settings)
    content = {
        utt: {
            "fingerprint": job.fingerprints[utt],
            "duration": found.duration,
            "words": [(word.text, word.start, word.duration) for word in found.words],
            "phones": [(one.text, one.start, one.duration) for one in found.phones or []],
        }
        for utt, found in outcome.items()
        if isinstance(found, Aligned)
    }
    with atomic_write(job.part) as stream:
        json.dump(content, stream, ensure_ascii=False)
    return outcome


def _read_parts(parts: Path, fingerprints: Mapping[str, str]) -> dict[str, Aligned]:
    """Alignments of earlier runs from the same audio, text and settings."""
    aligned = {}
    for path in sorted(parts.glob("*.json")):
        try:
            for utt, entry in read_object(path, "its utterances are aligned again").items():
                if fingerprints.get(utt) == entry["fingerprint"]:
                    words = [Word(*word) for word in entry["words"]]
                    phones = [Word(*one) for one in entry.get("phones", [])]
                    aligned[utt] = Aligned(words, entry["duration"], phones)
        except (ValueError, TypeError, LookupError) as error:
            print(f"warning: {path} is damaged and not used: {error}", file=sys.stderr)
    return aligned


def _write_textgrids(paths: Mapping[str, Path], aligned: Mapping[str, Aligned]) -> None:
    """Write the TextGrids of utterances that have a path."""
    from atat.prepare.textgrid import fitting, write_textgrid

    left_out = 0
    for utt, path in paths.items():
        if utt not in aligned:
            continue
        found = aligned[utt]
        words, phones = fitting(found.words), fitting(found.phones or ())
        length = max([found.duration or 0.0, *(one.end for one in (*words, *phones))])
        write_textgrid(path, words, length, phones=phones or None)
        left_out += len(found.words) - len(words)
    if left_out:
        print(
            f"warning: {left_out} words are in no TextGrid, which holds none without length",
            file=sys.stderr,
        )


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser(
        prog="atat align",
        description=cli.guide(
            "Find out when each word of a data dir is spoken. A rerun aligns only what is "
            "missing. `atat align report` compares alignments.",
            "atat align --backend pocketsphinx --data data/train --nj 4",
            "atat align --backend textgrid --data data/train --textgrids LibriSpeech-TextGrids",
            "atat align report --reference data/test/ctm pocketsphinx=ps.ctm --out table.md",
            reads="DATA/text; with pocketsphinx and ctc DATA/wav.scp and the recordings, else "
            "the files that another aligner wrote.",
            writes="OUT (DATA/ctm), word times from the start of each utterance; with --phones "
            "DATA/phones.ctm, those of its phones; OUT.lost, "
            "the utterances without, of which more than --max_lost are an error; "
            "OUT.json, how it was made.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    add = parser.add_argument
    add("--backend", choices=SOURCES, required=True, help="who aligns, or what is read")
    add("--data", type=Path, required=True, help="data dir with text, and wav.scp to listen to")
    add("--out", type=Path, help="ctm to write; DATA/ctm unless given")
    add("--textgrids", help="textgrid: folder of <utterance>.TextGrid, at any depth")
    add("--tier", default="words", help="textgrid: tier that holds the words")
    add(
        "--phones",
        action="store_true",
        help="phones too (textgrid: from the tier phones; pocketsphinx: by a second pass)",
    )
    add("--json", help="gentle: folder of <utterance>.json, at any depth")
    add("--alignments", help="librispeech: folder of *.alignment.txt, at any depth")
    add("--model", help=f"ctc, with a CTC head: {named_model.KINDS}")
    add("--device", default="cpu", help="ctc: cpu or cuda")
    add("--nj", type=int, default=1, help="processes (pocketsphinx, textgrid, gentle)")
    add("--max_lost", type=float, default=0.01, help="share of utterances that may go unaligned")
    add("--write_textgrids", type=Path, help="folder to write a TextGrid of each utterance to")
    add("--resample", action="store_true", help="convert audio of another rate than 16 kHz")
    add("--channel", type=int, help="channel to take of audio with several, from 0")
    add("--allow_pipes", action="store_true", help="run shell commands in wav.scp")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    option = SOURCES[options.backend]
    source = getattr(options, option) if option else None
    if option and source is None:
        raise InputError(f"--backend {options.backend} needs --{option}")
    if option == "model" and source is not None:
        source = str(named_model.find(source))
    if options.phones and options.backend not in WITH_PHONES:
        raise InputError(
            f"--backend {options.backend} knows no phones; leave out --phones, or take "
            f"{' or '.join(WITH_PHONES)}"
        )
    cli.check_positive(options, "nj")
    return Settings(
        backend=options.backend,
        source=source,
        tier=options.tier,
        device=options.device,
        resample=options.resample,
        channel=options.channel,
        allow_pipes=options.allow_pipes,
        phones=options.phones,
    )


def main(argv: list[str] | None = None) -> None:
    """Align a data dir, or with `report` compare ctms."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["report"]:
        parser = cli.Parser(
            prog="atat align report",
            description=cli.guide(
                "The table of boundary errors: how far the word boundaries of aligners lie "
                "from a reference.",
                "atat align report --reference data/test/ctm pocketsphinx=ps.ctm --out table.md",
                reads="the ctm REFERENCE, and the ctm of each NAME=CTM; joined on the "
                "utterance id.",
                writes="OUT, a table in Markdown, and the same figures as JSON beside it.",
            ),
            formatter_class=cli.HelpFormatter,
        )
        align_report.add_options(parser)
        align_report.main(parser.parse_args(argv[1:]))
        return
    options = _parser().parse_args(argv)
    make(
        options.data,
        options.out or options.data / "ctm",
        _settings(options),
        nj=options.nj,
        max_lost=options.max_lost,
        textgrids=options.write_textgrids,
    )
