"""Trained models of any system on one core, from audio: size, exact match, seconds and memory in
fp32, bf16 and int8; and what two stages need, a recogniser (ours, Moonshine's, pocketsphinx) and
then our nlu. The tasks of a model say which of these it can be.

    utils/bench.sh --model lfb=exp/x/model moonshine=exp_moonshine-tiny/x/model --data data/test
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from table import Table, seconds_text

from atat.base import precision
from atat.base.encoder_files import folder_of, is_here
from atat.base.errors import InputError
from atat.base.provenance import outside_shortened
from atat.datadir import kaldi_dir
from atat.engine import model_folder, quantize, registry
from atat.engine.contract import Packed
from atat.scoring.bootstrap import Interval
from atat.scoring.figures import format_interval
from atat.scoring.transcribed import write_heard
from atat.speech import frontend

MIB = 2**20
RECOGNISER = "moonshine-tiny"
MEMORY_OF = Path(__file__).with_name("memory_of.py")


@dataclass(frozen=True)
class System:
    """A row: a packed model that hears by itself, or reads what a recogniser heard."""

    model: Path
    task: str = "slu"
    precision: str = "fp32"
    recogniser: str = ""  # "ours", or an engine of `atat transcribe`
    parameters: int = 0  # of the model, whatever its weights are stored in


@dataclass(frozen=True)
class Cost:
    """Of a whole data dir."""

    seconds: float  # without loading
    mib: float  # the most memory that one of its processes held


def devices(
    models: Mapping[str, Path],
    data: Path,
    rounds: int,
    lm_text: Path | None = None,
    options: Sequence[str] = (),
) -> Table:
    """Decode the whole data dir with each system, in turns, on one core; bf16 where it has it.

    models: packed models by name. lm_text: data dir whose sentences pocketsphinx' language model
    knows. options: of `atat decode`.
    """
    found, reason = precision.has_bf16("cpu")
    costs: dict[str, list[Cost]] = {}
    figures: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        systems = _systems(models, folder, found)
        audible = folder / "audible"
        utterances = kaldi_dir.load(data)
        kaldi_dir.write(audible, [replace(one, feats=None) for one in utterances])
        for number in range(rounds):
            for row, system in systems.items():
                out = folder / str(number) / row.replace(" ", "_")
                cost = _decode(system, audible, out, lm_text, options)
                costs.setdefault(row, []).append(cost)
                if number == 0:
                    figures[row] = _score(data, out)
        sizes = {row: _size(system) for row, system in systems.items()}
    audio = kaldi_dir.total_seconds(data, utterances)
    rows = [
        [
            row,
            f"{systems[row].parameters / 1e6:.2f} M",
            f"{sizes[row]:.1f}",
            figures[row],
            seconds_text(statistics.median(cost.seconds for cost in costs[row]) / audio),
            f"{max(cost.mib for cost in costs[row]):.0f}",
        ]
        for row in systems
    ]
    named = ", ".join(
        f"{name}: `{outside_shortened(str(path), 5)}`" for name, path in models.items()
    )
    note = (
        f"{named}. On `{data.name}`, {len(utterances)} recordings, {audio / 3600:.2f} h, from "
        f"audio, beam 4{''.join(f', {option}' for option in options)}; one core. "
        "Parameters: of the packed model, those of a speech encoder or recogniser before it not "
        "counted. MiB on disk: weights, with those of the speech encoder or recogniser. Seconds: "
        "of decoding, features included, "
        "loading not, for a second of audio. Memory: the most that a process of it held. "
        f"Medians of {rounds} rounds.{'' if found else f' No bf16: {reason}.'}"
    )
    header = ["", "parameters", "MiB on disk", "EM hyp", "for a second of audio", "MiB of memory"]
    return Table("On one core", note, header, rows)


def _systems(models: Mapping[str, Path], folder: Path, bf16: bool) -> dict[str, System]:
    """The rows; int8 models are made in the folder."""
    engines = {"pocketsphinx": "pocketsphinx"}
    if is_here(RECOGNISER):
        engines = {"Moonshine's recogniser": "moonshine", **engines}
    systems: dict[str, System] = {}
    for name, model in models.items():
        packed = model_folder.load(model)
        tasks = tasks_of(model, packed)
        alone = System(model, parameters=sum(one.numel() for one in packed.model.parameters()))
        if hears := tasks.get(("audio", "semantics")):
            eight = folder / f"{name}-int8"
            quantize.quantize(model, eight)
            alone = replace(alone, task=hears)
            systems[f"{name}, fp32"] = alone
            if bf16 and _computes_in("bf16", model, packed):
                systems[f"{name}, bf16"] = replace(alone, precision="bf16")
            systems[f"{name}, int8"] = replace(alone, model=eight)
        if reads := tasks.get(("text", "semantics")):
            second = replace(alone, task=reads)
            if writes := tasks.get(("audio", "text")):
                row = f"{name}, its {writes}, then its {reads}"
                systems[row] = replace(second, recogniser="ours")
            for engine, argument in engines.items():
                systems[f"{engine}, then {reads} of {name}"] = replace(second, recogniser=argument)
    return systems


def _computes_in(precision: str, model: Path, packed: Packed) -> bool:
    try:
        registry.of_model(model).recognizer(packed, precision=precision)
    except InputError:
        return False
    return True


def tasks_of(model: Path, packed: Packed) -> dict[tuple[str, str], str]:
    """The tasks of a packed model, by what they read and write, the first of each kind."""
    known = registry.of_model(model).tasks
    found: dict[tuple[str, str], str] = {}
    for name in packed.tasks:
        if not known[name].masked:
            found.setdefault((known[name].source, known[name].target), name)
    return found


def _size(system: System) -> float:
    """MiB of weights on disk: of the model, and of what stands before it."""
    files = [system.model / "model.safetensors"]
    hears = system.recogniser in ("", "ours")
    if hears and (system.model / frontend.DESCRIPTION).is_file():
        before = frontend.read(system.model)
        files += [] if before.within else frontend.files_of(before.origin)
    if system.recogniser == "moonshine":
        files += list(folder_of(RECOGNISER).iterdir())
    if system.recogniser == "pocketsphinx":
        from pocketsphinx import get_model_path

        files += [path for path in Path(get_model_path("en-us")).rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files) / MIB


def _decode(
    system: System, data: Path, out: Path, lm_text: Path | None, options: Sequence[str]
) -> Cost:
    if not system.recogniser:
        return _by_model(system, data, out, system.task, options)
    heard, words = out.with_name(f"{out.name}.heard"), out.with_name(f"{out.name}.words")
    if system.recogniser == "ours":
        task = tasks_of(system.model, model_folder.load(system.model))["audio", "text"]
        first = _by_model(system, data, heard, task)
    else:
        engine = ["--engine", system.recogniser]
        if system.recogniser == "pocketsphinx" and lm_text is not None:
            engine += ["--lm_text", str(lm_text)]
        first = _run(["transcribe", *engine, "--data", str(data)], heard)
    write_heard(data, heard, words)
    second = _by_model(system, words, out, system.task, options)
    return Cost(first.seconds + second.seconds, max(first.mib, second.mib))


def _by_model(
    system: System, data: Path, out: Path, task: str, options: Sequence[str] = ()
) -> Cost:
    arguments = ["decode", "--model", str(system.model), "--data", str(data), "--task", task]
    arguments += ["--precision", system.precision, "--device", "cpu", *options]
    return _run(arguments, out)


def _run(arguments: Sequence[str], out: Path) -> Cost:
    """A command of atat on the first core; its decoding's seconds, as it tells them."""
    program = ["taskset", "-c", "0", sys.executable, "-m", "atat", *arguments, "--out", str(out)]
    out.parent.mkdir(parents=True, exist_ok=True)
    memory = out.with_name(f"{out.name}.memory")
    with open(out.with_name(f"{out.name}.log"), "w+") as log:
        watched = [sys.executable, str(MEMORY_OF), str(memory), *program]
        if subprocess.run(watched, stdout=log, stderr=log).returncode:
            log.seek(0)
            raise RuntimeError(f"{' '.join(program)}:\n{log.read()}")
    seconds = float(json.loads((out / "decode.json").read_text())["wall_seconds"])
    return Cost(seconds, int(memory.read_text()) / 1024)


def _score(data: Path, out: Path) -> str:
    program = [sys.executable, "-m", "atat", "score"]
    program += ["--data", str(data), "--decoded", str(out)]
    subprocess.run(program, check=True, capture_output=True)
    found = json.loads((out / "score.json").read_text())["metrics"]["em_hyp"]
    return format_interval(Interval(found["value"], found["low"], found["high"]))
