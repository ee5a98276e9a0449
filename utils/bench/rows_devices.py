"""A trained model on one core: size, exact match, real-time factor in fp32, bf16 and int8, and as
two stages (our asr, then our nlu), which have the same parts.

    utils/bench.sh --model exp/x/model --data data/test
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from table import Table, seconds_text

from atat.base.provenance import outside_shortened
from atat.datadir import kaldi_dir
from atat.scoring.bootstrap import Interval
from atat.scoring.figures import format_interval
from atat.scoring.transcribed import write_heard

SYSTEMS = ("fp32", "bf16", "int8", "two stages, fp32")


def devices(model: Path, data: Path, rounds: int) -> Table:
    """Decode the whole data dir with each system, in turns, on one core; bf16 where it has it."""
    from atat.base import precision
    from atat.engine import quantize

    found, reason = precision.has_bf16("cpu")
    systems = [name for name in SYSTEMS if found or name != "bf16"]
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    figures: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        quantize.quantize(model, folder / "int8")
        sizes = {
            kind: (path / "model.safetensors").stat().st_size / 2**20
            for kind, path in (("fp32", model), ("int8", folder / "int8"))
        }
        for number in range(rounds):
            for system in systems:
                out = folder / f"{number}" / system.replace(" ", "_")
                seconds[system].append(_decode(system, model, folder / "int8", data, out))
                if number == 0:
                    figures[system] = _score(data, out)
    audio = kaldi_dir.total_seconds(data, kaldi_dir.load(data))
    rows = []
    for system in systems:
        median = statistics.median(seconds[system])
        size = sizes["int8" if system == "int8" else "fp32"]
        rows.append([system, f"{size:.1f}", figures[system], seconds_text(median / audio)])
    note = (
        f"`{outside_shortened(str(model), 5)}` on `{data.name}`, {audio / 3600:.2f} h, beam 4, "
        "one core. Seconds: of decoding, without loading, for a second of audio. Two stages: "
        f"task asr, then task nlu of its words.{'' if found else f' No bf16: {reason}.'}"
    )
    return Table("On one core", note, ["", "MiB", "EM hyp", "for a second of audio"], rows)


def _decode(system: str, model: Path, int8: Path, data: Path, out: Path) -> float:
    """Seconds spent in decoding, as `atat decode` tells them."""
    if system.startswith("two stages"):
        heard = out.with_name("heard")
        first = _run(model, data, heard, "asr")
        words = out.with_name("words")
        write_heard(data, heard, words)
        return first + _run(model, words, out, "nlu")
    chosen = int8 if system == "int8" else model
    return _run(chosen, data, out, "slu", "bf16" if system == "bf16" else "fp32")


def _run(model: Path, data: Path, out: Path, task: str, precision: str = "fp32") -> float:
    program = [
        sys.executable,
        "-m",
        "atat",
        "decode",
        "--model",
        str(model),
        "--data",
        str(data),
        "--task",
        task,
        "--precision",
        precision,
        "--device",
        "cpu",
        "--out",
        str(out),
    ]
    subprocess.run(["taskset", "-c", "0", *program], check=True, capture_output=True)
    return float(json.loads((out / "decode.json").read_text())["wall_seconds"])


def _score(data: Path, out: Path) -> str:
    program = [
        sys.executable,
        "-m",
        "atat",
        "score",
        "--data",
        str(data),
        "--decoded",
        str(out),
    ]
    subprocess.run([*program, "--task", "slu"], check=True, capture_output=True)
    found = json.loads((out / "score.json").read_text())["metrics"]["em_hyp"]
    return format_interval(Interval(found["value"], found["low"], found["high"]))
