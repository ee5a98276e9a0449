"""The figures of `atat calibrate`, as CSV files and as lines.

answers.csv       every answer with its confidence
acceptance.csv    what each threshold accepts: answers, right ones, those to outsiders
reliability.csv   of answers of similar confidence, the share that is right
calibrate.json    the figures, and on what they were fitted
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atat.base.calibration import Fitted
from atat.base.files import atomic_write
from atat.scoring import confidence

NAMES = ("answers.csv", "acceptance.csv", "reliability.csv", "calibrate.json")
OWN = ("whole", "token", "ahead")  # what a model itself says, before it is calibrated


@dataclass(frozen=True)
class Answered:
    """An answer to an utterance of a data dir."""

    utterance: str
    part: str  # dev or test
    data: str
    text: str
    right: bool
    outside: bool  # the utterance is not for the model: no answer is right
    evidence: Mapping[str, float] | None  # None: answered without the model, and never accepted

    @property
    def is_for_the_model(self) -> bool:
        """Whether its confidence is to say how likely it is right: the model answered, as asked."""
        return self.evidence is not None and not self.outside


def confidences(answers: Sequence[Answered], fitted: Fitted) -> np.ndarray:
    """(N,); 0 for answers without the model."""
    return np.array(
        [0.0 if one.evidence is None else fitted.confidence(one.evidence) for one in answers]
    )


def figures_of(answers: Sequence[Answered], fitted: Fitted, threshold: float) -> dict[str, Any]:
    """Calibration error on what is for the model, before and after; what is accepted of all.

    Before: the probability of the whole answer; of a token of it; the best hypothesis' share of the
    probability of those in the list.
    """
    sure = confidences(answers, fitted)
    right = np.array([one.right for one in answers])
    asked = np.array([one.is_for_the_model for one in answers])
    error = confidence.expected_calibration_error
    own = {
        name: np.array([np.exp((one.evidence or {}).get(name, -np.inf)) for one in answers])
        for name in OWN
    }
    groups = {}
    for name in dict.fromkeys(one.data for one in answers):
        chosen = np.array([one.data == name for one in answers])
        accepted = chosen & (sure >= threshold)
        groups[name] = {
            "outside": any(one.outside for one in answers if one.data == name),
            "n": int(chosen.sum()),
            "right": int((right & chosen).sum()),
            "accepted": int(accepted.sum()),
            "accepted_right": int((accepted & right).sum()),
        }
    return {
        "n": int(asked.sum()),
        "ece": error(sure[asked], right[asked]),
        "ece_before": {name: error(one[asked], right[asked]) for name, one in own.items()},
        "groups": groups,
    }


def write(out: Path, answers: Sequence[Answered], fitted: Fitted) -> None:
    """The figures as files in the folder `out`."""
    sure = confidences(answers, fitted)
    right = np.array([one.right for one in answers])
    outside = np.array([one.outside for one in answers])
    asked = np.array([one.is_for_the_model for one in answers])
    parts = {
        part: np.array([one.part == part for one in answers])
        for part in dict.fromkeys(one.part for one in answers)
    }
    with _table(out / "answers.csv", "utterance part data confidence right outside text") as rows:
        for one, value in zip(answers, sure):
            flags = [int(one.right), int(one.outside)]
            rows.writerow([one.utterance, one.part, one.data, f"{value:.6f}", *flags, one.text])
    head = "part threshold accepted right outside share_of_right share_of_outside"
    with _table(out / "acceptance.csv", head) as rows:
        for part, chosen in parts.items():
            totals = [max(int((kind & chosen).sum()), 1) for kind in (right, outside)]
            for point in confidence.curve(sure[chosen], right[chosen], outside[chosen]):
                shares = [point.right / totals[0], point.outside / totals[1]]
                written = [f"{share:.4f}" for share in shares]
                rows.writerow([part, f"{point.threshold:.6f}", *point[1:], *written])
    with _table(out / "reliability.csv", " ".join(["part", *confidence.Bin._fields])) as rows:
        for part, chosen in parts.items():
            some = chosen & asked
            for one_bin in confidence.reliability(sure[some], right[some]):
                values = [one if isinstance(one, int) else f"{one:.4g}" for one in one_bin]
                rows.writerow([part, *values])
    with atomic_write(out / "calibrate.json") as stream:
        json.dump(fitted.about, stream, indent=1)


@contextmanager
def _table(path: Path, head: str) -> Iterator[Any]:
    """A CSV file with a first line of names."""
    with atomic_write(path) as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(head.split())
        yield rows


def lines_of(figures: Mapping[str, Any], model: Path, out: Path) -> str:
    """The figures for a terminal."""
    lines = [f"{model}: task {figures['task']}, threshold {figures['threshold']:.3f}"]
    for part in ("dev", "test"):
        if part not in figures:
            continue
        found = figures[part]
        held = f", held out {_shown(figures['dev_held_out_ece'])}" if part == "dev" else ""
        before = ", ".join(f"{name} {_shown(found['ece_before'][name])}" for name in OWN)
        lines.append(
            f"{part}: expected calibration error {_shown(found['ece'])}{held} of {found['n']} "
            f"answers (the model's own probabilities: {before})"
        )
        for name, group in found["groups"].items():
            right = "outside" if group["outside"] else f"{group['right']} right"
            kept = "" if group["outside"] else f", {group['accepted_right']} of them right"
            lines.append(f"  {name}: {group['n']}, {right}; accepted {group['accepted']}{kept}")
    return "\n".join([*lines, f"{out}: {', '.join(NAMES)}"])


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
