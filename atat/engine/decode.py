"""Decode a data dir with a packed model: hypotheses and n-best lists, batched, on all cores.

    atat decode exp/pretrain/model --data data/test --task slu \\
        --out exp/pretrain/decode_test

After an interruption it continues where it stopped; after the end it returns at once.

An utterance with bad features or audio (missing, damaged, NaN, those of another utterance) gets an
empty hypothesis, which scoring counts as wrong; such utterances are named, counted and listed in
decode.json (`lost`). More than --max_lost of them are an error: the figure would not describe the
model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atat.base import cli, lock, machine, precision
from atat.base.errors import InputError
from atat.base.json_file import read_object_or_none
from atat.base.provenance import provenance
from atat.datadir import contents, fingerprint, kaldi_dir
from atat.datadir.kaldi_dir import Utterance
from atat.datadir.lost import describe, refuse_too_many
from atat.engine import named_model, partial, registry
from atat.scoring import decoded_dir
from atat.text.search_options import SearchOptions
from atat.text.tasks import Task

if TYPE_CHECKING:
    from atat.engine.contract import Recognizer


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = cli.Parser(
        prog="atat decode",
        description=cli.guide(
            "Decode a data dir with a packed model. After an interruption the same command "
            "continues; finished, it returns at once. An utterance that cannot be read gets "
            "an empty hypothesis, which scoring counts as wrong; more than --max_lost of them "
            "are an error.",
            "atat decode exp/joint/model --data data/test --task slu --out exp/joint/decode_test",
            "atat decode exp/joint/model --data data/test --task asr --out "
            "exp/joint/decode_test_asr",
            reads="MODEL, a packed model; DATA, with feats.scp or wav.scp, or text for tasks "
            "that read text.",
            writes="OUT/hyp, the best hypothesis of each utterance; OUT/nbest.jsonl, the "
            "others with their scores; OUT/decode.json, how it was decoded and which "
            "utterances were lost.",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    named_model.add_argument(parser)
    parser.add_argument("--data", required=True, type=Path, help="data dir to decode")
    parser.add_argument(
        "--task",
        default="slu",
        help="asr, slu, nlu, mlm, or another of its system (slu)",
    )
    parser.add_argument("--out", required=True, type=Path, help="folder of the hypotheses")
    parser.add_argument("--beam", type=int, default=4, help="width of the search (4, as the paper)")
    parser.add_argument(
        "--nbest", type=int, default=4, help="hypotheses kept of each utterance (4)"
    )
    parser.add_argument(
        "--max_length", type=int, default=200, help="most tokens of an output (200)"
    )
    parser.add_argument(
        "--extra_length",
        type=int,
        default=30,
        help="tokens an output may have beyond one for each state of the audio, or four for each "
        "token of the text (30); --max_length holds all the same",
    )
    parser.add_argument(
        "--length_exponent",
        type=float,
        default=1.0,
        help="a score is the log probability / length ** this (1.0)",
    )
    parser.add_argument(
        "--ctc_weight",
        type=float,
        default=0.0,
        help="how much the CTC head has to say about the words of recordings, the decoder having "
        "the rest (0: nothing); egs/barista gained a little with 0.1, and lost with 0.3",
    )
    parser.add_argument(
        "--bridge",
        type=float,
        nargs="?",
        const=1.0,
        default=0.0,
        metavar="SHARE",
        help="let recordings reach the decoder through the text encoder; for models trained with "
        "`model.bridge`, and what they learned from text alone. With a SHARE below 1 it reads the "
        "audio's own memory, too, and their log probabilities are weighted",
    )
    parser.add_argument(
        "--well_formed",
        action="store_true",
        help="let only well-formed trees out, with parent-child pairs seen in training",
    )
    parser.add_argument(
        "--any_pair", action="store_true", help="with --well_formed: also pairs never seen"
    )
    parser.add_argument(
        "--values",
        type=Path,
        metavar="DATA",
        help="with --well_formed: slots have only the values that the trees of this data dir give "
        "them, such as the songs of a catalogue; slots that it does not have take any words",
    )
    parser.add_argument("--max_frames", type=int, default=16000, help="padded frames of a batch")
    parser.add_argument("--max_tokens", type=int, default=2000, help="padded tokens of a batch")
    parser.add_argument(
        "--max_lost",
        type=float,
        default=0.01,
        help="share of utterances that may be unreadable; each counts as wrong (0.01)",
    )
    parser.add_argument(
        "--precision",
        default="auto",
        choices=precision.CHOICES,
        help="of products; auto: bf16 where the hardware has it, fp32 elsewhere",
    )
    cli.add_device(parser, auto=True)
    parser.add_argument(
        "--nj",
        type=int,
        help="processes on a CPU, each on one core (as many as OMP_NUM_THREADS says, or cores); "
        "they change which utterances are a batch, and so the last digits of scores; a GPU has one",
    )
    options = parser.parse_args(argv)
    _search(options)  # what cannot be is refused before anything is read
    if options.values is not None and not options.well_formed:
        raise InputError("--values is for --well_formed decoding: give both")
    cli.check_positive(options, "max_frames", "max_tokens", "nj")
    options.model = named_model.find(options.model)
    task = task_of(options.model, options.task)
    if is_finished(options, task):
        print(f"{options.out}: finished before; remove the folder to decode again")
        return
    machine.tune()
    with lock.hold(options.out, f"decoding of {options.data}"):
        decode(options, task)


def _search(options: argparse.Namespace) -> SearchOptions:
    """How to search; InputError, naming the option, where nothing could be found so."""
    given = {field.name: getattr(options, field.name) for field in fields(SearchOptions)}
    try:
        search = SearchOptions(**given)
        if options.well_formed:
            search.check_trees()
    except InputError as error:
        raise InputError(f"--{error}") from None
    return replace(search, nbest=min(search.nbest, search.beam))


def task_of(model: Path, name: str) -> Task:
    """The task, of a packed model's system; InputError if the model or the task is invalid."""
    if not (model / registry.CONFIG).is_file():
        from atat.engine import model_folder

        model_folder.check(model)
    system = registry.of_model(model)
    if name not in system.tasks:
        raise InputError(
            f"--task {name}: unknown to the model's system ({system.name}); its tasks: "
            f"{', '.join(system.tasks)}"
        )
    return system.tasks[name]


def is_finished(options: argparse.Namespace, task: Task) -> bool:
    """Whether this decoding is finished and its model and data are unchanged."""
    about = read_object_or_none(options.out / "decode.json")  # torn: decoded again
    if about is None or "inputs" not in about:
        return False
    same = not fingerprint.changed(about["inputs"], _inputs(options, task))
    return same and _same_options(about.get("options"), options)


def _same_options(before: Any, options: argparse.Namespace) -> bool:
    """Whether a decoding was made with these options; auto matches any precision.

    An option that did not exist then is the same where it is not used now.
    """
    if not isinstance(before, dict):
        return False
    now = _named(options)
    if options.precision == "auto":
        now["precision"] = before.get("precision")
    unused = {name: value for name, value in now.items() if not value}
    return bool({**unused, **before} == now)


def _inputs(options: argparse.Namespace, task: Task) -> dict[str, str]:
    """Digests of the files that a decoding reads."""
    known = [options.data] if options.values is None else [options.data, options.values]
    found = fingerprint.of_data(known) | fingerprint.of_model(options.model)
    if task.source != "audio":
        return found
    kind = "wav" if _hears(options) == "wav" else None
    return found | fingerprint.of_sound(options.data, kind)


def _hears(options: argparse.Namespace) -> str:
    """What the model reads of a data dir that has both: feats, or wav."""
    return registry.of_model(options.model).hears(options.model)


def decode(options: argparse.Namespace, task: Task) -> None:
    """Decode and write `hyp`, `nbest.jsonl` and `decode.json`."""
    from atat.engine import model_folder

    made_from = _inputs(options, task)  # before they are read
    utterances = kaldi_dir.load(options.data)
    if not utterances:
        raise InputError(f"{options.data}/utt2spk: empty, there is nothing to decode")
    if task.source == "audio" and _hears(options) == "wav":
        utterances = [_recording_of(one, options) for one in utterances]
    lost = _find_faults(utterances, options) if task.source == "audio" else {}
    device, nj = machine.device_and_processes(options.device, options.nj)
    packed = model_folder.load(options.model, device)
    recognizer = registry.find(packed.system, str(options.model)).recognizer(
        packed,
        **asdict(_search(options)),
        well_formed=options.well_formed,
        any_pair=options.any_pair,
        values=options.values,
        precision=_begun_with(options, made_from),
    )
    print(f"{options.out}: precision {recognizer.resolved}")
    options = argparse.Namespace(**{**vars(options), "precision": recognizer.precision})
    recognizer.check_task(options.task)
    options.out.mkdir(parents=True, exist_ok=True)
    done, seconds = partial.read(options.out, {"options": _named(options), "inputs": made_from})
    for name in lost.keys() - done.keys():
        done[name] = {"utt": name, "nbest": decoded_dir.unread(lost[name])}
    seconds += _decode_rest(recognizer, task, utterances, done, seconds, options, nj)
    lost = decoded_dir.lost({name: entry["nbest"] for name, entry in done.items()})
    _refuse_too_many(lost, utterances, options)
    if lost:
        print(
            f"warning: {_message(lost, utterances, options)}\neach has an empty hypothesis, which "
            "counts as wrong",
            file=sys.stderr,
        )
    _write(done, task, utterances, seconds, options, made_from)


def _recording_of(utterance: Utterance, options: argparse.Namespace) -> Utterance:
    """The same utterance without the features that a data dir may have of it."""
    if utterance.wav is None:
        raise InputError(
            f"{options.data}/wav.scp: no recording of {utterance.id}, but the model reads "
            "recordings, not stored features"
        )
    return replace(utterance, feats=None, num_frames=None)


def _find_faults(utterances: list[Utterance], options: argparse.Namespace) -> dict[str, str]:
    """Utterances that are known to be unreadable before decoding starts, with the reason."""
    from atat.engine.decode_workers import check_has_sound

    check_has_sound(utterances)
    without = [utterance for utterance in utterances if utterance.feats is None]
    kaldi_dir.refuse_pipes(options.data, without, "decoding without feats.scp")
    kind = "wav" if without else "feats"
    lost = {
        name: f"utterance {name}: {why}"
        for name, why in contents.faults(options.data, utterances, kind).items()
    }
    _refuse_too_many(lost, utterances, options)
    return lost


def _refuse_too_many(
    lost: Mapping[str, str], utterances: list[Utterance], options: argparse.Namespace
) -> None:
    message = _message(lost, utterances, options)
    fix = "fix or drop them (atat datadir repair)"
    refuse_too_many(lost, len(utterances), options.max_lost, message, fix)


def _message(
    lost: Mapping[str, str], utterances: list[Utterance], options: argparse.Namespace
) -> str:
    return describe(lost, len(utterances), "cannot be read", data=options.data)


def _decode_rest(
    recognizer: Recognizer,
    task: Task,
    utterances: list[Utterance],
    done: dict[str, Any],
    before: float,
    options: argparse.Namespace,
    nj: int,
) -> float:
    """Decode the remaining utterances, appending to the partial file; returns the seconds."""
    from atat.engine.decode_workers import DecodeBatches, decode_all

    audio = task.source == "audio"
    budget = options.max_frames if audio else options.max_tokens
    left = [utterance for utterance in utterances if utterance.id not in done]
    without = [] if audio else [utterance.id for utterance in left if utterance.text is None]
    if without:
        raise InputError(
            f"{options.data}/text: no line for {without[0]} ({len(without)} utterances in all)"
        )
    batches = DecodeBatches(recognizer, options.task, left, budget, nj)
    return partial.add(
        options.out,
        decode_all(batches, nj),
        done,
        before,
        is_lost=lambda entry: "lost" in entry["nbest"][0],
        total=len(utterances),
        title=f"decode {options.data.name}",
    )


def _named(options: argparse.Namespace) -> dict[str, Any]:
    """The options as JSON values, without those that change at most the last digits."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(options).items()
        if name not in ("device", "nj", "max_lost")
    }


def _begun_with(options: argparse.Namespace, made_from: dict[str, str]) -> str:
    """The requested precision; for auto, that of an interrupted run that is continued."""
    before = partial.begun(options.out)
    same = before.get("inputs") == made_from and _same_options(before.get("options"), options)
    if options.precision == "auto" and same:
        return str(before["options"]["precision"])
    return str(options.precision)


def _write(
    done: dict[str, Any],
    task: Task,
    utterances: list[Utterance],
    seconds: float,
    options: argparse.Namespace,
    made_from: dict[str, str],
) -> None:
    out = options.out
    at_limit = sum(bool(entry["nbest"][0].get("at_limit")) for entry in done.values())
    if at_limit:
        print(
            f"{out}: {at_limit} of {len(done)} outputs ended at the length limit and may be cut; "
            "a larger --max_length or --extra_length lets them go on"
        )
    about = {
        "task": options.task,
        "target": task.target,
        "data": str(options.data),
        "model": str(options.model),
        "beam": options.beam,
        "well_formed": options.well_formed,
        "values": None if options.values is None else str(options.values),
        "precision": options.precision,
        "utterances": len(utterances),
        "at_limit": at_limit,  # outputs that the length limit ended
        "audio_seconds": kaldi_dir.total_seconds(options.data, utterances),
        "wall_seconds": seconds,
        "lost": decoded_dir.lost({name: entry["nbest"] for name, entry in done.items()}),
        "options": _named(options),
        "inputs": made_from,
        "provenance": provenance(),
    }
    decoded_dir.write(out, {name: entry["nbest"] for name, entry in done.items()}, about)
    partial.remove(out)
