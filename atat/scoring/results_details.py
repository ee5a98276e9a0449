"""How each row of a results table was made: model, commit, hardware, wall time, exact commands.

Everything is read from train.json, decode.json and score.json; missing details are left out.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from atat.base.config import read_yaml
from atat.base.provenance import outside_shortened
from atat.scoring.markdown import code_block, duration, join, table_text
from atat.scoring.metrics import METRICS
from atat.scoring.results_runs import Run, Runs, Training, info, option, trainings


def section(title: str, rows: Sequence[tuple[str, str, Mapping[str, Runs], Sequence[str]]]) -> str:
    """A foldable block over all rows: (name, training pattern, runs by condition, metrics)."""
    blocks = [_row(*row) for row in rows]
    if not any(blocks):
        return ""
    summary = f'<summary>How the rows of "{title}" were made</summary>'
    return join(f"<details>\n{summary}", *blocks, "</details>")


def made_on(rows: Sequence[tuple[str, Mapping[str, Runs]]]) -> str:
    """One line on the hardware and precision behind a table: (training pattern, runs) of its rows.

    Empty if nothing was run or nothing is recorded.
    """
    kinds: dict[str, dict[str, None]] = {}  # hardware -> its precisions, each once, in order
    for pattern, found in rows:
        for run in (run for runs in found.values() for run in runs.runs):
            made = [_training_made(training) for training in trainings(run, pattern)]
            made += [_decoding_made(folder) for folder in run.folders]
            for hardware, precision in made:
                if hardware:
                    kinds.setdefault(hardware, {}).update({precision: None} if precision else {})
    if not kinds:
        return ""
    listed = [f"{hardware}{_in(precisions)}" for hardware, precisions in kinds.items()]
    return (
        f"Made on {' and '.join(listed)}: the same to the digit only on this kind of processor, "
        "with as many threads and the same versions of the packages."
    )


def _training_made(training: Training) -> tuple[str, str]:
    """Hardware and precision, if train.json and the settings beside it contain them."""
    settings = training.folder / "config.yaml"
    asked = read_yaml(settings).get("precision") if settings.exists() else None
    return _hardware(training.info), str(training.info.get("precision") or asked or "")


def _decoding_made(folder: Path) -> tuple[str, str]:
    """Like `_training_made`, for a decoded dir."""
    got = info(folder, "decode.json")
    asked = (got.get("options") or {}).get("precision")
    return _hardware(got), str(got.get("precision") or asked or "")


def _hardware(got: Mapping[str, Any]) -> str:
    return str(got.get("provenance", {}).get("hardware", ""))


def _in(precisions: Iterable[str]) -> str:
    listed = ", ".join(precisions)
    return f" in {listed}" if listed else ""


def _row(name: str, pattern: str, found: Mapping[str, Runs], metrics: Sequence[str]) -> str:
    unfinished = [f"- unfinished: `{p}`" for runs in found.values() for p in runs.unfinished]
    runs = [run for runs in found.values() for run in runs.runs]
    if not runs and not unfinished:
        return ""
    trained = _unique(training for run in runs for training in trainings(run, pattern))
    decoded = list(dict.fromkeys(folder for run in runs for folder in run.folders))
    lines = [*_training_lines(trained), *_decoding_lines(decoded), *unfinished]
    commands = [_command(training.info) for training in trained]
    commands += [_command(info(p, name)) for p in decoded for name in ("decode.json", "score.json")]
    return join(
        f"**{name}**",
        "\n".join(lines),
        *(_spread(condition, runs, metrics) for condition, runs in found.items()),
        code_block([command for command in dict.fromkeys(commands) if command]),
    )


def _training_lines(trained: Sequence[Training]) -> list[str]:
    """A line for each model trained on the way; runs that differ only in the seed share it."""
    lines = []
    for training in trained:
        got = training.info
        origin = got.get("provenance", {})
        config = option(origin.get("command", ""), "config")
        facts = [
            f"{got['parameters']:,} parameters" if "parameters" in got else "",
            f"{got['steps']:,} steps" if "steps" in got else "",
            f"{duration(got['audio_seconds'])} of audio seen" if got.get("audio_seconds") else "",
            f"{duration(got['wall_seconds'])} of wall time" if "wall_seconds" in got else "",
            f"seed {got['seed']}" if "seed" in got else "",
            f"weights: {got['chosen']}" if "chosen" in got else "",
            str(got.get("precision", "")),
            f"config `{config}`" if config else "",
            *_origin(origin),
            "" if got.get("finished", True) else "**training not finished**",
        ]
        folder = outside_shortened(str(training.folder), parts=4)
        lines.append(f"- trained `{folder}`: {_list(facts)}")
    return lines


def _decoding_lines(decoded: Sequence[Path]) -> list[str]:
    lines = []
    for folder in decoded:
        got = info(folder, "decode.json")
        wall, audio = got.get("wall_seconds"), got.get("audio_seconds")
        facts = [
            f"task {got['task']}" if "task" in got else "",
            f"beam {got['beam']}" if "beam" in got else "",
            "well-formed trees only" if got.get("well_formed") else "",
            f"slots with the values of `{got['values']}`" if got.get("values") else "",
            str(got.get("precision", "")),
            f"{duration(wall)} of wall time" if wall is not None else "",
            f"{wall / audio:.3f} s per second of audio" if wall is not None and audio else "",
            *_origin(got.get("provenance", {})),
        ]
        lines.append(f"- decoded `{folder}`: {_list(facts)}")
    return lines


def _spread(condition: str, runs: Runs, metrics: Sequence[str]) -> str:
    """The runs one by one, if there are several."""
    if len(runs.runs) < 2:
        return ""
    names = [_run_title(run) for run in runs.runs]
    body = []
    for metric in metrics:
        values = runs.values(metric)
        known = [value for value in values if value is not None]
        if not known:
            continue
        summary: list[float | None] = [None] * 4  # as in the table above
        if len(known) == len(values):
            summary = [statistics.mean(known), statistics.stdev(known), min(known), max(known)]
        cells = ["n/a" if value is None else f"{value:.2f}" for value in [*summary, *values]]
        body.append([METRICS[metric].title, *cells])
    if not body:
        return ""
    header = [condition or "over runs", "mean", "sd", "min", "max", *names]
    return table_text(header, body)


def _run_title(run: Run) -> str:
    return f"run {run.name}"


def _origin(origin: Mapping[str, Any]) -> list[str]:
    return [
        f"commit {origin['commit']}" if "commit" in origin else "",
        str(origin.get("hardware", "")),
        str(origin.get("date", "")).partition("T")[0],
    ]


def _command(got: Mapping[str, Any]) -> str:
    return str(got.get("provenance", {}).get("command", ""))


def _unique(trained: Iterable[Training]) -> list[Training]:
    return list({training.folder: training for training in trained}.values())


def _list(facts: Iterable[str]) -> str:
    return ", ".join(fact for fact in facts if fact) or "nothing recorded"
