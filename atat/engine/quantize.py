"""Quantize a packed model to 8-bit weights, for small devices: a quarter of the size, faster on a
CPU.

    atat quantize exp/atat/model --out exp/atat/model_int8

The result is a packed model like any other for `atat decode` and the Recognizer; it cannot be
trained further. Measure the loss of accuracy with `atat decode` and `atat score`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from atat.base import calibration, cli, lock
from atat.base.errors import InputError
from atat.engine import named_model


def quantize(model: Path, out: Path) -> None:
    """Write the model at `out`.

    Raises InputError if it is quantized already, and for weights that are not finite.
    """
    from atat.engine import model_card, model_folder
    from atat.nn import int8

    packed = model_folder.load(model)
    if packed.weights == "int8":
        raise InputError(f"{model}: its weights have 8 bits already")
    # Checked before: as an 8-bit integer, NaN would look like any other weight.
    model_folder.check_finite(packed.model.state_dict(), str(model))
    int8.convert(packed.model)
    packed.weights = "int8"
    model_folder.save(out, packed)
    about = model_card.read(model)
    if about is not None:  # figures are those of other weights
        model_card.write(out, replace(about, name=f"{about.name}, 8 bits", results=()))


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        prog="atat quantize",
        description=cli.guide(
            "Bring the weights of a packed model to 8 bits, for decoding on a CPU.",
            "atat quantize exp/joint/model --out exp/joint/model_int8",
            reads="MODEL, a packed model (exp/NAME/model).",
            writes="OUT, a packed model for `atat decode` and the Recognizer. It cannot be "
            "trained further.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    named_model.add_argument(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    options = parser.parse_args(argv)
    options.model = named_model.find(options.model)
    if options.out.resolve() == options.model.resolve():
        raise InputError(f"--out {options.out} is the model itself; name another folder")
    if options.out.exists():
        from atat.engine.model_folder import check_replaceable

        check_replaceable(options.out)  # before the work, not after it
    with lock.hold_name(options.out, f"quantizing of {options.model}"):
        quantize(options.model, options.out)
    sizes = [(f / "model.safetensors").stat().st_size / 2**20 for f in (options.model, options.out)]
    print(f"{options.out}: {sizes[1]:.1f} MiB, before {sizes[0]:.1f} MiB")
    if (options.model / calibration.NAME).exists():
        print(calibration.not_kept(options.model, options.out))
