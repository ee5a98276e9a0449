"""Train a model as a YAML file says.

    atat train --config conf/pretrain.yaml --out exp/pretrain
    atat train --config conf/books.yaml --out exp/books --init exp/pretrain/model

Run again after an interruption, it goes on where it stopped; after the end it does nothing, unless
there are more steps now. `atat pack` makes a model of it at any time.
Several GPUs: torchrun --nproc_per_node 4 -m atat train ...
"""

from __future__ import annotations

import argparse
import logging
import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atat.base import config, lock, machine, precision
from atat.base.errors import InputError
from atat.engine import forecast, pack, run_folder
from atat.engine.settings import TrainSettings
from atat.systems.joint.tasks import TASKS

if TYPE_CHECKING:
    from atat.engine.model_folder import Packed
    from atat.engine.trainer import Trainer
    from atat.systems.joint.data import TaskData

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="atat train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", required=True, help="YAML file; its keys: atat/engine/settings.py"
    )
    parser.add_argument("--out", required=True, type=Path, help="folder of this run")
    parser.add_argument("--init", help="packed model to start from (key init.model)")
    parser.add_argument("--seed", type=int, help="instead of the one in the YAML file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value for a key of the YAML file, such as optim.factor=0.5; may be repeated",
    )
    options = parser.parse_args(argv)
    overrides = list(options.set)
    if options.init:
        overrides.append(f"init.model={options.init}")
    if options.seed is not None:
        overrides.append(f"seed={options.seed}")
    settings = config.load(options.config, TrainSettings, overrides)
    has_model = (options.out / run_folder.MODEL).is_dir()
    if has_model and run_folder.finished_steps(options.out) == settings.steps:
        run_folder.check_same(options.out, settings)
        print(f"{options.out}: finished before; remove the folder to train it anew")
        return
    machine.tune()
    train(settings, options.out)


def train(settings: TrainSettings, folder: Path) -> None:
    """Train, validate, average and pack. Raises InputError for what can't work."""
    from atat.engine import distributed

    device = distributed.start()
    with ExitStack() as stack:
        stack.callback(distributed.stop)
        if distributed.rank() == 0:
            stack.enter_context(lock.hold(folder, "a training"))
            found = _precision(settings, folder, device)
            run_folder.open_for(folder, replace(settings, precision=found.name))
            stack.enter_context(run_folder.logging_to(folder))
            precision.announce(found)
        distributed.barrier()
        # The same on every rank and machine: by now the folder says which.
        settings = replace(settings, precision=_precision(settings, folder, device).name)
        trainer, packed = build(settings, folder, device)
        if distributed.rank() == 0:
            pack.save_start(folder, packed)
        trainer.resume()
        if distributed.rank() == 0:
            _settle_steps(trainer)
        distributed.barrier()
        _announce(trainer, packed)
        trainer.run()
        if distributed.rank() == 0:
            _pack(trainer, packed)
        distributed.barrier()


def _precision(settings: TrainSettings, folder: Path, device: Any) -> precision.Resolved:
    """That of the settings; auto is what the run in the folder was begun with, if there is one."""
    path = folder / "config.yaml"
    if settings.precision == "auto" and path.is_file():
        begun = config.read_yaml(path).get("precision", "fp32")
        return precision.resolve(begun, device, "as the run was begun")
    return precision.resolve(settings.precision, device)


def build(settings: TrainSettings, folder: Path, device: Any) -> tuple[Trainer, Packed]:
    """Data, model and optimizer of a run, put together. Nothing is trained yet."""
    import torch

    from atat.datadir import cmvn
    from atat.engine import distributed
    from atat.engine.loader import StepBatches
    from atat.engine.optim import Optimizer, partition
    from atat.engine.sampler import Sampler
    from atat.engine.trainer import Trainer
    from atat.systems.joint.data import Augmenter, Encoding, TaskData

    torch.manual_seed(settings.seed)
    packed, loaded = _start_model(settings)
    model, audio = packed.model, packed.settings.audio_encoder
    encoding = Encoding(
        tokenizer=packed.tokenizer,
        source_text=packed.source_text,
        units=packed.units,
        subsampling=audio.subsampling if audio else 1,
        mel_bins=audio.mel_bins if audio else 80,
        features=settings.features,
        mask_words=settings.mask_words,
    )
    augmenter = Augmenter(settings.augment)
    lost = settings.max_lost
    batch = settings.batch
    data = [TaskData(source, encoding, augmenter, lost, batch) for source in settings.train]
    valid = [TaskData(source, encoding, None, lost, batch) for source in settings.valid.sources]
    for source in data:
        packed.pairs |= source.pairs()
    _log_data(data)
    if settings.cmvn and settings.init.model is None:
        mean, inverse_std = cmvn.load(settings.cmvn)
        model.cmvn.mean.copy_(torch.from_numpy(mean))
        model.cmvn.inverse_std.copy_(torch.from_numpy(inverse_std))
    model.to(device)
    parts = partition(
        model, loaded, any(d.is_audio for d in data), any(not d.is_audio for d in data)
    )
    # With nothing new there is nothing to settle first, unless freezing is asked for.
    unfreeze = settings.init.unfreeze if parts.new or settings.init.always_unfreeze else ()
    if not parts.new:
        unfreeze = tuple(phase for phase in unfreeze if phase[1] > 0)
    optimizer = Optimizer(
        model,
        parts,
        settings.optim,
        width=packed.settings.width,
        total=settings.steps,
        unfreeze=unfreeze,
    )
    sampler = Sampler(
        [source.lengths for source in data],
        [source.weight for source in settings.train],
        [source.is_audio for source in data],
        batch,
        seed=settings.seed,
        ranks=distributed.size(),
        targets=[source.target_lengths for source in data],
    )
    batches = StepBatches(data, sampler, seed=settings.seed, rank=distributed.rank())
    vocabulary = packed.tokenizer.fingerprint()
    trainer = Trainer(model, optimizer, batches, valid, settings, folder, device, vocabulary)
    return trainer, packed


def _start_model(settings: TrainSettings) -> tuple[Packed, set[str]]:
    """The model at step 0, and the names of its parameters that are pretrained."""
    from atat.engine import model_folder
    from atat.nn.text_encoder import build_source
    from atat.systems.joint.model import build_model
    from atat.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(settings.tokenizer)
    tasks = tuple(dict.fromkeys(source.task for source in settings.train))
    _check_zero_shot(settings)
    if settings.init.model is not None and settings.init.part == "all":
        packed = _load_start(settings)
        _extend(packed, tokenizer, settings)
        loaded = {name for name, _ in packed.model.named_parameters()}
        loaded.discard("decoder.embedding.extension")
        packed.tasks = tuple(dict.fromkeys((*packed.tasks, *tasks)))
        for task in tasks:
            if not packed.model.accepts(task):
                raise InputError(
                    f"task {task} needs a model with a {TASKS[task].source} encoder; "
                    f"{settings.init.model} has none"
                )
        return packed, loaded
    model_settings = settings.model_of_mix()
    model, units = build_model(model_settings, tokenizer)
    text = model_settings.text_encoder
    packed = model_folder.Packed(
        model,
        tokenizer,
        model_settings,
        units,
        build_source(text, tokenizer) if text else None,
        set(),
        tasks,
    )
    loaded = _load_audio_encoder(packed, settings) if settings.init.model else set()
    if any(TASKS[task].source == "audio" for task in tasks):
        if settings.cmvn is None and settings.init.model is None:
            raise InputError(
                "key `cmvn` is missing, but a task reads audio; make the file with: atat cmvn"
            )
    return packed, loaded


def _load_start(settings: TrainSettings) -> Packed:
    """The packed model to start from."""
    from atat.engine import model_folder

    packed = model_folder.load(str(settings.init.model))
    if packed.weights == "int8":
        raise InputError(
            f"{settings.init.model}: its weights have 8 bits (atat quantize), which can't be "
            "trained; start from the model it was made of"
        )
    return packed


def _load_audio_encoder(packed: Packed, settings: TrainSettings) -> set[str]:
    """Take CMVN, audio encoder and CTC head from another packed model; their parameters' names."""
    base = _load_start(settings)
    own, state = packed.settings, base.model.state_dict()
    if base.settings.audio_encoder != own.audio_encoder or base.settings.width != own.width:
        raise InputError(
            f"{settings.init.model}: its audio encoder has other settings than model.audio_encoder "
            "and model.width of this configuration; make them equal"
        )
    prefixes = ["audio_encoder.", "cmvn."]
    if base.settings.ctc.units == own.ctc.units and base.units and packed.units:
        if base.units.pieces == packed.units.pieces:
            prefixes.append("ctc.")
    chosen = {name: value for name, value in state.items() if name.startswith(tuple(prefixes))}
    packed.model.load_state_dict(chosen, strict=False)
    return set(chosen)


def _extend(packed: Packed, tokenizer: Any, settings: TrainSettings) -> None:
    """Give the pretrained model the tokenizer of this run, which may know further tags."""
    base = packed.tokenizer
    if not tokenizer.extends(base):
        raise InputError(
            f"{settings.tokenizer}: not an extension of the tokenizer of {settings.init.model} "
            "(other word pieces, or tags in another order), so its ids mean other tokens. Make one "
            f"with: atat tokenizer extend --tokenizer {settings.init.model}/tokenizer "
            f"--data DIR --out {settings.tokenizer}"
        )
    packed.model.extend(tokenizer.vocab_size - base.vocab_size)
    packed.tokenizer = tokenizer
    from atat.nn.text_encoder import PieceSource

    if isinstance(packed.source_text, PieceSource):
        packed.source_text = PieceSource(tokenizer)


def _check_zero_shot(settings: TrainSettings) -> None:
    """A new domain is learned from text alone only by a model that knows audio and text."""
    if not settings.zero_shot:
        return
    from atat.engine import model_folder

    if settings.init.part != "all":
        raise InputError("zero_shot needs the whole pretrained model: set init.part to all")
    if settings.init.model is None:
        raise InputError("zero_shot needs a pretrained model: give --init or the key init.model")
    tasks = model_folder.load(settings.init.model).tasks
    missing = {"audio", "text"} - {TASKS[task].source for task in tasks}
    if missing:
        raise InputError(
            f"{settings.init.model} was trained on {', '.join(tasks)}, on no {missing.pop()} task; "
            "zero-shot learning needs a model pretrained on at least one audio and one text task "
            '(AT-AT, "Pretraining Phase"), such as slu, asr and nlu'
        )


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


def _announce(trainer: Trainer, packed: Packed) -> None:
    """Say what is going to be trained, and how long that takes where it takes too long."""
    from atat.engine import distributed
    from atat.engine.trainer import tell

    settings, left = trainer.settings, trainer.settings.steps - trainer.progress.step
    if distributed.rank() > 0 or left <= 0:
        return
    sources = trainer.batches.data
    shares = [
        forecast.Share(d.source.data, d.is_audio, len(d), float(d.lengths.mean()), d.source.weight)
        for d in sources
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
        audio = packed.settings.audio_encoder
        states = forecast.states_of_a_step(
            shares, settings.batch.examples, audio.subsampling if audio else 1
        )
        warning = forecast.cpu_warning(training, states, left, forecast.product_speed())
        if warning:
            logger.warning("%s", warning)


def device_text(device: Any) -> str:
    """A GPU by its name; a CPU with the number of its threads."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"the CPU ({threads} thread{'s' if threads > 1 else ''})"


def _log_data(data: list[TaskData]) -> None:
    for source in data:
        hours = f", {source.lengths.sum() / 360000:.2f} h" if source.is_audio else ""
        logger.info("%s %s: %d%s", source.task.name, source.source.data, len(source), hours)
        if source.ctc_too_short:
            logger.warning(
                "%s: %d of %d utterances have fewer encoder states than CTC needs for their words; "
                "their CTC loss is 0",
                source.source.data,
                source.ctc_too_short,
                len(source),
            )


def _pack(trainer: Trainer, packed: Packed) -> None:
    """Write exp/<name>/model and train.json."""
    from atat.engine import model_folder

    folder = trainer.folder
    with lock.hold(folder, "packing", file=pack.LOCK, wait=True):
        weights, chosen = pack.weights_of(pack.chosen_by(trainer.settings, folder))
        model_folder.save(folder / run_folder.MODEL, packed, weights)
        shutil.rmtree(folder / run_folder.START, ignore_errors=True)  # the model has all of it
        facts = pack.facts_of(packed, vars(trainer.progress), trainer.settings, chosen)
        run_folder.write_facts(folder, facts)
