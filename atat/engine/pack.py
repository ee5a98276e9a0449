"""Make a model from a training's checkpoints, at any time: while it runs, after an interruption,
after its end.

    atat pack exp/joint                    # as the training itself would at its end
    atat pack exp/joint --average 3 --out exp/joint/mean3

The training is not changed and continues as before. Data and start model are not needed. Knows
nothing of how a model is trained.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atat.base import calibration, checksums, cli, digests, lock
from atat.base.calibration import Calibration
from atat.base.errors import InputError
from atat.base.provenance import provenance
from atat.engine import registry, run_folder
from atat.engine.run_folder import MODEL, START
from atat.engine.settings import RunSettings

if TYPE_CHECKING:
    from atat.engine.contract import Packed
    from atat.engine.model_card import About

LOCK = ".pack.lock"


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = cli.Parser(
        prog="atat pack",
        description=cli.guide(
            "Make a model of a training's checkpoints, at any time: while it runs, when it "
            "was interrupted, when it has ended. The training itself is not changed.",
            "atat pack exp/joint",
            "atat pack exp/joint --average 3 --out exp/joint/mean3",
            reads="RUN, the folder of a training. Its data and the model it started from are "
            "not needed.",
            writes="OUT, a packed model; without --out RUN/model.",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="folder of a training (--out of atat train)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--best", action="store_true", help="the best checkpoint by validation")
    which.add_argument("--average", type=int, metavar="N", help="mean of the last N checkpoints")
    which.add_argument("--checkpoint", type=Path, metavar="FILE", help="this checkpoint")
    parser.add_argument("--out", type=Path, help="folder of the new model; default: RUN/model")
    options = parser.parse_args(argv)
    settings = _settings(options.run)
    out = options.out or options.run / MODEL
    _check_out(out, options.run)
    paths = asked(options.run, settings, options.best, options.average, options.checkpoint)
    with (
        lock.hold(options.run, "packing", file=LOCK),
        lock.hold_name(out, f"packing of {options.run}"),
    ):
        chosen = pack(options.run, paths, out)
    print(f"{out}: made of {chosen}")


def asked(
    run: Path, settings: RunSettings, best: bool, average: int | None, file: Path | None
) -> list[Path]:
    """The checkpoints that the options name. Raises InputError if there are fewer."""
    from atat.engine import checkpoint

    if average is not None:
        found = checkpoint.scheduled(run, settings.checkpoint_every) if any_in(run) else []
        if not 1 <= average <= len(found):
            raise InputError(
                f"--average {average}: {run} has {len(found)} checkpoints of every "
                f"{settings.checkpoint_every} steps (valid.keep_last and valid.average keep more)"
            )
        return found[-average:]
    if best and not (run / checkpoint.BEST).is_file():
        raise InputError(
            f"{run}: no {checkpoint.BEST}; it is written at a validation, every "
            f"{settings.valid.every} steps where valid.sources are given"
        )
    if file is not None or best:
        return [file or run / checkpoint.BEST]
    return chosen_by(settings, run)


def chosen_by(settings: RunSettings, run: Path) -> list[Path]:
    """The checkpoints from which a run with these settings makes its model.

    The last ones (their mean), the best one or, without validation, the newest. Raises
    InputError if there is none yet.
    """
    from atat.engine import checkpoint

    if not any_in(run):
        raise InputError(
            f"{run}: no checkpoint yet; the first is written after {settings.checkpoint_every} "
            "steps (checkpoint_every), or when the training is interrupted"
        )
    if settings.valid.average > 0:
        return checkpoint.scheduled(run, settings.checkpoint_every)[-settings.valid.average :]
    best = run / checkpoint.BEST
    return [best if best.is_file() else checkpoint.paths_in(run)[-1]]


def any_in(run: Path) -> bool:
    """Whether a run has checkpoints."""
    from atat.engine import checkpoint

    return bool(checkpoint.paths_in(run))


def pack(run: Path, paths: Sequence[Path], out: Path) -> str:
    """Write the mean of the checkpoints as a packed model; returns what it was made of, in words.

    If it is the run's own model, train.json is written with it.
    """
    from atat.engine import model_folder

    known = [run / name for name in (MODEL, START) if (run / name).is_dir()]
    if not known:
        raise InputError(
            f"{run}: no {START}/, which a training writes before its first step: run the same "
            "training command again until the training has begun"
        )
    packed = model_folder.load(known[0])
    weights, chosen = weights_of(paths)
    try:
        packed.model.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{paths[-1]}: not a checkpoint of this run: {str(error).splitlines()[-1].strip()}"
        ) from None
    before = card_of(out)
    facts = _facts_now(run, packed, chosen) if is_own(out, run) else None
    lost = replace_model(out, packed)
    if facts is not None:
        run_folder.write_facts(run, facts)
    describe(run, out, before)
    if lost:
        print(lost)
    return chosen


def replace_model(model: Path, packed: Packed, weights: dict[str, Any] | None = None) -> str | None:
    """Write a run's model, to be described next.

    The calibration of the one in its place stays if the weights do; else returns a sentence on it.
    """
    from atat.engine import model_folder

    file = model / model_folder.WEIGHTS
    fitted, of = None, ""
    with suppress(InputError, OSError):  # damaged, with the model
        fitted = Calibration.read(model)
        of = digests.of_file(file) if fitted is not None else ""
    model_folder.save(model, packed, weights)
    if fitted is None:
        return None
    if digests.of_file(file) != of:
        return calibration.not_kept("the model before", model)
    (model / checksums.NAME).unlink()  # until it is described: a folder without is not checked
    fitted.write(model)
    return None


def card_of(model: Path) -> About | None:
    """What the card of a model that is to be replaced says; None if nobody can tell."""
    from atat.engine import model_card

    with suppress(InputError):  # damaged, with the model
        return model_card.read(model)
    return None


def describe(run: Path, model: Path, before: About | None) -> None:
    """Write the card of a run's model, with what it scored in the decodings beside it.

    before: of the model in whose place it is; its name, licence and notes stay.
    """
    from dataclasses import replace

    from atat.engine import model_card

    about = model_card.said_before(model_card.of_run(run, _settings(run)), before)
    about = replace(about, encoder=model_card.encoder_of(model))
    results, _ = model_card.results_of(model, run.glob("decode_*"))
    model_card.write(model, replace(about, results=tuple(results)))


def save_start(run: Path, packed: Packed) -> None:
    """Store everything a model of this run needs besides weights, until the run has a model."""
    from atat.engine import model_folder

    if not (run / MODEL).is_dir() and not (run / START).is_dir():
        model_folder.save(run / START, packed)


def facts_of(
    packed: Packed, progress: Mapping[str, Any], settings: RunSettings, chosen: str
) -> dict[str, Any]:
    """What train.json says about a run with this progress, and about its model."""
    return {
        "finished": progress["step"] >= settings.steps,
        "steps": progress["step"],
        "wall_seconds": progress["wall_seconds"],
        "audio_seconds": progress["audio_seconds"],
        "parameters": sum(p.numel() for p in packed.model.parameters()),
        "seed": settings.seed,
        "precision": settings.precision,
        "chosen": chosen,
        "validations": progress["validations"],
        "provenance": provenance(),
    }


def _facts_now(run: Path, packed: Packed, chosen: str) -> dict[str, Any]:
    """train.json after the user made the run's model again.

    Raises InputError while there is no checkpoint.
    """
    from atat.engine import checkpoint

    settings = _settings(run)
    before = run_folder.facts(run)
    if before is not None and before.get("finished") and before["steps"] >= settings.steps:
        return before | {"chosen": chosen}  # the facts of the training stay true
    state, _ = checkpoint.newest(run)
    if state is None:
        raise InputError(
            f"{run}: no checkpoint-*.pt yet, which says where the training stands; the first is "
            f"written after {settings.checkpoint_every} steps (checkpoint_every). To make a model "
            "elsewhere, give --out"
        )
    return facts_of(packed, state["progress"], settings, chosen)


def weights_of(paths: Sequence[Path]) -> tuple[dict[str, Any], str]:
    """The mean of the weights in checkpoints, and a description in words."""
    from atat.engine import checkpoint

    if len(paths) > 1:
        return checkpoint.average(paths), f"mean of {len(paths)} checkpoints"
    state = checkpoint.load(paths[0])
    step = state["step"] if "step" in state else state["progress"]["step"]
    return state["model"], f"step {step}"


def is_own(out: Path, run: Path) -> bool:
    """Whether this is the folder of the run's own model."""
    return out.resolve() == (run / MODEL).resolve()


def _check_out(out: Path, run: Path) -> None:
    if out.exists() and not is_own(out, run):
        raise InputError(f"{out}: exists already; give another --out, or remove it")


def _settings(run: Path) -> RunSettings:
    path = run / "config.yaml"
    if not path.is_file():
        raise InputError(f"{run}: no config.yaml, so not a training folder (--out of atat train)")
    if (run / "model.safetensors").is_file():
        raise InputError(
            f"{run}: is a packed model already; expected the folder of a training (--out of atat "
            "train)"
        )
    return registry.load_settings(path)[1]
