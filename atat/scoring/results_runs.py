"""Finds, pools, summarises and compares the runs behind a row of a results table.

A run is one trained model's output on a test set: one decoded dir, or those of all folds of a
cross-validation. Runs that differ only in the seed make one row. All numbers come from files
written by `atat score`, `atat train` and `atat decode`.

Knows nothing of Markdown or YAML (`atat results`).
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from atat.base.config import read_yaml
from atat.base.errors import InputError
from atat.base.json_file import read_object
from atat.scoring import bootstrap
from atat.scoring.bootstrap import Comparison, Interval
from atat.scoring.score import (
    Scored,
    check_same_references,
    check_same_utterances,
    counts_array,
    load_scored,
)

SEED = "{seed}"
WRITERS = {
    "train.json": "the training",
    "decode.json": "the decoding",
    "score.json": "atat score",
}


@dataclass(frozen=True)
class Run:
    """One trained model (or its folds) on one test set; `scored` is sorted by utterance."""

    name: str
    folders: tuple[Path, ...]
    scored: tuple[Scored, ...]
    folds: tuple[tuple[Scored, ...], ...] = ()  # the same utterances, by folder


@dataclass(frozen=True)
class Training:
    """A folder of `atat train`, with its train.json (empty if there is none)."""

    folder: Path
    info: dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A metric over the runs of a row, in per cent."""

    values: tuple[float | None, ...]  # one per run
    interval: Interval  # of their mean
    n: int  # utterances
    folds: tuple[float | None, ...] = ()  # of each fold, if one cross-validation is the only run

    @property
    def spread(self) -> float | None:
        """Standard deviation over the runs, or over the folds of a single run.

        None below two, and if the metric is undefined in a run: then their mean is, too.
        """
        if None in self.values:
            return None
        known = [value for value in self.folds or self.values if value is not None]
        return statistics.stdev(known) if len(known) > 1 else None


@dataclass(frozen=True)
class Runs:
    """All runs of one row on one test set; false if there is none."""

    runs: tuple[Run, ...] = ()
    unfinished: tuple[Path, ...] = ()  # decoded dirs without hypotheses yet

    def __bool__(self) -> bool:
        return bool(self.runs)

    @cached_property
    def folders(self) -> list[Path]:
        return [folder for run in self.runs for folder in run.folders]

    @cached_property
    def groups(self) -> list[str]:
        """Names of the groups that the test set is divided into."""
        return sorted({s.group for run in self.runs for s in run.scored if s.group is not None})

    @cached_property
    def speakers(self) -> int:
        return len({scored.spk for scored in self.runs[0].scored})

    @property
    def count_text(self) -> str:
        """ "3", or "1 x 5 folds" if a run is a cross-validation."""
        folds = max(len(run.folders) for run in self.runs)
        return f"{len(self.runs)} x {folds} folds" if folds > 1 else str(len(self.runs))

    def values(self, metric: str) -> list[float | None]:
        """The metric of each run separately, in per cent."""
        return _values(self._counts(metric, None))

    def figure(self, metric: str, group: str | None = None) -> Figure:
        """Mean over the runs with its interval; all runs use the same drawn test set."""
        counts = self._counts(metric, group)
        clusters = self._clusters(counts, group)
        utterances = int((counts[:, :, 1] > 0).any(axis=1).sum())
        interval = bootstrap.mean_interval(clusters, utterances=utterances)
        return Figure(tuple(_values(counts)), interval, len(counts), self._folds(metric, group))

    def _folds(self, metric: str, group: str | None) -> tuple[float | None, ...]:
        """The metric of each fold, in per cent, if one cross-validation is the only run."""
        if len(self.runs) > 1:
            return ()
        parts = [_of_group(fold, group) for fold in self.runs[0].folds]
        return tuple(_values(counts_array(part, [metric]))[0] for part in parts if part)

    def against(self, baseline: Runs, metric: str) -> Comparison:
        """Paired bootstrap of this row minus `baseline` on the same utterances."""
        _check_alike(self.runs[0], baseline.runs[0])
        mine, theirs = self._counts(metric, None), baseline._counts(metric, None)
        clusters = [self._clusters(counts, None) for counts in (mine, theirs)]
        return bootstrap.compare(clusters[0], clusters[1])

    def _counts(self, metric: str, group: str | None) -> np.ndarray:
        """(utterances, runs, 2)"""
        for run in self.runs:
            if metric not in run.scored[0].counts:
                known = ", ".join(run.scored[0].counts)
                raise InputError(f"{run.folders[0]}: no metric {metric!r} there; scored: {known}")
        return np.stack(
            [counts_array(_of_group(run.scored, group), [metric])[:, 0] for run in self.runs],
            axis=1,
        )

    def _clusters(self, counts: np.ndarray, group: str | None) -> np.ndarray:
        speakers = [scored.spk for scored in _of_group(self.runs[0].scored, group)]
        return bootstrap.cluster_sums(counts, speakers)[0]


def find(pattern: str, *, pool: int = 0, data: str = "") -> Runs:
    """The runs whose decoded dirs match a pattern of `*` and `?`; all else stands for itself.

    Each match is a run. With `pool`, this many matches together are one test set (folds), for each
    value of `{seed}` if the pattern contains it; fewer are an unfinished run, since some of the
    folds are a different test set. `data` is a pattern that the scored data dirs must match.
    Raises InputError for runs on other utterances or with stale scores, and for too many folds.
    """
    grouped: dict[str, list[Path]] = {}
    for match in matches(pattern.replace(SEED, "*")):
        if match.is_dir():
            grouped.setdefault(_run_name(pattern, match, pool > 0), []).append(match)
    whole: dict[str, list[Path]] = {}
    unfinished: list[Path] = []
    for name, parts in grouped.items():
        done = [folder for folder in parts if (folder / "hyp").exists()]
        lost = [folder for folder in parts if folder not in done]
        unfinished += lost
        if pool and len(done) > pool:
            raise InputError(
                f"{pattern}: {len(done)} folds, expected {pool} (key `pool`); remove what is of "
                "another cross-validation"
            )
        if len(done) >= max(pool, 1):
            whole[name] = done
        elif not lost:
            unfinished.append(Path(pattern.replace(SEED, name)))
    return read(whole, data, tuple(unfinished))


def matches(pattern: str) -> list[Path]:
    """What matches a pattern of `*` and `?`, sorted; `[` in it stands for itself."""
    return [Path(match) for match in sorted(glob.glob(_plain_brackets(pattern)))]


def _plain_brackets(pattern: str) -> str:
    """A pattern for `glob` and `fnmatch`, to which `[` would begin a class of characters."""
    return pattern.replace("[", "[[]")


def read(
    folders: Mapping[str, Sequence[Path]], data: str = "", unfinished: tuple[Path, ...] = ()
) -> Runs:
    """The runs of decoded dirs by the run's name; see `find`."""
    runs = [_load_run(name, folders[name], data) for name in sorted(folders, key=natural)]
    for run in runs[1:]:
        _check_alike(runs[0], run)
        first, other = ({one.utt: one.group for one in each.scored} for each in (runs[0], run))
        if first != other:
            raise InputError(
                f"{runs[0].folders[0]} and {run.folders[0]}: scored with other groups "
                "(utt2group); score both again (atat score)"
            )
    return Runs(tuple(runs), unfinished)


def trainings(run: Run, pattern: str = "") -> list[Training]:
    """The trainings that led to a run, the earliest first.

    The last one is named by `pattern`, else by the model in decode.json, else it is the folder
    above the decoded dir; earlier ones by the key `init.model` of each training's config.yaml.
    """
    if pattern:
        last = matches(pattern.replace(SEED, run.name))
    else:
        last = [_model_folder(folder) for folder in run.folders]
    found: dict[Path, Training] = {}
    for folder in dict.fromkeys(last):
        for training in _history(folder):
            found.setdefault(training.folder, training)
    return list(found.values())


def option(command: str, name: str) -> str | None:
    """Value of a `--name value` or `--name=value` option in a command line."""
    words = shlex.split(command)
    for word, following in zip(words, [*words[1:], ""]):
        if word == f"--{name}":
            return following
        if word.startswith(f"--{name}="):
            return word.partition("=")[2]
    return None


def info(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file of a folder, empty if there is none; raises InputError if it is damaged."""
    path = folder / name
    fix = f"remove it and run again the command that wrote it ({WRITERS.get(name, 'the command')})"
    return read_object(path, fix) if path.exists() else {}


def at_limit(folders: Sequence[Path]) -> tuple[int, int]:
    """Number of outputs of decoded dirs that the length limit ended, and number of outputs."""
    found = [info(folder, "decode.json") for folder in folders]
    cut, outputs = (
        sum(int(one.get(key) or 0) for one in found) for key in ("at_limit", "utterances")
    )
    return cut, outputs


def _load_run(name: str, folders: Sequence[Path], data: str) -> Run:
    scored: dict[str, Scored] = {}
    folds = []
    for folder in folders:
        found = str(info(folder, "score.json").get("data", ""))
        lines = load_scored(folder)
        wanted = _plain_brackets(os.path.normpath(data))
        if data and not fnmatch.fnmatch(os.path.normpath(found), wanted):
            raise InputError(f"{folder}: scored on {found}, the table is about {data}")
        for one in lines:
            if one.utt in scored:
                raise InputError(
                    f"{folder}: utterance {one.utt} is also in another fold; "
                    "pooled folds must not share test utterances"
                )
            scored[one.utt] = one
        folds.append(tuple(lines))
    return Run(name, tuple(folders), tuple(scored[utt] for utt in sorted(scored)), tuple(folds))


def _run_name(pattern: str, folder: Path, pool: bool) -> str:
    """What distinguishes this run from others of the row: the text matched by the wildcards."""
    group = "(?:{})" if pool else "({})"
    expression = re.escape(os.path.normpath(pattern)).replace(re.escape(SEED), "([^/]*)")
    expression = expression.replace(r"\*", group.format("[^/]*"))
    expression = expression.replace(r"\?", group.format("[^/]"))
    match = re.fullmatch(expression, os.path.normpath(folder))
    assert match, f"{folder} was found by {pattern}"
    return "/".join(match.groups())


def natural(name: str) -> list[tuple[int, str]]:
    """Sorting key of names under which seed2 comes before seed10."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", name)]


def _model_folder(decoded: Path) -> Path:
    model = info(decoded, "decode.json").get("model")
    return Path(model).parent if isinstance(model, str) and model else decoded.parent


def _history(folder: Path) -> list[Training]:
    chain: list[Training] = []
    while folder not in [training.folder for training in chain]:
        chain.append(Training(folder, info(folder, "train.json")))
        settings = folder / "config.yaml"
        start = (read_yaml(settings) if settings.exists() else {}).get("init") or {}
        if not start.get("model"):
            break
        folder = Path(start["model"]).parent
    known = [training for training in chain if training.info]
    return known[::-1]


def _values(counts: np.ndarray) -> list[float | None]:
    """Ratio of each run, from counts (utterances, runs, 2)."""
    ratios = bootstrap.ratios(counts.sum(axis=0)).tolist()
    return [None if np.isnan(ratio) else ratio for ratio in ratios]


def _of_group(scored: Sequence[Scored], group: str | None) -> list[Scored]:
    return [one for one in scored if group is None or one.group == group]


def _check_alike(one: Run, two: Run) -> None:
    """Raise InputError for runs on other utterances, or scored against other references."""
    check_same_utterances(*_ids(one, two))
    check_same_references(one.scored, two.scored, one.folders[0], two.folders[0])


def _ids(one: Run, two: Run) -> tuple[set[str], set[str], str, str]:
    first, second = ({scored.utt for scored in run.scored} for run in (one, two))
    return first, second, str(one.folders[0]), str(two.folders[0])
