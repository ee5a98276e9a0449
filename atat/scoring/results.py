"""Generates RESULTS.md from the folders of a recipe: our numbers are never typed by hand.

    atat results --config conf/results.yaml --out RESULTS.md

    tables:
      - title: Low-resource music
        data: data/test_music
        metrics: [em_full, semer]
        groups: true
        rows:
          - {name: E2E, decoded: "exp/e2e/seed*/decode_test_music"}
          - name: AT-AT
            decoded: "exp/atat/seed*/decode_test_music"
            baseline: E2E
            paper_difference: {semer: 1.45}

The YAML names the tables, the decoded dirs of each row and the paper's figures (its keys:
`atat.scoring.results_settings`); a row without its folders says "not run". Figures come from
score.json and per_utt.jsonl, the details of how they were made from train.json and decode.json.
Paths are relative to the folder in which the command runs, that of the recipe.

Knows nothing of the definitions of metrics (`atat.scoring.metrics`), of pooling and intervals
(`atat.scoring.results_runs`), of the lines above a table (`atat.scoring.results_summary`) or of
text layout (`atat.scoring.markdown`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atat.base import cli, config, provenance
from atat.base.files import atomic_write, read_lines
from atat.scoring import results_details, results_runs
from atat.scoring.figures import format_interval
from atat.scoring.markdown import comparison_text, join, number, signed, table_text
from atat.scoring.metrics import METRICS
from atat.scoring.results_runs import Figure, Runs
from atat.scoring.results_settings import CONDITION, Report, Row, Table
from atat.scoring.results_summary import Entry, summary

NOT_RUN = "not run"
UNKNOWN = "–"


def write_report(report: Report, out: str | Path, *, title_note: str = "") -> None:
    """Write a report as Markdown; InputError for stale scores or rows that do not fit."""
    lines = join(
        f"# {report.title}",
        f"> **{title_note}**" if title_note else "",
        report.intro.strip(),
        *(table_section(table) for table in report.tables),
        *(_included(path) for path in report.include),
        _legend(report),
    )
    with atomic_write(out) as stream:
        stream.write(lines + "\n")


def table_section(table: Table) -> str:
    """A table with its comparisons and, below, how each row was made."""
    found = {row.name: find_runs(table, row) for row in table.rows}
    body: list[list[str]] = []
    for row in table.rows:
        body += _row_lines(table, row, found[row.name])
    header = ["", "n", "runs", *(column.title for column in table.columns)]
    return join(
        f"## {table.title}",
        summary([_entry(row, found[row.name]) for row in table.rows], table.columns),
        table.note.strip(),
        _test_set(table, found),
        table_text(header, body),
        results_details.made_on([(row.train, found[row.name]) for row in table.rows]),
        _notes(table, found),
        _comparisons(table, found),
        results_details.section(
            table.title,
            [
                (row.name, row.train, found[row.name], table.metrics)
                for row in table.rows
                if row.decoded
            ],
        ),
    )


def _entry(row: Row, found: Mapping[str, Runs]) -> Entry:
    if row.published:
        return Entry(row.name, "published", {}, row.published)
    by_paper = bool(row.paper or row.paper_difference)
    return Entry(row.name, "ceiling" if row.ceiling else "system", found, row.paper, by_paper)


def find_runs(table: Table, row: Row) -> dict[str, Runs]:
    """The runs of a row by condition ("" if the table has none)."""
    if not row.decoded:
        return {condition: Runs() for condition in table.conditions or {"": ""}}
    return {
        condition: results_runs.find(
            row.decoded.replace(CONDITION, text),
            pool=row.pool,
            data=table.data.replace(CONDITION, text),
        )
        for condition, text in (table.conditions or {"": ""}).items()
    }


def _row_lines(table: Table, row: Row, found: Mapping[str, Runs]) -> list[list[str]]:
    """Our line, a line for each group, and the paper's line."""
    if row.published:
        return [[f"{row.name} (published)", UNKNOWN, UNKNOWN, *_given(table, row.published)]]
    lines = [_our_line(table, row.name, found)]
    if table.groups:
        groups = sorted({group for runs in found.values() if runs for group in runs.groups})
        lines += [_our_line(table, f"· {group}", found, group) for group in groups]
    if row.paper or row.paper_difference:
        differences = {
            key: f"{signed(v)} to its baseline" if not isinstance(v, str) else v
            for key, v in row.paper_difference.items()
        }
        lines.append(["· paper", UNKNOWN, UNKNOWN, *_given(table, {**differences, **row.paper})])
    return lines


def _our_line(
    table: Table, name: str, found: Mapping[str, Runs], group: str | None = None
) -> list[str]:
    cells: list[str] = []
    sizes: list[str] = []
    for column in table.columns:
        runs = found[column.condition]
        if not runs:
            cells.append(NOT_RUN)
            continue
        if group is not None and group not in runs.groups:
            cells.append(UNKNOWN)
            continue
        figure = runs.figure(column.metric, group)
        cells.append(figure_text(figure))
        sizes.append(str(figure.n))
    counts = [runs.count_text for runs in found.values() if runs]
    return [name, _several(sizes), _several(counts), *cells]


def figure_text(figure: Figure) -> str:
    """ "83.45 ± 0.52 [80.12, 86.40]": mean, spread over runs or folds, interval of the mean."""
    text = format_interval(figure.interval)
    if figure.spread is None or figure.interval.value is None:
        return text
    mean, blank, interval = text.partition(" ")
    return f"{mean} ± {figure.spread:.2f}{blank}{interval}"


def _given(table: Table, figures: Mapping[str, Any]) -> list[str]:
    return [number(figures[c.key]) if c.key in figures else UNKNOWN for c in table.columns]


def _several(values: list[str]) -> str:
    return " / ".join(dict.fromkeys(values)) or UNKNOWN


def _test_set(table: Table, found: Mapping[str, Mapping[str, Runs]]) -> str:
    sizes = []
    for condition in table.conditions or {"": ""}:
        runs = next((f[condition] for f in found.values() if f[condition]), None)
        if runs:
            size = f"{len(runs.runs[0].scored)} {table.items}"
            if runs.speakers > 1:
                size += f", {runs.speakers} {table.clusters}"
            sizes.append(f"{condition}: {size}" if condition else size)
    named = f" `{table.data}`" if table.data else ""
    return f"Test set{named}: {'; '.join(sizes)}." if sizes else ""


def _notes(table: Table, found: Mapping[str, Mapping[str, Runs]]) -> str:
    lines = [f"- {row.name}: {row.note.strip()}" for row in table.rows if row.note]
    lines += [f"- {row.name}: published in {row.source}" for row in table.rows if row.source]
    for name, runs_of in found.items():
        folders = [folder for runs in runs_of.values() for folder in runs.folders]
        cut, outputs = results_runs.at_limit(folders)
        if cut:
            lines.append(f"- {name}: {cut} of {outputs} outputs ended at decoding's length limit")
    return "\n".join(lines)


def _comparisons(table: Table, found: Mapping[str, Mapping[str, Runs]]) -> str:
    """Each row with a baseline: difference, interval and p of ours, difference of the paper's."""
    rows = {row.name: row for row in table.rows}
    body: list[list[str]] = []
    for row in table.rows:
        if not row.baseline:
            continue
        name = f"{row.name} - {row.baseline}"
        cells = []
        for column in table.columns:
            mine, theirs = (found[r][column.condition] for r in (row.name, row.baseline))
            both = mine and theirs
            compared = mine.against(theirs, column.metric) if both else None
            cells.append(comparison_text(compared) if compared else NOT_RUN)
        body.append([name, *cells])
        paper = [_paper_difference(row, rows[row.baseline], c.key) for c in table.columns]
        if any(cell != UNKNOWN for cell in paper):
            body.append(["· paper", *paper])
    if not body:
        return ""
    header = ["Difference in points", *(column.title for column in table.columns)]
    return table_text(header, body)


def _paper_difference(row: Row, baseline: Row, key: str) -> str:
    if key in row.paper_difference:
        return signed(row.paper_difference[key])
    mine, theirs = row.paper.get(key), baseline.paper.get(key)
    if isinstance(mine, str) or isinstance(theirs, str) or mine is None or theirs is None:
        return UNKNOWN
    return signed(mine - theirs)


def _included(path: str) -> str:
    if not Path(path).exists():
        return f"`{path}`: {NOT_RUN}"
    return "\n".join(read_lines(path)).strip()


def _legend(report: Report) -> str:
    used = dict.fromkeys(metric for table in report.tables for metric in table.metrics)
    meanings = [
        f"- {METRICS[m].title} ({'lower' if METRICS[m].lower_is_better else 'higher'} is better): "
        f"{METRICS[m].meaning}."
        for m in used
    ]
    return join(
        "## How to read this",
        "All figures are per cent, counted over the whole test set (micro-average). A cell is the "
        "mean over runs (seeds) ± their standard deviation (of a single cross-validation: that of "
        "its folds), then the 95 % bootstrap interval over "
        "test data: whole speakers are drawn again where several are known, else utterances "
        "(a figure of 0 or 100 % has the exact binomial bound over utterances); "
        "what a different seed would change is in ±, not in the interval. Differences are drawn "
        "in pairs, p is two-sided and never below the chance that as many coins as clusters differ "
        "fall alike. Below some ten speakers intervals and p are rough. The paper's "
        "figures are on its own test data.",
        "\n".join(meanings),
        f"Written by `{provenance.command()}` at commit {provenance.commit()}; "
        "nothing above is typed by hand but the figures of others.",
    )


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        prog="atat results",
        description=cli.guide(
            "Write the results tables of a recipe.",
            "atat results --config conf/results.yaml --out RESULTS.md",
            reads="CONFIG, a YAML file that says which tables there are and which decoded "
            "dirs are a row; their score.json, per_utt.jsonl and decode.json; the "
            "train.json of their models.",
            writes="OUT, Markdown. A row whose decoded dirs are not there says `not run`.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    parser.add_argument("--config", required=True, help="YAML that names tables and rows")
    parser.add_argument("--out", required=True, help="Markdown file to write")
    parser.add_argument("--title_note", default="", help="banner below the title, e.g. miniature")
    options = parser.parse_args(argv)
    report = config.load(options.config, Report)
    write_report(report, options.out, title_note=options.title_note)
    rows = [row for table in report.tables for row in table.rows]
    print(f"{options.out}: {len(report.tables)} tables, {len(rows)} rows")
