"""What a decoding took for what, and which slots it found, by how often training had them.

Intents and slots are paired by `atat.scoring.confusion`. Frequencies in training are those of the
trees of all sources of a training and of those it started from. Knows nothing of models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from atat.apps.report.content import Block, Gallery, Note
from atat.apps.report.data_dirs import Loader
from atat.apps.report.drawing import FOUND, INK, MISSED, PAPER, Draw, Picture, matrix, short
from atat.apps.report.experiment import Decoding, Training
from atat.base.errors import InputError
from atat.scoring import bootstrap, confusion
from atat.scoring.confusion import Pairs
from atat.scoring.score import Scored
from atat.text import trees
from atat.text.tasks import TASKS

LABELS = 20  # of a table of confusions
BARS = 30  # slots in a bar chart
OTHERS = "(others)"
# Times that a value was in training: the first number of each group.
GROUPS = (0, 1, 3, 10, 30, 100, 300)


@dataclass
class Heard:
    """How often slots were in the trees of training, by label, and by label and value."""

    labels: Counter[str] = field(default_factory=Counter)
    values: Counter[tuple[str, str]] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)  # data dirs that are not here


def heard(training: Training, loader: Loader) -> Heard:
    """The slots of a training's sources, and of the trainings before it."""
    found, seen = Heard(), set[object]()
    run: Training | None = training
    while run is not None and run.folder.resolve() not in seen:
        seen.add(run.folder.resolve())
        for data, task in run.sources():
            if data in seen or task not in TASKS or TASKS[task].target != "semantics":
                continue
            seen.add(data)
            try:
                slots = loader.read(data, run.folder).slots
            except InputError:
                found.missing.append(data)
                continue
            found.values.update(slots)
            for (label, _), count in slots.items():
                found.labels[label] += count
        before = run.start
        run = Training(before, before.name) if before is not None else None
    return found


def blocks(
    draw: Draw,
    decoding: Decoding,
    scored: Sequence[Scored],
    training: Training | None,
    loader: Loader,
) -> Iterator[Block]:
    """Confusions of intents and slots, and slots found and missed."""
    name = f"{decoding.experiment}-{decoding.name}"
    pictures = [
        _confusions(draw, f"{name}-intents", "Intents", confusion.intents(scored), "intent"),
        _confusions(draw, f"{name}-slots", "Slots", confusion.slots(scored), "slot"),
    ]
    for picture in pictures:
        if isinstance(picture, Note):
            yield picture
    drawn = [picture for picture in pictures if isinstance(picture, Picture)]
    wide = [picture for picture in drawn if picture.width > 560]
    narrow = [picture for picture in drawn if picture.width <= 560]
    before = heard(training, loader) if training is not None else None
    if before is not None and before.missing:
        yield Note(f"Not counted as training, since not here: {', '.join(before.missing)}.")
    narrow += [
        picture
        for picture in (
            _by_label(draw, f"{name}-found", scored, before),
            _by_value(draw, f"{name}-by-frequency", scored, before),
        )
        if picture is not None
    ]
    if narrow:
        yield Gallery(tuple(narrow))
    if wide:
        yield Gallery(tuple(wide), wide=True)


def _confusions(
    draw: Draw, name: str, title: str, pairs: Pairs, kind: str
) -> Picture | Note | None:
    """Rows: what was said; columns: what was understood."""
    if not pairs:
        return Note(f"No {kind}s in this test set.")
    wrong = sum(count for (wanted, given), count in pairs.items() if wanted != given)
    total = sum(pairs.values())
    labels = {wanted for wanted, _ in pairs} | {given for _, given in pairs}
    if not wrong or len(labels) < 3:
        right = f"{total - wrong:,} of {total:,}"
        return Note(
            f"{title}: {right} with the right label" + ("." if wrong else ": no confusion.")
        )
    rows, columns, counts = table(pairs, LABELS)
    size = 0.34
    width = max(3.6, 1.7 + size * len(columns) + 0.075 * max(map(len, rows)))
    height = 1.1 + 0.28 * len(rows) + 0.075 * max(map(len, columns))
    figure, axes = draw.axes(width, height)
    matrix(axes, counts, rows, columns)
    axes.set_title(f"{title}: said (rows), understood (columns)")
    worst = [
        f"{wanted} as {given} {count} times"
        for (wanted, given), count in pairs.most_common()
        if wanted != given
    ]
    return draw.finish(
        figure,
        name,
        f"Confusions of {kind}s, {wrong} of {total} wrong: {'; '.join(worst[:5])}",
        f"{wrong:,} of {total:,} {kind}s have another label than was said. Shade: share of the row."
        + (" Rare labels are joined." if OTHERS in (*rows, *columns) else ""),
    )


def table(pairs: Pairs, most: int) -> tuple[list[str], list[str], np.ndarray]:
    """Labels of rows and columns and the counts (R, C): the most frequent, the rest joined.

    Labels with an error come first into the choice, since a table shows errors.
    """
    weight = Counter[str]()
    for (wanted, given), count in pairs.items():
        weight[wanted] += count * (1 if wanted == given else 1000)
        if wanted != given:
            weight[given] += 1000 * count
    special = [confusion.ADDED, confusion.MISSED, confusion.NO_TREE]
    chosen = [label for label, _ in weight.most_common() if label not in special][:most]
    joined = Pairs()
    for (wanted, given), count in pairs.items():
        kept = [one if one in chosen or one in special else OTHERS for one in (wanted, given)]
        joined[kept[0], kept[1]] += count
    order = [*sorted(chosen), OTHERS, *special]
    rows = [label for label in order if any(wanted == label for wanted, _ in joined)]
    columns = [label for label in order if any(given == label for _, given in joined)]
    # The diagonal stays one: a label has its column wherever it has a row.
    columns = [label for label in order if label in columns or (label in rows and label in chosen)]
    counts = np.array([[joined[row, column] for column in columns] for row in rows])
    return rows, columns, counts


def outcomes(scored: Sequence[Scored]) -> list[list[tuple[str, str, bool]]]:
    """For each utterance: label, value, and whether it was found, of each slot that was said."""
    return [
        [
            (wanted.label, wanted.value, given is not None and wanted[:2] == given[:2])
            for wanted, given in confusion.pair(trees.parse(one.ref), trees.parse_or_none(one.hyp))
            if wanted is not None
        ]
        for one in scored
    ]


def _by_label(
    draw: Draw, name: str, scored: Sequence[Scored], before: Heard | None
) -> Picture | None:
    """Slots found and missed, a bar for each label, the most frequent in training first."""
    times = before.labels if before is not None else Counter[str]()
    found, total = Counter[str](), Counter[str]()
    for slots in outcomes(scored):
        for label, _, right in slots:
            total[label] += 1
            found[label] += right
    labels = sorted(total, key=lambda label: (-times[label], label))[:BARS]
    if not labels:
        return None
    figure, axes = draw.axes(5.2, 1.35 + 0.27 * len(labels))
    places = np.arange(len(labels))
    shares = np.array([100 * found[label] / total[label] for label in labels])
    axes.barh(places, shares, height=0.72, color=FOUND, label="found")
    axes.barh(
        places,
        100 - shares,
        left=shares,
        height=0.72,
        color=MISSED,
        alpha=0.85,
        hatch="////",
        edgecolor=PAPER,
        linewidth=0,
        label="missed",
    )
    axes.set_yticks(
        places,
        [
            short(label, 26) + (f" ({times[label]:,})" if before is not None else "")
            for label in labels
        ],
    )
    for place, label in zip(places, labels):
        axes.text(101, place, f"{found[label]}/{total[label]}", va="center", fontsize=8.5)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(0, 118)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel("slots of the test, per cent")
    axes.grid(axis="y", visible=False)
    axes.set_title("Slots found, by label")
    axes.figure.legend(loc="outside lower left", ncols=2)
    worst = sorted(labels, key=lambda label: found[label] / total[label])[:5]
    return draw.finish(
        figure,
        name,
        "Slots found: " + "; ".join(f"{one} {found[one]} of {total[one]}" for one in worst),
        "Found: label and value are right. On the right: found / said."
        + (" In brackets: how often training had the label." if before is not None else ""),
    )


def _by_value(
    draw: Draw, name: str, scored: Sequence[Scored], before: Heard | None
) -> Picture | None:
    """Share of slots that were found, by how often training had their very value."""
    if before is None or not before.values:
        return None
    counts = np.zeros((len(scored), len(GROUPS), 2))
    for row, slots in enumerate(outcomes(scored)):
        for label, value, right in slots:
            times = before.values[label, value]
            counts[row, np.searchsorted(GROUPS, times, side="right") - 1] += right, 1
    present = [group for group in range(len(GROUPS)) if counts[:, group, 1].any()]
    if len(present) < 2:
        return None  # all values are about as frequent
    sums, _ = bootstrap.cluster_sums(counts, [one.spk for one in scored])
    intervals = {
        group: bootstrap.intervals(
            sums[:, group : group + 1],
            utterances=bootstrap.defined(counts[:, group : group + 1]),
        )[0]
        for group in present
    }
    figure, axes = draw.axes(5.2, 3.3)
    for place, group in enumerate(present):
        one = intervals[group]
        assert one.value is not None
        axes.bar(place, one.value, width=0.7, color=FOUND)
        if one.low is not None and one.high is not None:
            axes.plot([place, place], [one.low, one.high], color=INK, linewidth=1.4)
        said = int(counts[:, group, 1].sum())
        axes.text(place, 103, f"{said:,}", ha="center", fontsize=9)
    axes.set_xticks(range(len(present)), [_group(group) for group in present])
    axes.set_ylim(0, 110)
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.set_xlabel("times that training had the value")
    axes.set_ylabel("slots found, per cent")
    axes.grid(axis="x", visible=False)
    axes.set_title("Slots found, by frequency of their value")
    words = "; ".join(f"{_group(g)} times: {intervals[g].value:.0f} per cent" for g in present)
    return draw.finish(
        figure,
        name,
        f"Slots found by frequency in training: {words}",
        "Above each bar: slots said in the test. Lines: 95 % intervals over test data.",
    )


def _group(number: int) -> str:
    first = GROUPS[number]
    if number == len(GROUPS) - 1:
        return f"{first}+"
    last = GROUPS[number + 1] - 1
    return str(first) if first == last else f"{first}–{last}"
