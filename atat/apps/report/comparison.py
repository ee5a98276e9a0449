"""Comparison of systems on a test set: values with intervals, and paired differences.

The tables of a recipe are in its exp folder, as `results.yaml` (`atat results` reads it): then rows
have its names, folds are one test set, and a table with conditions, such as levels of noise, is
drawn as lines. Otherwise the decodings of each test set are compared, those of several seeds as one
row. Intervals and differences are those of `atat results`. Knows nothing of metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from atat.apps.report.content import Block, Gallery, Note, Section, Table, attempt
from atat.apps.report.drawing import DASHES, MUTED, SERIES, Draw, legend_below, short
from atat.apps.report.experiment import OF_FRAMES, SEED, Decoding, Found, shown
from atat.base import config
from atat.base.errors import InputError
from atat.scoring import results, results_runs
from atat.scoring.bootstrap import Interval
from atat.scoring.figures import format_interval
from atat.scoring.markdown import comparison_text, plural
from atat.scoring.metrics import METRICS
from atat.scoring.results_runs import Runs
from atat.scoring.results_settings import CONDITION, Report, Row
from atat.scoring.results_settings import Table as ResultsTable

MARKERS = "os^Dvp*"


@dataclass(frozen=True)
class Line:
    """A system on one test set. A published one has a value only."""

    name: str
    runs: Runs
    value: float | None = None
    baseline: str = ""
    published: bool = False


def sections(draw: Draw, found: Found) -> list[Section]:
    """A section for each table or test set with something to compare."""
    reports = [path for folder in found.folders for path in sorted(folder.glob("results*.yaml"))]
    if reports:
        return [section for path in reports for section in _of_report(draw, path)]
    made = []
    for title, decodings in _by_test_set(found.decodings).items():
        make = lambda d=decodings, t=title: _of_decodings(draw, t, d)  # noqa: E731
        blocks = attempt(f"The comparison on {title}", make)
        if blocks:
            made.append(Section(f"Test set {title}", blocks))
    return made


def _of_report(draw: Draw, path: Path) -> Iterator[Section]:
    try:
        report = config.load(path, Report)
    except InputError as error:
        yield Section(path.name, [Note(f"The tables of {path} are left out. {error}")])
        return
    for table in report.tables:
        make = lambda table=_placed(table, path): _of_table(draw, table)  # noqa: E731
        yield Section(table.title, attempt(f"The table {table.title!r}", make))


def _placed(table: ResultsTable, path: Path) -> ResultsTable:
    """A table whose rows are found from the current folder, too: paths start at its recipe."""
    patterns = [row.decoded for row in table.rows if row.decoded]
    for base in (Path("."), *path.absolute().parents):
        if any(results_runs.matches(str(base / _any(pattern))) for pattern in patterns):
            rows = tuple(
                replace(row, decoded=str(base / row.decoded) if row.decoded else "")
                for row in table.rows
            )
            return replace(table, rows=rows)
    return table


def _any(pattern: str) -> str:
    return pattern.replace(CONDITION, "*").replace(results_runs.SEED, "*")


def _of_table(draw: Draw, table: ResultsTable) -> Iterator[Block]:
    found = {row.name: results.find_runs(table, row) for row in table.rows}
    if not any(runs for by_condition in found.values() for runs in by_condition.values()):
        yield Note("None of its rows has been decoded and scored.")
        return
    if table.note:
        yield Note(" ".join(table.note.split()))
    metric = table.metrics[0]
    if table.conditions:
        yield from _conditions(draw, table, metric, found)
        return
    lines = [
        Line(
            row.name,
            found[row.name][""],
            _published(row, metric),
            row.baseline,
            bool(row.published),
        )
        for row in table.rows
    ]
    yield from _forest(draw, table.title, lines, table.metrics)


def _published(row: Row, metric: str) -> float | None:
    value = row.published.get(metric)
    return float(value) if isinstance(value, (int, float)) else None


def _by_test_set(decodings: Iterable[Decoding]) -> dict[str, list[Decoding]]:
    """Scored decodings by test set and figure: those of trees and of words are not compared."""
    kinds = {"em_hyp": "", "wer": ", words"}
    sets: dict[str, list[Decoding]] = {}
    for one in decodings:
        if one.score and one.target:
            kind = kinds.get(one.metric, f", {METRICS[one.metric].title.lower()}")
            sets.setdefault(shown(one.data) + kind, []).append(one)
    return sets


def _of_decodings(draw: Draw, title: str, decodings: Sequence[Decoding]) -> Iterator[Block]:
    """The decodings of one test set; the seeds of an experiment are the runs of a row."""
    rows: dict[str, list[Decoding]] = {}
    for one in decodings:
        rows.setdefault(f"{one.system}: {one.name}", []).append(one)
    lines = [Line(name, _runs(of_row)) for name, of_row in rows.items()]
    if len(lines) < 2:
        return
    metric = decodings[0].metric
    known = [
        name
        for name in ("em_hyp", "semer", "intent_acc", "tree_validity", "wer", "em_full", *OF_FRAMES)
        if all(name in line.runs.runs[0].scored[0].counts for line in lines)
    ]
    best = _ranked(lines, metric)[0].name
    lines = [Line(line.name, line.runs, None, "" if line.name == best else best) for line in lines]
    yield from _forest(
        draw, title, lines, [metric, *(name for name in known if name != metric)][:4]
    )


def _runs(decodings: Sequence[Decoding]) -> Runs:
    """Several seeds as runs of one row, as `atat results` finds them."""
    first = decodings[0].folder
    above = first.parent.parent
    seeds = {
        one.folder.parent.name: [one.folder]
        for one in decodings
        if one.folder.parent.parent == above and SEED.fullmatch(one.folder.parent.name)
    }
    return results_runs.read(seeds or {"": [first]})


def _ranked(lines: Sequence[Line], metric: str) -> list[Line]:
    """Best first; what was not run at the end."""

    def cost(line: Line) -> tuple[bool, float]:
        value = _value(line, metric)
        sign = 1 if METRICS[metric].lower_is_better else -1
        return value is None, sign * (value or 0.0)

    return sorted(lines, key=cost)


def _value(line: Line, metric: str) -> float | None:
    if not line.runs:
        return line.value
    values = line.runs.values(metric)
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def interval_of(runs: Runs, metric: str) -> Interval:
    """The mean of the runs with its interval; that of a single decoding `atat score` has drawn."""
    if len(runs.runs) == 1 and len(runs.folders) == 1:
        known = results_runs.info(runs.folders[0], "score.json").get("metrics", {}).get(metric)
        if known is not None:
            return Interval(known["value"], known["low"], known["high"])
    return runs.figure(metric).interval


def _forest(
    draw: Draw, title: str, lines: Sequence[Line], metrics: Sequence[str]
) -> Iterator[Block]:
    """A value with its interval for each line, best first; then the numbers and differences."""
    metric = metrics[0]
    ran = [line for line in _ranked(lines, metric) if _value(line, metric) is not None]
    figures = {line.name: interval_of(line.runs, metric) for line in ran if line.runs}
    if not ran:
        yield Note(f"{METRICS[metric].title} is defined in no row.")
        return
    figure, axes = draw.axes(5.2, 0.9 + 0.37 * len(ran))
    for place, line in enumerate(ran):
        value, colour = _value(line, metric), SERIES[0] if line.runs else MUTED
        if line.runs:
            interval = figures[line.name]
            if interval.low is not None and interval.high is not None:
                ends = [interval.low, interval.high]
                axes.plot(ends, [place, place], color=colour, linewidth=2.6)
        inside = colour if line.runs else "none"
        axes.plot([value], [place], "o", color=colour, markersize=6, markerfacecolor=inside)
        # Above its line, not beside the axes: on a phone a long name would leave no room for them.
        axes.text(
            0.0,
            place - 0.26,
            short(line.name, 60),
            fontsize=9.5,
            va="bottom",
            transform=axes.get_yaxis_transform(),
            in_layout=False,
        )
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(ran) - 0.5, -0.85)
    better = "lower" if METRICS[metric].lower_is_better else "higher"
    axes.set_xlabel(f"{METRICS[metric].title}, per cent ({better} is better)")
    axes.grid(axis="y", visible=False)
    caption = f"{METRICS[metric].title}: {METRICS[metric].meaning}. Lines: 95 % intervals."
    if any(not line.runs for line in ran):
        caption += " Hollow: published by others."
    label = "; ".join(f"{line.name} {_value(line, metric):.1f}" for line in ran[:8])
    yield Gallery((draw.finish(figure, f"compare-{title}", f"{title}: {label}", caption),))
    absent = [line for line in lines if _value(line, metric) is None]
    yield from _absent({one.name: bool(one.runs) or one.published for one in absent}, metric)
    yield _numbers(ran, metrics, figures)
    differences = _differences(ran, metric)
    if differences.rows:
        yield differences


def _absent(rows: Mapping[str, bool], metric: str) -> Iterator[Note]:
    """Which rows are not drawn: those without such a figure (true), and those that were not run."""
    for said, known in (("Not run", False), (f"Without {METRICS[metric].title}", True)):
        names = [name for name, has_others in rows.items() if has_others == known]
        if names:
            yield Note(f"{said}: {'; '.join(names)}.")


def _numbers(ran: Sequence[Line], metrics: Sequence[str], figures: Mapping[str, Interval]) -> Table:
    rows = []
    for line in ran:
        if not line.runs:
            rows.append((line.name, "published", f"{line.value:g}", *("–" for _ in metrics[1:])))
            continue
        others = (_value(line, metric) for metric in metrics[1:])
        cells = ("n/a" if value is None else f"{value:.2f}" for value in others)
        first = format_interval(figures[line.name])
        rows.append((line.name, line.runs.count_text, first, *cells))
    header = ("", "runs", *(METRICS[metric].title for metric in metrics))
    return Table("Per cent, the first figure with its 95 % interval.", header, tuple(rows))


def _differences(ran: Sequence[Line], metric: str) -> Table:
    """Each line with a baseline, drawn in pairs."""
    by_name = {line.name: line for line in ran}
    rows = []
    for line in ran:
        base = by_name.get(line.baseline)
        if line.runs and base is not None and base.runs:
            compared = comparison_text(line.runs.against(base.runs, metric))
            rows.append((f"{line.name} - {base.name}", compared))
    title = METRICS[metric].title
    return Table(
        f"Differences in {title}, in points, with 95 % intervals and p of a paired bootstrap.",
        ("", title),
        tuple(rows),
    )


def _conditions(
    draw: Draw, table: ResultsTable, metric: str, found: Mapping[str, Mapping[str, Runs]]
) -> Iterator[Block]:
    """A line for each row over the conditions of a table."""
    conditions = list(table.conditions)
    values: dict[str, list[float | None]] = {}
    cells: list[tuple[str, ...]] = []
    figure, axes = draw.axes(6.8, 4.0 + 0.19 * len(table.rows))
    ours = 0
    for number, row in enumerate(table.rows):
        figures = [
            interval_of(runs, metric) if (runs := found[row.name].get(c)) else None
            for c in conditions
        ]
        given = [row.published.get(f"{metric}@{condition}") for condition in conditions]
        line = [
            f.value if f else float(g) if isinstance(g, (int, float)) else None
            for f, g in zip(figures, given)
        ]
        if not any(value is not None for value in line):
            continue
        values[row.name] = line
        own = any(figures)
        places = [place for place, value in enumerate(line) if value is not None]
        axes.plot(
            places,
            [line[place] for place in places],
            color=SERIES[ours % len(SERIES)] if own else MUTED,
            marker=MARKERS[number % len(MARKERS)],
            markersize=5 if own else 4,
            markerfacecolor=None if own else "none",
            linewidth=1.8 if own else 0.9,
            linestyle=DASHES[(ours // len(SERIES)) % len(DASHES)] if own else (0, (2, 2)),
            label=short(row.name + ("" if own else " (published)"), 80),
        )
        for place, one in enumerate(figures):
            if one and one.low is not None and one.high is not None:
                axes.plot(
                    [place, place],
                    [one.low, one.high],
                    color=SERIES[ours % len(SERIES)],
                    linewidth=0.9,
                    alpha=0.7,
                )
        ours += own
        cells.append(
            (
                row.name,
                *(
                    format_interval(f) if f else "–" if value is None else f"{value:g}"
                    for f, value in zip(figures, line)
                ),
            )
        )
    axes.set_xticks(range(len(conditions)), [short(name, 16) for name in conditions])
    axes.set_ylabel(f"{METRICS[metric].title}, per cent")
    axes.set_xlabel("condition")
    legend_below(axes, columns=1)
    label = "; ".join(
        f"{name} {_ends(conditions, line)}" for name, line in list(values.items())[:8]
    )
    yield Gallery(
        (
            draw.finish(
                figure,
                f"compare-{table.title}",
                f"{table.title}: {label}",
                f"{METRICS[metric].title}: {METRICS[metric].meaning}. Upright lines: 95 % "
                f"intervals. {plural(len(values), 'system')}.",
            ),
        ),
        wide=True,
    )
    absent = {
        row.name: bool(row.published) or any(found[row.name].values())
        for row in table.rows
        if row.name not in values
    }
    yield from _absent(absent, metric)
    yield Table("Per cent with 95 % intervals.", ("", *conditions), tuple(cells))


def _ends(conditions: Sequence[str], line: Sequence[float | None]) -> str:
    """The first and the last value of a row in words: "62.5 (6 dB) to 87.5 (24 dB)"."""
    known = [f"{v:.1f} ({c})" for c, v in zip(conditions, line) if v is not None]
    return " to ".join(dict.fromkeys((known[0], known[-1])))
