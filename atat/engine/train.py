"""Train a model as a YAML file says.

    atat train --config conf/pretrain.yaml --out exp/pretrain
    atat train --config conf/books.yaml --out exp/books --init exp/pretrain/model

Run again after an interruption, it continues where it stopped; after its end it does nothing,
unless `steps` has grown. `atat pack` makes a model from it at any time. With --check it says what
the largest batches take and trains nothing.
Several GPUs: torchrun --nproc_per_node 4 -m atat train ...
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from atat.base import cli, config, lock, machine, precision, torchrun
from atat.engine import forecast, named_model, pack, registry, run_folder

if TYPE_CHECKING:
    from atat.engine.contract import Packed, System
    from atat.engine.settings import RunSettings
    from atat.engine.trainer import Trainer

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = cli.Parser(
        prog="atat train",
        description=cli.guide(
            "Train a model as a YAML file says. After an interruption the same command "
            "continues the training. After its end it does nothing, unless `steps` has grown. "
            "On several GPUs: torchrun --nproc_per_node 4 -m atat train ...",
            "atat train --config conf/pretrain.yaml --out exp/pretrain",
            "atat train --config conf/books.yaml --out exp/books --init exp/pretrain/model",
            "atat train --config conf/pretrain.yaml --out exp/pretrain --check",
            "atat train --config conf/joint.yaml --out exp/joint2 --seed 2 --set optim.peak=1.0e-3",
            reads="CONFIG; what it names: data dirs with features or recordings, a tokenizer, "
            "CMVN; INIT, a packed model to start from.",
            writes="OUT/model, the packed model; OUT/checkpoint-*.pt; OUT/train.log and "
            "OUT/tensorboard; OUT/train.json, what the run was and took.",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        required=True,
        help="YAML file; its keys: atat/engine/settings.py, and those of its system, such as "
        "atat/systems/joint/settings.py",
    )
    parser.add_argument("--out", required=True, type=Path, help="folder of this run")
    parser.add_argument(
        "--init",
        help="packed model to start from (key init.model): its folder, an archive of it, "
        "hf:OWNER/NAME or demo:NAME",
    )
    parser.add_argument("--seed", type=int, help="instead of the one in the YAML file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value for a key of the YAML file, such as optim.factor=0.5; may be repeated",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="train nothing: try the largest batches, and say what they take in memory and time",
    )
    options = parser.parse_args(argv)
    with _one_voice():
        _train(options)


def _one_voice() -> AbstractContextManager[None]:
    """Several processes say once what is wrong. One alone need not load torch for that."""
    if not torchrun.is_launched():
        return nullcontext()
    from atat.engine import distributed

    return distributed.one_voice()


def _train(options: argparse.Namespace) -> None:
    overrides = list(options.set)
    if options.init:
        # A folder that has gone is missed by a training that needs it, not by a finished one.
        named = named_model.is_named(options.init)
        start = str(named_model.find(options.init) if named else options.init)
        overrides.append(f"init.model={json.dumps(start, ensure_ascii=False)}")  # --set reads YAML
    if options.seed is not None:
        overrides.append(f"seed={options.seed}")
    system, settings = registry.load_settings(options.config, overrides)
    if options.check:
        machine.tune()
        check(settings, options.out, system)
        return
    if _is_finished(options.out, settings):
        if torchrun.rank() == 0:
            print(f"{options.out}: finished before; remove the folder to train again")
        return
    machine.tune()
    train(settings, options.out, system)


def _is_finished(folder: Path, settings: RunSettings) -> bool:
    """Whether the training of the folder is done, as any machine sees it.

    Raises InputError if it was another one.
    """
    has_model = (folder / run_folder.MODEL).is_dir()
    finished = has_model and run_folder.finished_steps(folder) == settings.steps
    if finished:
        run_folder.check_same(folder, settings)
    if not torchrun.is_launched():
        return finished
    from atat.engine import distributed

    return str(True) in distributed.gather([str(finished)])


def check(settings: RunSettings, folder: Path, system: System) -> None:
    """Try the largest batches of a run and print what they take; writes nothing.

    Raises InputError for invalid settings or data, and where the memory is too small.
    """
    from atat.engine import assembly, distributed, rehearsal

    device = distributed.start()
    try:
        settings = replace(settings, precision=_agreed(_precision(settings, folder, device)))
        say = print if distributed.rank() == 0 else _nothing
        rehearsal.rehearse(assembly.build(system, settings, folder, device), say)
    finally:
        distributed.stop()


def _nothing(text: str) -> None:
    """Say nothing: the first process speaks for all."""


def train(settings: RunSettings, folder: Path, system: System | None = None) -> None:
    """Train, validate, average and pack. Raises InputError for invalid settings or data."""
    from atat.engine import assembly, distributed

    system = system or registry.find(settings.system, "key `system`")
    device = distributed.start()
    with ExitStack() as stack:
        stack.callback(distributed.stop)
        found = _precision(settings, folder, device)
        if distributed.rank() == 0:
            # torchrun may have started this again after the loss of the machine that held it.
            patience = lock.LOST if torchrun.max_restarts() else 0.0
            stack.enter_context(lock.hold(folder, "a training", patience=patience))
            found = _precision(settings, folder, device)  # as in the folder, which is ours now
            run_folder.open_for(folder, replace(settings, precision=found.name))
            stack.enter_context(run_folder.logging_to(folder))
            precision.announce(found)
        settings = replace(settings, precision=_agreed(found))
        trainer = assembly.build(system, settings, folder, device)
        packed = trainer.parts.packed
        if distributed.rank() == 0:
            pack.save_start(folder, packed)
        trainer.resume()
        if distributed.rank() == 0:
            _settle_steps(trainer)
        distributed.barrier()
        _announce(trainer)
        trainer.run()
        if distributed.rank() == 0:
            _pack(trainer, packed)
        distributed.barrier()


def _precision(settings: RunSettings, folder: Path, device: Any) -> precision.Resolved:
    """The precision of the settings; for auto, that of the run in the folder, if there is one."""
    if settings.precision == "auto" and run_folder.is_begun(folder):
        begun = config.read_yaml(folder / "config.yaml").get("precision", "fp32")
        return precision.resolve(begun, device, "as the run was begun")
    return precision.resolve(settings.precision, device)


def _agreed(found: precision.Resolved) -> Literal["fp32", "bf16"]:
    """The precision of the first process, once it has one: machines may differ in what they have,
    and in how soon they see a file that another has written."""
    from atat.engine import distributed

    return "bf16" if distributed.gather([found.name])[0] == "bf16" else "fp32"


def _settle_steps(trainer: Trainer) -> None:
    from atat.engine.trainer import tell

    change = run_folder.settle_steps(
        trainer.folder,
        trainer.settings,
        done=trainer.progress.step,
        width=trainer.optimizer.width,
    )
    if change is not None:
        tell(change)


def _announce(trainer: Trainer) -> None:
    """Say what will be trained, and warn if it takes very long."""
    from atat.engine import assembly, distributed
    from atat.engine.trainer import tell

    settings, left = trainer.settings, trainer.settings.steps - trainer.progress.step
    if distributed.rank() > 0 or left <= 0:
        return
    shares = [
        forecast.SourceLoad(
            source.data, len(source), assembly.seconds(source), source.states, source.weight
        )
        for source in trainer.parts.train
    ]
    training = sum(parameter.numel() for parameter in trainer.optimizer.parameters())
    whole = sum(parameter.numel() for parameter in trainer.model.parameters())
    device, ranks = trainer.device, distributed.size()
    where = device_text(device) + (f" and {ranks - 1} more" if ranks > 1 else "")
    tell(
        f"{trainer.folder}: "
        + forecast.opening(
            settings, shares, (whole, training), where, settings.precision, trainer.progress.step
        )
    )
    for warning in trainer.optimizer.warnings():
        logger.warning("%s", warning)
    if device.type == "cpu" and ranks == 1:
        states = forecast.states_of_a_step(shares, settings.batch.examples)
        slow = forecast.cpu_warning(training, states, left, forecast.product_speed())
        if slow:
            logger.warning("%s", slow)


def device_text(device: Any) -> str:
    """The name of a GPU, or the CPU with its number of threads."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"the CPU ({threads} thread{'s' if threads > 1 else ''})"


def _pack(trainer: Trainer, packed: Packed) -> None:
    """Write exp/<name>/model and train.json."""
    from atat.engine.trainer import tell

    folder = trainer.folder
    model = folder / run_folder.MODEL
    with (
        lock.hold(folder, "packing", file=pack.LOCK, wait=True),
        lock.hold_name(model, "packing", wait=True),
    ):
        weights, chosen = pack.weights_of(pack.chosen_by(trainer.settings, folder))
        before = pack.card_of(model)
        lost = pack.replace_model(model, packed, weights)
        shutil.rmtree(folder / run_folder.START, ignore_errors=True)  # the model has all of it
        facts = pack.facts_of(packed, vars(trainer.progress), trainer.settings, chosen)
        run_folder.write_facts(folder, facts)
        pack.describe(folder, model, before)
    if lost:
        tell(lost)
