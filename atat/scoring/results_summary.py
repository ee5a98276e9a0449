"""Two lines above a results table: what it compares, and what to see first.

Both are computed from the rows: how many were run, which of our systems is first in the first
column, by how much, and whether other test data could change that. If nothing was run, the
figures of others are used instead.

Knows nothing of YAML and of how the table itself is laid out (`atat results`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from atat.scoring.markdown import comparison_text, listed, plural, signed
from atat.scoring.metrics import METRICS
from atat.scoring.results_runs import Runs

CLEAR = 0.05  # a difference is called clear below this p


class ColumnLike(Protocol):
    """A column of the table: a metric, on one of its conditions if it has any."""

    @property
    def metric(self) -> str: ...

    @property
    def condition(self) -> str: ...

    @property
    def key(self) -> str: ...

    @property
    def title(self) -> str: ...


@dataclass(frozen=True)
class Entry:
    """A row of the table. A ceiling knows more than the systems, so it is not compared with them.

    runs: ours by condition, "" if the table has none; given: figures of others by column;
    by_paper: the paper has this row, perhaps only as a difference.
    """

    name: str
    kind: Literal["system", "ceiling", "published"]
    runs: Mapping[str, Runs]
    given: Mapping[str, Any]
    by_paper: bool = False

    @property
    def is_run(self) -> bool:
        return any(self.runs.values())


def summary(entries: Sequence[Entry], columns: Sequence[ColumnLike]) -> str:
    """The two lines, as a Markdown list."""
    return f"- Compared: {_compared(entries, columns)}\n- To see first: {_first(entries, columns)}"


def _compared(entries: Sequence[Entry], columns: Sequence[ColumnLike]) -> str:
    """ "2 systems by SemER, beside 1 published; 1 of 2 rows was not run."""
    kinds = {kind: [e for e in entries if e.kind == kind] for kind in ("system", "ceiling")}
    titles = dict.fromkeys(METRICS[column.metric].title for column in columns)
    conditions = len({column.condition for column in columns})
    text = f"{plural(len(kinds['system']), 'system')} by {listed(list(titles))}"
    if conditions > 1:
        text += f" on {conditions} test sets"
    published = sum(e.kind == "published" for e in entries)
    paper = sum(entry.by_paper for entry in entries)
    beside = [
        f"{plural(len(kinds['ceiling']), 'ceiling')} ({listed([e.name for e in kinds['ceiling']])})"
        if kinds["ceiling"] else "",
        f"{published} published by others" if published else "",
        f"the paper's figures for {paper}" if paper else "",
    ]  # fmt: skip
    if any(beside):
        text += f", beside {listed([part for part in beside if part])}"
    return f"{text}; {_run(kinds['system'] + kinds['ceiling'])}."


def _run(ours: Sequence[Entry]) -> str:
    missing = sum(not entry.is_run for entry in ours)
    part = sum(entry.is_run and not all(entry.runs.values()) for entry in ours)
    if missing == len(ours):
        return "none of ours was run"
    if not missing and not part:
        return "all rows were run"
    gaps = [f"{missing} not run"] if missing else []
    gaps += [f"{part} run on a part of the test sets"] if part else []
    return f"of {plural(len(ours), 'row')} {listed(gaps)}"


def _first(entries: Sequence[Entry], columns: Sequence[ColumnLike]) -> str:
    for column in columns:
        if any(entry.runs.get(column.condition) for entry in entries if entry.kind == "system"):
            return _first_of_ours(entries, column)
    ceilings = any(entry.is_run for entry in entries if entry.kind == "ceiling")
    said = "no system was run here yet" if ceilings else "nothing was run here yet"
    for column in columns:
        given = [
            (f"{entry.name} ({'published' if entry.kind == 'published' else 'paper'})", value)
            for entry in entries
            if entry.kind != "ceiling"
            and isinstance(value := entry.given.get(column.key), (int, float))
        ]
        if given:
            return f"{said}; of the figures of others, {_first_given(given, column)}."
    return f"{said}, and others give no figures to set beside."


def _first_given(given: Sequence[tuple[str, float]], column: ColumnLike) -> str:
    ranked = sorted(given, key=lambda one: _cost(one[1], column))
    (name, value), following = ranked[0], ranked[1:]
    text = f"{name} is first with {column.title} {value:.2f}"
    if following:
        gap = signed(value - following[0][1])
        text += f", {gap} points against the next, {following[0][0]}"
    return text


def _first_of_ours(entries: Sequence[Entry], column: ColumnLike) -> str:
    """Which row is first in a column, against the next and against the first row that was run.

    Of several with the same figure all are first.
    """
    values: list[tuple[float, str, Runs]] = []
    for entry in entries:
        runs = entry.runs.get(column.condition)
        value = runs.figure(column.metric).interval.value if runs else None
        if entry.kind == "system" and runs and value is not None:
            values.append((value, entry.name, runs))
    if not values:
        return f"{column.title} is undefined in every row."
    ranked = sorted(values, key=lambda one: _cost(one[0], column))
    value, name, runs = ranked[0]
    figure = f"{column.title} {value:.2f}"
    if len(ranked) == 1:
        others = [e for e in entries if e.kind == "system" and e.runs.get(column.condition)]
        if len(others) > 1:
            return f"{name} has {figure}; of the other systems it is undefined."
        return f"{name} has {figure}; no other system was run to compare it with."
    equal = [one[1] for one in ranked if math.isclose(one[0], value, abs_tol=1e-9)]
    if len(equal) == len(ranked):
        return f"{listed(equal)} are first with {figure}."
    following, top = ranked[len(equal)], values[0]
    against = [_against(runs, following, column, "the next")]
    if top[1] not in (*equal, following[1]):
        against.append(_against(runs, top, column, "the first row"))
    if len(equal) > 1:
        return f"{listed(equal)} are first with {figure}; {name} {'; '.join(against)}."
    return f"{name} is {_ahead(runs, following, column)} with {figure}; {'; '.join(against)}."


def _ahead(runs: Runs, following: tuple[float, str, Runs], column: ColumnLike) -> str:
    if not _same_utterances(runs, following[2]):
        return "first"
    p = runs.against(following[2], column.metric).p_value
    return "clearly ahead" if p is not None and p < CLEAR else "first, but not clearly,"


def _against(runs: Runs, other: tuple[float, str, Runs], column: ColumnLike, place: str) -> str:
    if not _same_utterances(runs, other[2]):
        return f"{place}, {other[1]}, has {other[0]:.2f} on other utterances"
    found = runs.against(other[2], column.metric)
    return f"{comparison_text(found)} against {place}, {other[1]}"


def _same_utterances(one: Runs, two: Runs) -> bool:
    first, second = ({scored.utt for scored in runs.runs[0].scored} for runs in (one, two))
    return first == second


def _cost(value: float, column: ColumnLike) -> float:
    return value if METRICS[column.metric].lower_is_better else -value
