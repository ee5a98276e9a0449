"""Curves of training: losses, validation by source, learning rate; the events TensorBoard draws.

Seeds of an experiment have the same colour and other dashes. Without TensorBoard's files the
validations of train.json are drawn. Knows nothing of how a model is trained.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from atat.apps.report.content import Block, Gallery, Note
from atat.apps.report.drawing import DASHES, SERIES, Draw, Picture, legend_below, short
from atat.apps.report.experiment import Experiment, Training
from atat.base.errors import InputError

POINTS = 300  # of a curve; more are averaged in groups
NOT_LOSSES = {"rate", "gradient_norm", "audio_seconds_per_second"}

Curve = tuple[np.ndarray, np.ndarray]  # steps, values
Curves = dict[str, Curve]


def blocks(draw: Draw, experiment: Experiment) -> Iterator[Block]:
    """The curves of an experiment. Raises InputError if there is nothing to draw."""
    runs = {training.name: read(training) for training in experiment.trainings}
    if not any(runs.values()):
        raise InputError(
            f"neither TensorBoard's events nor validations in "
            f"{', '.join(str(training.folder) for training in experiment.trainings)}"
        )
    trained = [name for name in _names(runs, "train/") if name not in NOT_LOSSES]
    losses = [name for name in trained if not _is_share(name)]
    drawn = [
        _panel(
            draw,
            f"{experiment.name}-train",
            "Loss in training",
            "loss per target (nats)",
            {name: f"train/{name}" for name in losses},
            runs,
            "The minimised loss, and its terms before they are weighted.",
        ),
        _panel(
            draw,
            f"{experiment.name}-train-shares",
            "Right in training",
            "per cent",
            {_title(name): f"train/{name}" for name in trained if _is_share(name)},
            runs,
            "Shares that are right.",
            scale=100,
        ),
        _panel(
            draw,
            f"{experiment.name}-valid",
            "Loss in validation, by task",
            "cross entropy per target (nats)",
            {name: f"valid_loss/{name}" for name in _names(runs, "valid_loss/")},
            runs,
            "Of each source of valid.sources, without label smoothing.",
        ),
        *(
            _panel(
                draw,
                f"{experiment.name}-{share}",
                f"{_title(share)} in validation, by task",
                "per cent",
                {name: f"valid_{share}/{name}" for name in _names(runs, f"valid_{share}/")},
                runs,
                _MEANING.get(share, "Share that is right."),
                scale=100,
            )
            for share in _validated_shares(runs)
        ),
        _panel(
            draw,
            f"{experiment.name}-rate",
            "Learning rate",
            "learning rate",
            {"learning rate": "train/rate"} if _names(runs, "train/") else {},
            runs,
            "Of weights that are not frozen and have no multiplier.",
        ),
    ]
    pictures = tuple(picture for picture in drawn if picture is not None)
    if not _names(runs, "train/"):
        yield Note("No TensorBoard events: only the validations of train.json are drawn.")
    elif not _names(runs, "valid_"):
        yield Note("No validation: the conf names no valid.sources.")
    yield Gallery(pictures)


def read(training: Training) -> Curves:
    """Curves by name: train/loss, valid_loss/slu/dev, ..."""
    folder = training.folder / "tensorboard"
    if folder.is_dir() and any(folder.glob("events.out.tfevents.*")):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        # A torn end of a file is a warning of its own; what was written before it is read.
        logging.getLogger("tensorboard").setLevel(logging.ERROR)
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        found = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
        return {
            tag: (np.array([e.step for e in line]), np.array([e.value for e in line]))
            for tag, line in found.items()
        }
    return _validations(training.facts)


def _validations(facts: Mapping[str, Any]) -> Curves:
    """The curves of validation from train.json."""
    points: dict[str, list[tuple[int, float]]] = {}
    for validation in facts.get("validations") or ():
        for source in validation.get("sources") or ():
            for name, value in source.items():
                if name != "name" and isinstance(value, (int, float)):
                    line = points.setdefault(f"valid_{name}/{source.get('name')}", [])
                    line.append((int(validation.get("step", 0)), float(value)))
    return {
        name: (np.array([step for step, _ in line]), np.array([value for _, value in line]))
        for name, line in points.items()
    }


def thin(steps: np.ndarray, values: np.ndarray, points: int = POINTS) -> Curve:
    """At most `points` points of a curve (N,): means of neighbours, of steps and of values."""
    if len(steps) <= points:
        return steps, values
    groups = np.array_split(np.arange(len(steps)), points)
    return (
        np.array([steps[group].mean() for group in groups]),
        np.array([values[group].mean() for group in groups]),
    )


def _panel(
    draw: Draw,
    name: str,
    title: str,
    unit: str,
    lines: Mapping[str, str],
    runs: Mapping[str, Curves],
    caption: str,
    *,
    scale: float = 1.0,
) -> Picture | None:
    """One axes with a curve of each line (label -> name of the curve) and run; None if empty."""
    lines = {
        label: tag for label, tag in lines.items() if any(tag in curves for curves in runs.values())
    }
    if not lines:
        return None
    figure, axes = draw.axes(4.6, 3.0 + 0.2 * (len(lines) > 2) * ((len(lines) + 1) // 2))
    for number, (label, tag) in enumerate(lines.items()):
        seen = False
        for run, curves in enumerate(runs.values()):
            if tag not in curves:
                continue
            steps, values = thin(*curves[tag])
            dash = DASHES[(run if len(runs) > 1 else number // len(SERIES)) % len(DASHES)]
            axes.plot(
                steps,
                scale * values,
                color=SERIES[number % len(SERIES)],
                linestyle=dash,
                marker="o" if len(steps) < 16 else None,
                markersize=3.5,
                label=None if seen else short(label, 26),
            )
            seen = True
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.set_ylabel(unit)
    axes.xaxis.set_major_locator(_locator(5))
    axes.xaxis.set_major_formatter(_thousands())
    if scale == 100:
        axes.set_ylim(0, 102)
    if len(lines) > 1 or "valid" in name or scale == 100:
        legend_below(axes)
    ends = _ends(lines, runs, scale)
    if len(runs) > 1:
        caption += f" Dashes: {', '.join(runs)}."
    return draw.finish(figure, name, f"{title}: {ends}", caption)


def _ends(lines: Mapping[str, str], runs: Mapping[str, Curves], scale: float) -> str:
    """The last value of each curve in words."""
    first = next(iter(runs.values()))
    return "; ".join(
        f"{label} ends at {scale * first[tag][1][-1]:.3g}"
        for label, tag in lines.items()
        if tag in first and len(first[tag][1])
    )


def _names(runs: Mapping[str, Curves], prefix: str) -> Sequence[str]:
    names = {tag: None for curves in runs.values() for tag in curves if tag.startswith(prefix)}
    return [tag.removeprefix(prefix) for tag in names]


def _is_share(name: str) -> bool:
    """Whether a figure of training is no loss but a share of what was predicted."""
    return name.endswith("accuracy") or name in ("exact_match", "nearest")


def _validated_shares(runs: Mapping[str, Curves]) -> list[str]:
    """The figures of validation beside the loss: all are shares (`atat.engine.validate`).

    Where whole outputs were decoded, their tokens are not drawn, too.
    """
    found = dict.fromkeys(name.partition("/")[0] for name in _names(runs, "valid_"))
    hidden = {"loss", *(["accuracy"] if "exact_match" in found else [])}
    return [name for name in found if name not in hidden]


def _title(figure: str) -> str:
    return figure.replace("_", " ").capitalize()


def _locator(count: int) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(count, integer=True)


def _thousands() -> Any:
    from matplotlib.ticker import FuncFormatter

    say: Callable[[float, Any], str] = lambda value, _: f"{value:,.0f}"  # noqa: E731
    return FuncFormatter(say)


_MEANING = {
    "exact_match": "Share of what validation reads that is all right: all of each source, or, in a "
    "model that writes trees (joint), the first valid.decode utterances of it, which are decoded.",
    "accuracy": "Share of tokens that are right when those before them are given.",
}
