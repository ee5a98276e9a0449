"""What a results page shows: the keys of conf/results.yaml. `atat results` fills the tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from atat.base.errors import InputError
from atat.scoring.metrics import METRICS

CONDITION = "{condition}"


@dataclass(frozen=True)
class Row:
    """A system: our runs, the paper's figures for it, or figures published by others.

    Figures of others are numbers in per cent or text ("no convergence"), by metric, or by
    `metric@condition` in a table with conditions.
    """

    name: str
    decoded: str = ""  # pattern of decoded dirs, one per seed: exp/e2e/seed*/decode_test
    train: str = ""  # pattern of training folders; empty: found through decode.json
    pool: int = 0  # this many matches are the folds of one test set (per {seed}, if given)
    baseline: str = ""  # name of the row that this one is compared with, on paired data
    ceiling: bool = False  # is given what the others must find out: not comparable with them
    note: str = ""
    paper: dict[str, Any] = field(default_factory=dict)
    paper_difference: dict[str, Any] = field(default_factory=dict)  # if it reports only differences
    published: dict[str, Any] = field(default_factory=dict)  # figures of somebody else's system
    source: str = ""  # source of the published figures

    def __post_init__(self) -> None:
        if self.published and self.decoded:
            raise InputError(f"row {self.name!r}: `published` is for rows without `decoded`")
        if bool(self.published) != bool(self.source):
            raise InputError(f"row {self.name!r}: `published` and its `source` go together")
        if self.pool and not self.decoded:
            raise InputError(f"row {self.name!r}: `pool` without `decoded`")


@dataclass(frozen=True)
class Column:
    """One metric, on one of the table's conditions if it has any."""

    metric: str
    condition: str = ""

    @property
    def key(self) -> str:
        return f"{self.metric}@{self.condition}" if self.condition else self.metric

    @property
    def title(self) -> str:
        title = METRICS[self.metric].title
        return f"{title}, {self.condition}" if self.condition else title


@dataclass(frozen=True)
class Table:
    """Rows of systems measured in the same way."""

    title: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""
    data: str = ""  # pattern of the data dirs; scores on others are refused
    groups: bool = False  # a line for each group of utt2group below its row
    items: str = "utterances"  # what is scored one by one
    clusters: str = "speakers"  # what stands in their place, and is drawn again as a whole
    # Name of a condition (kitchen noise of 6 dB) -> the text for {condition} in `decoded`, `data`
    conditions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for metric in self.metrics:
            if metric not in METRICS:
                raise InputError(
                    f"table {self.title!r}: unknown metric {metric!r}; known: {', '.join(METRICS)}"
                )
        names = [row.name for row in self.rows]
        keys = {column.key for column in self.columns}
        for row in self.rows:
            self._check_row(row, names, keys)

    def _check_row(self, row: Row, names: list[str], keys: set[str]) -> None:
        where = f"table {self.title!r}, row {row.name!r}"
        if names.count(row.name) > 1:
            raise InputError(f"{where}: the name is used twice; every row needs its own name")
        if row.baseline and row.baseline not in names:
            raise InputError(f"{where}: baseline {row.baseline!r} is not a row of this table")
        for figures in (row.paper, row.paper_difference, row.published):
            for key, value in figures.items():
                if key not in keys:
                    raise InputError(
                        f"{where}: figure for {key!r}, which is not a column; columns: "
                        f"{', '.join(sorted(keys))}"
                    )
                if isinstance(value, bool) or not isinstance(value, (int, float, str)):
                    raise InputError(f"{where}: {key} is {value!r}; expected a number or text")
        if row.decoded and bool(self.conditions) != (CONDITION in row.decoded):
            raise InputError(
                f"{where}: `{CONDITION}` in `decoded` and the table's `conditions` go together"
            )

    @property
    def columns(self) -> list[Column]:
        return [Column(m, c) for c in (self.conditions or [""]) for m in self.metrics]


@dataclass(frozen=True)
class Report:
    """conf/results.yaml."""

    title: str
    tables: tuple[Table, ...]
    intro: str = ""
    include: tuple[str, ...] = ()  # Markdown files of other commands, added at the end
