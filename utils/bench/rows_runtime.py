"""Trained models on a device: exported (`atat.runtime`), in torch, and beside pocketsphinx. What is
installed, the time from a cold start to the first answer, memory, and speed on one core.

    utils/bench.sh --model barista=exp_moonshine-tiny/x/model --data data/test
"""

from __future__ import annotations

import compileall
import configparser
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from table import Table, seconds_text

from atat.base.errors import InputError
from atat.base.provenance import outside_shortened
from atat.datadir import contents, kaldi_dir
from atat.datadir.kaldi_dir import Utterance
from atat.engine import export, quantize
from atat.prepare import transcribe
from atat.scoring.metrics import is_right
from atat.speech import audio, frontend

MIB = 2**20
ROOT = Path(__file__).resolve().parents[2]
# What `atat.runtime` imports beside Python's own library.
FOR_THE_RUNTIME = ("numpy", "onnxruntime", "sentencepiece")
_WEIGHTS: Mapping[str, Literal["float32", "int8"]] = {"fp32": "float32", "int8": "int8"}
_BARE = {"extra": ""}  # packages without their extras


@dataclass(frozen=True)
class System:
    """What on_device.py is asked for."""

    system: str
    model: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    first: float  # s of the processor until the first answer
    waited: float  # s by the clock until then
    rest: float  # s of the processor for the other recordings
    mib: float  # the most memory that it held
    answers: tuple[str, ...]


def runtime(
    models: Mapping[str, Path],
    data: Path,
    rounds: int,
    lm_text: Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> Table:
    """All recordings of the data dir with each system, in turns, on one core.

    models: packed models by name. lm_text: data dir whose sentences pocketsphinx' language model
    knows. options: of the search.
    """
    utterances = kaldi_dir.load(data)
    compileall.compile_dir(ROOT / "atat", quiet=2)  # as pip does
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wavs = [_write(one, folder / "wavs" / f"{one.id}.wav") for one in utterances]
        systems = _systems(models, folder, lm_text, options or {})
        costs: dict[str, list[Cost]] = {row: [] for row in systems}
        for _ in range(rounds):
            for row, system in systems.items():
                costs[row].append(_run(system, wavs))
        sizes = {row: _size(system) for row, system in systems.items()}
        seconds = sum(audio.duration(wav) for wav in wavs[1:])
    rows = []
    for row, found in costs.items():
        right = sum(
            is_right("semantics", one.semantics, answer)
            for one, answer in zip(utterances, found[0].answers)
            if one.semantics is not None
        )
        words_only = systems[row].system == "pocketsphinx"
        rows.append(
            [
                row,
                f"{sizes[row][0]:.0f}",
                f"{sizes[row][1]:.1f}",
                "words only" if words_only else f"{100 * right / len(utterances):.2f}",
                seconds_text(statistics.median(cost.first for cost in found)),
                seconds_text(min(cost.waited for cost in found)),
                f"{max(cost.mib for cost in found):.0f}",
                seconds_text(statistics.median(cost.rest for cost in found) / seconds),
            ]
        )
    said = ", ".join(f"{key} {value}" for key, value in (options or {}).items())
    named = ", ".join(f"{key}: `{outside_shortened(str(at), 5)}`" for key, at in models.items())
    note = (
        f"{named}. On `{data.name}`, {len(utterances)} recordings, {seconds / 3600:.2f} h of wav "
        f"files, beam 4{f', {said}' if said else ''}; one core, one process for each row. MiB "
        "installed: the packages that it needs, as they are here (torch with its libraries for "
        "CUDA), without Python. MiB of model: with the speech encoder, or pocketsphinx' own. "
        "First answer: from the start of the process, by the processor's time and by the clock, "
        "which also counts what else the machine does (the least of the rounds). Memory: the "
        "most that the process held. For a second of audio: the processor's time for all "
        "recordings but the first. "
        + ("One round." if rounds == 1 else f"Medians of {rounds} rounds.")
    )
    header = [
        *("", "MiB installed", "MiB of model", "EM hyp", "first answer, processor"),
        *("by the clock", "MiB of memory", "for a second of audio"),
    ]
    return Table("On a device", note, header, rows)


def _write(utterance: Utterance, wav: Path) -> Path:
    """The part of a recording that is meant, as a file of its own."""
    audio.save(wav, contents.read_recording(utterance))
    return wav


def _systems(
    models: Mapping[str, Path], folder: Path, lm_text: Path | None, options: Mapping[str, Any]
) -> dict[str, System]:
    """The rows; models are exported and quantized into the folder, as far as they can be."""
    systems = {}
    for name, model in models.items():
        for kind, weights in _WEIGHTS.items():
            exported = folder / f"{name}-device-{kind}"
            try:
                export.export(model, exported, weights)
            except InputError as error:
                print(f"{name}, {kind}: {error}", flush=True)
            else:
                row = f"{name}, atat.runtime, {kind}"
                systems[row] = System("runtime", str(exported), options)
        quantize.quantize(model, folder / f"{name}-int8")
        systems[f"{name}, torch, fp32"] = System("torch", str(model), options)
        systems[f"{name}, torch, int8"] = System("torch", str(folder / f"{name}-int8"), options)
    search = transcribe.search_of(lm_text, folder)
    systems["pocketsphinx"] = System("pocketsphinx", "", search)
    return systems


def _run(system: System, wavs: Sequence[Path]) -> Cost:
    """A process on the first core."""
    program = [sys.executable, str(Path(__file__).with_name("on_device.py"))]
    command = [*program, json.dumps(asdict(system)), *map(str, wavs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    if sys.platform == "linux":
        command = ["taskset", "-c", "0", *command]
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    first = process.stdout.readline()
    waited = time.perf_counter() - start
    last = process.stdout.readline()
    said = process.stderr.read()
    if process.wait():
        raise RuntimeError(f"{system}:\n{said}")
    found = json.loads(last)
    return Cost(
        json.loads(first)["seconds"],
        waited,
        found["seconds"],
        found["mib"],
        tuple(found["answers"]),
    )


def _size(system: System) -> tuple[float, float]:
    """MiB of packages, and of what was trained."""
    if system.system == "pocketsphinx":
        from pocketsphinx import get_model_path

        parts = _files(Path(get_model_path("en-us")))
        return _installed(["pocketsphinx"]) - parts, parts
    model = Path(system.model)
    size = _files(model)
    if system.system == "runtime":
        return _installed(FOR_THE_RUNTIME) + _files(ROOT / "atat"), size
    if (model / frontend.DESCRIPTION).is_file() and not (model / frontend.CONTAINED).is_dir():
        origin = frontend.read(model).origin
        assert origin is not None
        size += sum(path.stat().st_size for path in frontend.files_of(origin)) / MIB
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    core = parser["options"]["install_requires"].split("\n")
    names = [Requirement(line).name for line in core if line.strip()]
    needs_encoder = ["onnxruntime"] if (model / frontend.DESCRIPTION).is_file() else []
    return _installed([*names, *needs_encoder]) + _files(ROOT / "atat"), size


def _files(folder: Path) -> float:
    """MiB of a folder's files, without what Python compiled."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return sum(path.stat().st_size for path in paths) / MIB


def _installed(names: Iterable[str]) -> float:
    """MiB of packages and of all that they need."""
    waiting, seen, total = list(names), set(), 0
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        found = metadata.distribution(name)
        paths = (Path(str(file.locate())) for file in found.files or [])
        ours = (path for path in paths if path.suffix != ".pyc" and path.is_file())
        total += sum(path.stat().st_size for path in ours)
        needed = [Requirement(line) for line in found.requires or []]
        waiting += [one.name for one in needed if one.marker is None or one.marker.evaluate(_BARE)]
    return total / MIB
