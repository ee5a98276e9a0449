"""Export a packed model for devices: graphs that `atat.runtime` runs without torch.

    atat export exp/atat/model --onnx --out exp/atat/device

Knows no system: one that can be exported says so (`atat.engine.contract.Exports`).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from atat.base import checksums, cli, folders, lock
from atat.base.errors import InputError
from atat.engine import named_model
from atat.runtime import description

_REFUSAL = (
    "models of the system `{system}` cannot be exported; those of `joint`, `lugosch` and "
    "`distill` can (atat train with `system: joint`)"
)


def export(model: Path, out: Path, weights: Literal["float32", "int8"] = "float32") -> None:
    """Write the model's graphs and files at `out`, whole or not at all.

    An earlier export there is replaced. A model of 8 bits is exported with the weights that these
    stand for. Raises InputError for a model that cannot be exported and
    for a folder that holds anything else.
    """
    from atat.engine import model_folder, registry
    from atat.engine.contract import Exports
    from atat.nn import int8

    packed = model_folder.load(model)
    system = registry.find(packed.system, str(model))
    if not isinstance(system, Exports):
        raise InputError(f"{model}: {_REFUSAL.format(system=packed.system)}")
    model_folder.check_finite(packed.model.state_dict(), str(model))
    check_replaceable(out)
    if packed.weights == "int8":  # graphs are made of floats, and rounded again if asked for
        int8.restore(packed.model)
        packed.weights = "float32"
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        system.export(packed, partial, weights)
    except InputError:
        shutil.rmtree(partial)
        raise
    if (model / description.CALIBRATION).is_file():
        shutil.copyfile(model / description.CALIBRATION, partial / description.CALIBRATION)
    checksums.write(partial)
    folders.replace(partial, out)


def check_replaceable(out: Path) -> None:
    """Raise InputError unless `out` is free, or an earlier export and nothing else."""
    folders.check_name(out)
    if not out.exists():
        return
    if not (out / description.NAME).is_file() and any(out.iterdir()):
        raise InputError(f"{out}: exists and is no earlier export; name another folder")
    if found := checksums.others(out):
        raise InputError(
            f"{out}: holds {found[0]} beside an earlier export, which a new one would replace; "
            "move it, or name another folder"
        )


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        prog="atat export",
        description=cli.guide(
            "Write a packed model as ONNX graphs, for `atat.runtime`: it recognises without torch, "
            "with numpy, onnxruntime and sentencepiece alone. The speech encoder is put in.",
            "atat export exp/joint/model --onnx --out exp/joint/device",
            "atat export exp/joint/model --onnx --int8 --out exp/joint/device_int8",
            "python -m atat.runtime exp/joint/device order.wav",
            reads="MODEL, a packed model of the system `joint`, or one of `lugosch` or `distill` "
            "for commands; of 8 bits (`atat quantize`), too.",
            writes="OUT, a folder to copy to the device.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    named_model.add_argument(parser)
    parser.add_argument("--onnx", action="store_true", help="as ONNX graphs, the only kind")
    parser.add_argument("--int8", action="store_true", help="with weights of 8 bits")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    options = parser.parse_args(argv)
    if not options.onnx:
        raise InputError("give the kind of export: --onnx")
    check_replaceable(options.out)  # before the work, not after it
    options.model = named_model.find(options.model)
    with lock.hold_name(options.out, f"export of {options.model}"):
        export(options.model, options.out, "int8" if options.int8 else "float32")
    size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    print(f"{options.out}: {size / 2**20:.1f} MiB; python -m atat.runtime {options.out} RECORDING")
    if options.int8 and (options.out / description.CALIBRATION).exists():
        print(
            f"{options.model} was calibrated with its own weights: with those of 8 bits its "
            "threshold may accept more or fewer answers; try it on recordings that you know"
        )
