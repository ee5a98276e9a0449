"""The benchmark: measures the rows asked for and writes them all on one page.

    python utils/bench/run.py --out BENCHMARKS.md

Each table is kept as JSON beside the others in --tables; a rerun measures only what is missing,
unless --rows names it. With --model and --data, trained models are measured on one core, too.
Peers are measured where they are installed (utils/bench.sh --peers).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import rows_devices
import rows_encoders
import rows_features
import rows_models
import rows_pipeline
import rows_runtime
import rows_text
import torch
from clock import Rounds
from table import Table, write_page

from atat.base import cli
from atat.base.errors import InputError
from atat.base.files import atomic_write

ROWS = {
    "training": rows_models.training,
    "search": rows_models.search,
    "whole": rows_models.whole,
    "text": rows_text.text,
    "lfb": rows_features.features,
    "encoders": rows_encoders.encoders,
    "arks": rows_features.arks,
    "loading": rows_pipeline.loading,
    "startup": rows_pipeline.startup,
    "datadirs": rows_pipeline.datadirs,
}
# Of the time, which share each may take; a slow machine makes fewer rounds. The rest is starting
# processes, and data dirs.
SHARES = {
    "training": 0.15,
    "search": 0.2,
    "whole": 0.15,
    "text": 0.05,
    "lfb": 0.05,
    "encoders": 0.05,
    "arks": 0.05,
    "startup": 0.05,
    "loading": 0.1,
    "datadirs": 0.1,
}
# Of trained models, which --model names.
OF_MODELS = ("devices", "runtime")
ON_A_GPU = ("training", "search", "whole", "loading")


def main() -> None:
    parser = cli.Parser(
        description="Measure atat beside its peers. Example: utils/bench.sh --rows search",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        default=[],
        metavar="ROW",
        help="measure these, also when done before: "
        f"{', '.join(ROWS)}; with --model {', '.join(OF_MODELS)}",
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count, at most")
    parser.add_argument(
        "--hours",
        type=float,
        default=1.0,
        help="about how long all may take; a slow machine makes fewer rounds",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--model",
        nargs="+",
        default=[],
        metavar="NAME=MODEL",
        help="packed models for the tables of one core and devices, such as lfb=exp/x/seed1/model",
    )
    parser.add_argument("--data", type=Path, help="test set for them, with recordings")
    parser.add_argument(
        "--cost", type=Path, help="measure them alone, and write their table into this file"
    )
    parser.add_argument("--lm_text", type=Path, help="sentences for pocketsphinx' language model")
    parser.add_argument("--well_formed", action="store_true", help="in that table, for all")
    parser.add_argument(
        "--tables",
        type=Path,
        default=Path("exp_bench"),
        help="folder of the tables measured so far",
    )
    parser.add_argument("--out", type=Path, default=Path("BENCHMARKS.md"), help="page to write")
    options = parser.parse_args()
    of_device = tuple(ROWS) if options.device == "cpu" else ON_A_GPU
    known = (*of_device, *(OF_MODELS if options.model else ()))
    unknown = sorted(set(options.rows) - set(known))
    if unknown:
        raise InputError(
            f"--rows {unknown[0]}: unknown on {options.device}; there are {', '.join(known)}"
        )
    if options.rounds < 1:
        raise InputError(f"--rounds {options.rounds}: expected 1 or more")
    if not options.hours > 0:
        raise InputError(f"--hours {options.hours}: expected more than 0")
    if bool(options.model) != bool(options.data):
        raise InputError("--model and --data go together: what decodes, and what is decoded")
    if options.cost and not options.model:
        raise InputError("--cost is of trained models; name them with --model and --data")
    models = dict(_named(argument) for argument in options.model)
    if options.cost:
        with atomic_write(options.cost) as stream:
            stream.write(_of_models(models, options).text())
        print(f"the table: {options.cost}")
        return
    device = torch.device(options.device)
    for name in of_device:
        path = options.tables / f"{name}.{options.device}.json"
        if (path.is_file() and name not in options.rows) or (
            options.rows and name not in options.rows
        ):
            continue
        print(f"measuring {name} on {options.device} ...", flush=True)
        threads, start = torch.get_num_threads(), time.monotonic()
        rounds = Rounds(options.rounds, SHARES[name] * 3600 * options.hours)
        ROWS[name](rounds, device).save(path)
        torch.set_num_threads(threads)
        print(f"... in {time.monotonic() - start:.0f} s", flush=True)
    for name in OF_MODELS if models else ():
        if not options.rows or name in options.rows:
            of_one = _of_models if name == "devices" else _without_torch
            of_one(models, options).save(options.tables / f"{name}.cpu.json")
    names = (*ROWS, *OF_MODELS)
    paths = [options.tables / f"{name}.{kind}.json" for name in names for kind in ("cpu", "cuda")]
    write_page(options.out, [Table.load(path) for path in paths if path.is_file()])
    print(f"the page: {options.out}")


def _of_models(models: dict[str, Path], options: argparse.Namespace) -> Table:
    print("measuring trained models on one core ...", flush=True)
    return rows_devices.devices(
        models,
        options.data,
        options.rounds,
        options.lm_text,
        ["--well_formed"] if options.well_formed else [],
    )


def _without_torch(models: dict[str, Path], options: argparse.Namespace) -> Table:
    print("measuring trained models as on a device ...", flush=True)
    return rows_runtime.runtime(
        models,
        options.data,
        options.rounds,
        options.lm_text,
        {"well_formed": True} if options.well_formed else {},
    )


def _named(argument: str) -> tuple[str, Path]:
    """A name and a packed model, of NAME=MODEL."""
    name, equals, model = argument.partition("=")
    if not equals or not (Path(model) / "model.safetensors").is_file():
        raise InputError(
            f"--model {argument}: expected NAME=MODEL, MODEL the folder `model` of a training, "
            "such as lfb=exp/finetune/seed1/model"
        )
    return name, Path(model)


if __name__ == "__main__":
    cli.run(main)
