"""How sure an answer is, as a probability: what `atat calibrate` has fitted for a packed model.

MODEL/calibration.json     for each task the weight of each piece of evidence, and the threshold

Logistic regression on several scores (Platt 1999 is that on one): confidence =
1 / (1 + exp(-(bias + sum of weight * evidence))). Needs no numpy, so that a device can do it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_object

NAME = "calibration.json"  # in a packed model
VERSION = 1


# What commands say where a threshold was given, but answers have no confidence.
OF_NO_USE = (
    "warning: --threshold is of no use: these answers have no confidence. It takes a model that "
    "was calibrated (atat calibrate), the search of its calibration, and what that weighs, such as "
    "the transcript"
)


def not_kept(before: str | Path, out: Path) -> str:
    """What commands say that have made the model `out` of, or in the place of, a calibrated one:
    weights of evidence and threshold were fitted to the scores of other weights."""
    return (
        f"{before} was calibrated, {out} is not: without it answers have no confidence and nothing "
        f"is rejected. Run `atat calibrate {out} …` with the data of before"
    )


@dataclass(frozen=True)
class Fitted:
    """The confidence of one task."""

    weights: dict[str, float]  # of the evidence, by name
    bias: float
    threshold: float  # answers below it are not to be acted on
    about: dict[str, Any] = field(default_factory=dict)  # on which data, and how good it was

    def confidence(self, evidence: Mapping[str, float]) -> float:
        """0 to 1. Evidence without a weight does not count; that with one must be there."""
        total = self.bias + sum(weight * evidence[name] for name, weight in self.weights.items())
        if total >= 0:
            return 1 / (1 + math.exp(-total))
        return math.exp(total) / (1 + math.exp(total))


@dataclass(frozen=True)
class Calibration:
    """calibration.json."""

    search: dict[str, Any]  # options of decoding with which the evidence was gathered
    tasks: dict[str, Fitted]

    @staticmethod
    def read(folder: Path) -> Calibration | None:
        """That of a packed model; None if it was not calibrated. InputError if it is torn."""
        path = folder / NAME
        if not path.is_file():
            return None
        fix = "calibrate the model again (atat calibrate), or remove the file"
        found = read_object(path, fix)
        version = found.get("version")
        if version != VERSION:
            raise InputError(f"{path}: version {version}, expected {VERSION}; {fix}")
        try:
            tasks = {
                str(name): Fitted(
                    weights={str(k): float(v) for k, v in one["weights"].items()},
                    bias=float(one["bias"]),
                    threshold=float(one["threshold"]),
                    about=dict(one["about"]),
                )
                for name, one in found["tasks"].items()
            }
            return Calibration(dict(found["search"]), tasks)
        except (TypeError, KeyError, ValueError, AttributeError):
            raise InputError(f"{path}: expected what `atat calibrate` writes; {fix}") from None

    def for_search(
        self, given: Mapping[str, Any], usual: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Calibration | None]:
        """Options of a search, its own where none are given, and itself if it is valid for them:
        another search than its own has no confidence.

        usual: what the options that change what is found are where neither names them; others,
        such as the precision, do not matter.
        """
        search = {**self.search, **given}
        own = {**usual, **self.search}
        # What is empty, such as values of no slot, is as good as nothing.
        valid = all((search.get(name, one) or None) == (one or None) for name, one in own.items())
        return search, self if valid else None

    def judged(
        self, task: str, evidence: Mapping[str, float], threshold: float | None
    ) -> tuple[float | None, float | None]:
        """Confidence of an answer, and the threshold it must reach: `threshold`, or its own.

        None for both where the task was not calibrated, or where there is less evidence than was
        weighed, as without a transcript.
        """
        fitted = self.tasks.get(task)
        if fitted is None or not fitted.weights.keys() <= evidence.keys():
            return None, None
        return fitted.confidence(evidence), fitted.threshold if threshold is None else threshold

    def write(self, folder: Path) -> None:
        """Write it into a packed model, whose list of digests is to be written again."""
        content = {"version": VERSION, "search": self.search}
        tasks = {name: asdict(one) for name, one in self.tasks.items()}
        with atomic_write(folder / NAME) as stream:
            json.dump({**content, "tasks": tasks}, stream, indent=1)
