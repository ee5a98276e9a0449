"""Data dirs of other recipes, gathered for pretraining: checked for what their task needs, linked.

    python local/gather.py --slu ../synthetic_tts/data/full/train_music --dev_slu ... \\
        --asr ../librispeech/data/train/asr --dev_asr ... --models two_tasks three_tasks --out data

writes `OUT/parts/<role>_<n>_<name>`, a copy of the tables of each data dir (no audio is copied,
and nothing is written where they come from), and `OUT/sources`, what was gathered. Features that
are there are taken over when they are those of `atat features` (of --encoder, where it is given);
of another kind they are left out, to be made again from the audio. Utterances without word times
are counted; more than --max_lost of them stops, where a model learns mlm. join.py joins the parts.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atat.base import cli, pipes
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.datadir import ark, feats_type, kaldi_dir
from atat.datadir.ctm import read_ctm
from atat.datadir.edit import subset
from atat.speech import audio, frontend
from atat.speech.frontend import Frontend, Lfb

# Mean difference to our own features: 0.02 after compression; whitened ones are whole units away.
SAME = 0.3
# What tells of the features of a data dir.
FEATURES = (*feats_type.FILES, "cmvn.scp")


@dataclass(frozen=True)
class Role:
    """What the data dirs of one option are for and must have."""

    needs: tuple[str, ...]  # tables
    hears: bool  # whether it needs audio or features


ROLES = {
    "slu": Role(("text", "semantics"), hears=True),
    "asr": Role(("text",), hears=True),
    "nlu": Role(("text", "semantics"), hears=False),
}
MENDS = {
    "text": "transcripts, normalised as atat.text.normalize writes them",
    "semantics": "trees; a dir without them can be given to --asr",
}
MODELS = {
    "two_tasks": ("slu", "asr"),
    "three_tasks": ("slu", "asr", "mlm"),
    "four_tasks": ("slu", "asr", "mlm", "nlu"),
}


def tasks_of(models: Sequence[str]) -> set[str]:
    """The tasks that some of the models learn; InputError for an unknown model."""
    for model in models:
        if model not in MODELS:
            raise InputError(f"--models {model}: unknown; there are {', '.join(MODELS)}")
    return {task for model in models for task in MODELS[model]}


def check(
    folder: Path, option: str, masked: bool, max_lost: float, made_by: Frontend
) -> list[kaldi_dir.Utterance]:
    """The utterances of a data dir that can be what `option` (slu, dev_asr, ...) is for.

    Raises InputError that names the dir and the fix. `masked`: its words need times, too. made_by:
    what makes features.
    """
    role = ROLES[option.removeprefix("dev_")]
    if not (folder / "utt2spk").is_file():
        raise InputError(
            f"--{option} {folder}: no data dir (it has no utt2spk); give dirs that "
            "another recipe has made, such as ../librispeech/data/train/asr"
        )
    utterances = kaldi_dir.load(folder)
    if not utterances:
        raise InputError(f"--{option} {folder}: no utterances; make it again or leave it out")
    for name in role.needs:
        if getattr(utterances[0], name) is None:
            raise InputError(
                f"--{option} {folder}: there is no `{name}`, which "
                f"{option.removeprefix('dev_')} needs: {MENDS[name]}"
            )
    if role.hears:
        _check_audio(folder, option, utterances, made_by)
    if masked:
        _check_times(folder, option, utterances, max_lost)
    return utterances


def has_features(folder: Path, made_by: Frontend) -> bool:
    """Whether a data dir has features of the kind wanted."""
    found = feats_type.read(folder)
    return (folder / "feats.scp").is_file() and frontend.alike(found, made_by.kind)


def _check_audio(
    folder: Path, option: str, utterances: Sequence[kaldi_dir.Utterance], made_by: Frontend
) -> None:
    first = utterances[0]
    if not has_features(folder, made_by):
        kaldi_dir.refuse_pipes(folder, utterances, f"--{option} without features {made_by.kind}")
        if first.wav is None and first.feats is None:
            raise InputError(
                f"--{option} {folder}: text only, neither wav.scp nor feats.scp; give dirs with "
                "speech, or this one to --nlu; voices come from: atat synthesis"
            )
        if first.wav is None:
            raise InputError(
                f"--{option} {folder}: its features are {feats_type.read(folder)}, expected "
                f"{made_by.kind}; there is no wav.scp to make these from, give a dir with audio"
            )
        return
    assert first.feats is not None, "feats.scp has every utterance"
    features = ark.read(first.feats)
    fix = (
        f"; compute them again: atat features {frontend.features_option(made_by)} --data {folder} "
        "--arks DIR, or remove its feats.scp"
    )
    if features.shape[1] != made_by.dim:
        raise InputError(
            f"--{option} {folder}: features of {features.shape[1]} bins, expected "
            f"{made_by.dim}{fix}"
        )
    if first.wav is not None and not pipes.is_pipe(first.wav):
        own = made_by(audio.load(first.wav, first.start, first.end))
        if own.shape != features.shape or np.abs(own - features).mean() > SAME:
            raise InputError(
                f"--{option} {folder}: the features of {first.id} are not those that "
                f"atat features makes of its audio (other options, CMVN?){fix}"
            )


def _check_times(
    folder: Path, option: str, utterances: Sequence[kaldi_dir.Utterance], max_lost: float
) -> None:
    make = (
        f"make them: atat align --backend pocketsphinx --data {folder}; or train "
        "without mlm: --models two_tasks"
    )
    if not (folder / "ctm").is_file():
        raise InputError(
            f"--{option} {folder}: there is no `ctm`, the times of words, which mlm needs; {make}"
        )
    timed = read_ctm(folder / "ctm")
    lost = sum(not timed.get(utterance.id) for utterance in utterances)
    if lost:
        print(
            f"{folder}: {lost} of {len(utterances)} utterances have no word times; they stay in "
            "asr and are left out of mlm"
        )
    if lost > max_lost * len(utterances):
        raise InputError(
            f"--{option} {folder}: {lost} of {len(utterances)} utterances have no "
            f"word times in ctm, more than --max_lost {max_lost:g}; {make}"
        )


def refuse_repeats(option: str, found: Mapping[Path, Sequence[kaldi_dir.Utterance]]) -> None:
    """Raise InputError for an utterance id that stands in two of the dirs of one option."""
    places: dict[str, Path] = {}
    for folder, utterances in found.items():
        for utterance in utterances:
            if utterance.id in places:
                raise InputError(
                    f"--{option} {folder}: {utterance.id!r} is also in "
                    f"{places[utterance.id]}; give each utterance once"
                )
            places[utterance.id] = folder


def remember(path: Path, lines: Sequence[str]) -> None:
    """Write what was gathered; InputError where models may have been trained on something else."""
    content = "".join(f"{line}\n" for line in lines)
    if path.is_file() and (before := path.read_text(encoding="utf-8")) != content:
        old = [line for line in before.splitlines() if line not in lines]
        new = [line for line in lines if line not in before.splitlines()]
        raise InputError(
            f"{path}: gathered before from {'; '.join(old) or 'less'}, now from "
            f"{'; '.join(new) or 'less'}. Take another --data and --exp for it, or remove "
            f"{path.parent} and the models trained on it"
        )
    with atomic_write(path) as stream:
        stream.write(content)


def gather(
    options: Mapping[str, Sequence[Path]],
    out: Path,
    masked: bool,
    max_lost: float,
    made_by: Frontend = Lfb(),
) -> None:
    """Check the data dirs of all options, then write their parts."""
    found = {}
    for option, folders in options.items():
        found[option] = {
            folder: check(folder, option, masked and option == "asr", max_lost, made_by)
            for folder in folders
        }
        refuse_repeats(option, found[option])
    sources = [
        f"--{option} {folder.resolve()} ({len(utterances)} utterances)"
        for option, dirs in found.items()
        for folder, utterances in dirs.items()
    ]
    if made_by.origin is not None:
        sources.append(f"--encoder {made_by.kind}")
    remember(out / "sources", sources)
    shutil.rmtree(out / "parts", ignore_errors=True)
    for option, dirs in found.items():
        role = option if option.startswith("dev_") else f"train_{option}"
        for number, folder in enumerate(dirs, 1):
            part = out / "parts" / f"{role}_{number}_{folder.resolve().name}"
            count = subset(folder, part, lambda data: list(data.speakers))
            said = f"{part}: {count} utterances of {folder}"
            if ROLES[option.removeprefix("dev_")].hears:
                kept = has_features(part, made_by)
                said += f", features {made_by.kind} are there" if kept else ", features to be made"
                if not kept:
                    for name in FEATURES:
                        (part / name).unlink(missing_ok=True)
            print(said)


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/gather.py --slu "
        "../synthetic_tts/data/full/train_music --dev_slu ../synthetic_tts/data/full/dev_music "
        "--asr ../librispeech/data/train/asr --dev_asr ../librispeech/data/train/dev --out data",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--slu", type=Path, nargs="+", required=True, help="speech with meaning")
    add("--asr", type=Path, nargs="+", required=True, help="speech with transcripts and ctm")
    add("--nlu", type=Path, nargs="*", default=[], help="text with meaning; those of --slu if none")
    add("--dev_slu", type=Path, nargs="+", required=True, help="speech with meaning, to choose by")
    add("--dev_asr", type=Path, nargs="+", required=True, help="speech, to choose by")
    add("--dev_nlu", type=Path, nargs="*", default=[], help="those of --dev_slu if none")
    add("--encoder", help="features are the states of this speech encoder, not LFB")
    add("--models", nargs="+", default=list(MODELS), help="confs that will be trained")
    add("--out", type=Path, default=Path("data"), help="where the parts go")
    add("--max_lost", type=float, default=0.01, help="share that may have no word times")
    options = parser.parse_args(argv)
    tasks = tasks_of(options.models)
    chosen = {
        "slu": options.slu,
        "dev_slu": options.dev_slu,
        "asr": options.asr,
        "dev_asr": options.dev_asr,
        # Whatever is trained now, so that all models have the same word pieces.
        "nlu": options.nlu or options.slu,
        "dev_nlu": options.dev_nlu or options.dev_slu,
    }
    made_by = frontend.find(options.encoder) if options.encoder else Lfb()
    gather(chosen, options.out, "mlm" in tasks, options.max_lost, made_by)


if __name__ == "__main__":
    cli.run(main)
