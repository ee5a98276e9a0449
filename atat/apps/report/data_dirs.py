"""Statistics of the data dirs that experiments learn from and are tested on.

How long utterances are, which tags they have, and what was dropped on the way: by `atat datadir
repair` and `atat features` (`.backup*/dropped`), by `atat heard` (`text.json`), by the preparation
of a recipe (`*findings.txt`), and by trainings, which warn of it in their logs. Knows nothing of
models.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from atat.apps.report.content import Block, Code, Gallery, Note, Table, left_out
from atat.apps.report.drawing import PAPER, SERIES, Draw, Picture, short
from atat.apps.report.experiment import LOG, Found, base_of, find, shown
from atat.base.errors import InputError
from atat.base.files import read_lines
from atat.base.json_file import read_object_or_none
from atat.datadir import feats_type, kaldi_dir, tables
from atat.datadir.kaldi_dir import Utterance
from atat.scoring.confusion import name as label
from atat.text import trees
from atat.text.trees import SemanticsError

TAGS = 30  # drawn
FINDINGS = 40  # lines shown of a file of findings, and of warnings
ROLES = {"training": SERIES[0], "validation": SERIES[2], "test": SERIES[1]}
_WARNING = re.compile(r"^\S+ \S+ WARNING (.*)$")


@dataclass
class DataDir:
    """A data dir and what is to be said of it."""

    name: str
    folder: Path
    utterances: list[Utterance]
    seconds: np.ndarray  # of each with audio
    words: np.ndarray = field(default_factory=lambda: np.zeros(0, int))  # of each with words
    trees: int = 0
    tags: Counter[str] = field(default_factory=Counter)  # utterances with the tag
    slots: Counter[tuple[str, str]] = field(default_factory=Counter)  # (label, value)
    uses: dict[str, None] = field(default_factory=dict)  # "training slu", "test"

    @property
    def role(self) -> str:
        """training, validation or test; the first of them that it is used for."""
        return next(role for role in ROLES if any(use.startswith(role) for use in self.uses))


def blocks(draw: Draw, found: Found, loader: Loader) -> Iterator[Block]:
    """Table, lengths, tags and losses of all data dirs that the experiments name."""
    used, missing = collect(found, loader)
    for name, why in missing.items():
        yield left_out(f"Data dir {name}", why)
    if not used:
        yield Note("None of the data dirs that the experiments name is here.")
        return
    yield _table(used)
    pictures = [
        picture for picture in (_lengths(draw, used), _tags(draw, used)) if picture is not None
    ]
    if pictures:
        yield Gallery(tuple(pictures), wide=True)
    yield from _dropped(used)
    yield from _warned(found)


def collect(found: Found, loader: Loader) -> tuple[list[DataDir], dict[str, str]]:
    """The data dirs that experiments name, read once each, and why others cannot be read."""
    uses: dict[str, tuple[str, Path, dict[str, None]]] = {}  # folder -> name, near, uses

    def add(name: str, near: Path, use: str) -> None:
        # The same folder may have a relative name in one file and an absolute one in another.
        key = str(find(name, near) or name)
        uses.setdefault(key, (name, near, {}))[2][use] = None

    for experiment in found.experiments:
        for training in experiment.trainings:
            for part, role in (("train", "training"), ("valid", "validation")):
                for name, task in training.sources(part):
                    add(name, training.folder, f"{role} {task}".strip())
    for decoding in found.decodings:
        if decoding.data:
            add(decoding.data, decoding.folder, "test")
    read, missing = [], {}
    for name, near, of_it in uses.values():
        try:
            read.append(replace(loader.read(name, near), uses=of_it))
        except InputError as error:
            missing[shown(name)] = str(error)
    order = list(ROLES)
    return sorted(read, key=lambda one: order.index(one.role)), missing


class Loader:
    """Reads each data dir once."""

    def __init__(self) -> None:
        self._read: dict[Path, DataDir] = {}

    def read(self, name: str, near: Path) -> DataDir:
        """A data dir that the experiment `near` names, with its figures; InputError without it."""
        base, folder = base_of(name, near), find(name, near)
        if base is None or folder is None:
            raise InputError(f"the data dir {name or '(not named)'} is not here")
        if folder not in self._read:
            # Found above the experiment: relative paths in its files start there, too.
            root = None if base == Path(".") or Path(name).is_absolute() else base
            self._read[folder] = _read(shown(name), folder, kaldi_dir.load(folder, root=root))
        return self._read[folder]

    def load(self, name: str, near: Path) -> list[Utterance]:
        """The utterances of such a data dir."""
        return self.read(name, near).utterances


def _read(name: str, folder: Path, utterances: list[Utterance]) -> DataDir:
    """Lengths, tags and slots of utterances.

    Their trees are read as tokens: building each would take minutes for a large corpus.
    """
    shift = feats_type.frame_shift(folder)
    lengths = [one.duration or (one.num_frames or 0) * shift for one in utterances]
    data = DataDir(name, folder, utterances, np.array([one for one in lengths if one]))
    counts = []
    for one in utterances:
        words = one.text.split() if one.text is not None else None
        if one.semantics:
            tokens = one.semantics.split()
            try:
                spans = trees.spans_of_tokens(tokens)
            except SemanticsError:
                continue
            data.trees += 1
            data.tags.update({tag for tag, *_ in spans})
            said = [token for token in tokens if not trees.is_open(token) and token != trees.CLOSE]
            for tag, _, start, end in spans:
                if tag.startswith("SL:"):
                    value = " ".join(map(trees.unescape, said[start:end]))
                    data.slots[label(tag), value] += 1
            words = said if words is None else words
        if words is not None:
            counts.append(len(words))
    data.words = np.array(counts, dtype=int)
    return data


def _table(used: Sequence[DataDir]) -> Table:
    rows = []
    for one in used:
        seconds, words = one.seconds, one.words
        hours = seconds.sum() / 3600
        rows.append(
            (
                one.name,
                ", ".join(one.uses),
                f"{len(one.utterances):,}",
                f"{len({u.speaker for u in one.utterances}):,}",
                "–"
                if not len(seconds)
                else f"{hours:.2f} h"
                if hours >= 1
                else f"{60 * hours:.1f} min",
                _spread(seconds, "{:.1f}"),
                _spread(words, "{:.0f}"),
                str(sum(tag.startswith("IN:") for tag in one.tags)) if one.trees else "–",
                str(sum(tag.startswith("SL:") for tag in one.tags)) if one.trees else "–",
            )
        )
    header = (
        "data dir",
        "used for",
        "utterances",
        "speakers",
        "audio",
        "seconds",
        "words",
        "intents",
        "slots",
    )
    return Table("Seconds and words: 5th percentile / median / longest.", header, tuple(rows))


def _spread(values: np.ndarray, form: str) -> str:
    if not len(values):
        return "–"
    three = (np.percentile(values, 5), np.median(values), values.max())
    return " / ".join(form.format(value) for value in three)


def _lengths(draw: Draw, used: Sequence[DataDir]) -> Picture | None:
    """Quantiles of the seconds of each data dir with audio; None if there is none."""
    spoken = [one for one in used if len(one.seconds)]
    if not spoken:
        return None
    figure, axes = draw.axes(8.6, 1.2 + 0.25 * len(spoken))
    for place, one in enumerate(spoken):
        low, first, middle, third, high = np.percentile(one.seconds, [5, 25, 50, 75, 95])
        colour = ROLES[one.role]
        axes.plot([low, high], [place, place], color=colour, linewidth=1.4)
        axes.plot([first, third], [place, place], color=colour, linewidth=6, solid_capstyle="butt")
        axes.plot([middle], [place], "o", color=colour, markerfacecolor=PAPER, markersize=5)
        axes.plot([one.seconds.max()], [place], "|", color=colour, markersize=8)
    axes.set_yticks(range(len(spoken)), [short(one.name) for one in spoken])
    axes.set_ylim(len(spoken) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("length of an utterance (s)")
    axes.grid(axis="y", visible=False)
    _legend_of_roles(axes, [one.role for one in spoken], "-")
    label = "; ".join(f"{one.name} median {np.median(one.seconds):.1f} s" for one in spoken[:12])
    return draw.finish(
        figure,
        "data-lengths",
        f"Length of utterances: {label}",
        "Thick: the middle half; thin: 5 to 95 %; ring: median; tick: the longest.",
    )


def _tags(draw: Draw, used: Sequence[DataDir]) -> Picture | None:
    """For each tag the share of utterances that have it, in each data dir with trees."""
    with_trees = [one for one in used if one.trees]
    total = Counter[str]()
    for one in with_trees:
        total.update({tag: count / one.trees for tag, count in one.tags.items()})
    tags = [tag for tag, _ in sorted(total.most_common(TAGS), key=lambda pair: pair[0])]
    if not tags:
        return None
    figure, axes = draw.axes(8.6, 1.2 + 0.25 * len(tags))
    offsets = {"training": -0.22, "validation": 0.0, "test": 0.22}
    markers = {"training": "o", "validation": "s", "test": "D"}
    for one in with_trees:
        role = one.role
        axes.plot(
            [100 * one.tags[tag] / one.trees for tag in tags],
            np.arange(len(tags)) + offsets[role],
            markers[role],
            color=ROLES[role],
            markersize=4.5,
            alpha=0.75,
            markeredgewidth=0,
        )
    axes.set_yticks(range(len(tags)), [short(tag) for tag in tags])
    axes.set_ylim(len(tags) - 0.4, -0.6)
    axes.set_xlim(left=-0.5)
    axes.set_xlabel("utterances with the tag, per cent")
    _legend_of_roles(axes, [one.role for one in with_trees], "", markers)
    more = len(total) - len(tags)
    return draw.finish(
        figure,
        "data-tags",
        f"Share of utterances with each of {len(tags)} tags, by data dir",
        "A mark for each data dir that has trees. Marks far apart in a row: the tag is more "
        "frequent in one kind of data than in another."
        + (f" The {TAGS} most frequent tags; {more} more are not drawn." if more else ""),
    )


def _legend_of_roles(
    axes: Any, roles: Iterable[str], line: Any, markers: Mapping[str, str] | None = None
) -> None:
    from matplotlib.lines import Line2D

    present = [role for role in ROLES if role in set(roles)]
    handles = [
        Line2D(
            [],
            [],
            color=ROLES[role],
            linestyle=line or "none",
            linewidth=4,
            marker=(markers or {}).get(role, ""),
        )
        for role in present
    ]
    axes.figure.legend(handles, present, loc="outside lower left", ncols=3)


def _dropped(used: Sequence[DataDir]) -> Iterator[Block]:
    """What was dropped from each data dir, counted by reason."""
    rows = []
    for one in used:
        reasons = Counter[str]()
        for path in sorted(one.folder.glob(".backup*/dropped")):
            reasons.update(kind_of(why) for why in tables.read_table(path).values())
        left_out_of = (read_object_or_none(one.folder / "text.json") or {}).get("left_out")
        if isinstance(left_out_of, dict):
            reasons.update(str(why) for why in left_out_of.values())
        rows += [(one.name, why, f"{count:,}") for why, count in reasons.most_common()]
    if rows:
        yield Table("Utterances that were dropped.", ("data dir", "why", "utterances"), tuple(rows))
    else:
        yield Note("No utterance was dropped from these data dirs after they were made.")
    for one in used:
        for path in sorted(one.folder.glob("*findings.txt")):
            yield Code(
                f"{one.name}: {path.name}", _first([line[:300] for line in read_lines(path)])
            )


def _first(lines: Sequence[str]) -> tuple[str, ...]:
    """As many lines as are shown, and how many more there are."""
    more = len(lines) - FINDINGS
    return (*lines[:FINDINGS], *([f"... and {more} more lines"] if more > 0 else []))


def kind_of(why: str) -> str:
    """A reason without what is about one utterance: paths, numbers and names in quotes."""
    return re.sub(r"\S*/\S+|'[^']*'|\d[\d.:]*", "…", why)[:160]


def _warned(found: Found) -> Iterator[Block]:
    """What trainings have warned of, each sentence once."""
    said: dict[str, None] = {}
    for experiment in found.experiments:
        for training in experiment.trainings:
            path = training.folder / LOG
            if path.is_file():
                for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                    if match := _WARNING.match(line):
                        said[match[1][:300]] = None
    if said:
        yield Code(f"Warnings of the trainings ({len(said)})", _first(list(said)))
