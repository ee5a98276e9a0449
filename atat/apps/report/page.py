"""One page about experiments: which sections it has, and its HTML.

The page holds all it shows: no script, no file and no address besides, and its content policy
forbids the browser to fetch any. All text is escaped by Jinja2. Knows nothing of the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atat.apps.report import attention, comparison, curves, data_dirs, examples, understanding
from atat.apps.report.attention import Looker
from atat.apps.report.content import Block, Facts, Note, Section, Table, attempt, left_out
from atat.apps.report.data_dirs import Loader
from atat.apps.report.drawing import VARIABLES, Draw
from atat.apps.report.examples import Budget
from atat.apps.report.experiment import OF_FRAMES, Decoding, Experiment, Found, Training
from atat.base.errors import InputError
from atat.base.provenance import provenance
from atat.datadir.kaldi_dir import Utterance
from atat.scoring.bootstrap import Interval
from atat.scoring.figures import format_interval
from atat.scoring.markdown import duration, plural
from atat.scoring.metrics import METRICS
from atat.scoring.score import Scored, load_scored


@dataclass(frozen=True)
class Wanted:
    """How much of each thing the page shows."""

    details: int = 1  # decodings of each experiment that are shown in detail
    worst: int = 5  # utterances of each of these
    attention: int = 2  # pictures of each of these


@dataclass
class Desk:
    """What all parts of a page share."""

    draw: Draw
    wanted: Wanted
    loader: Loader = field(default_factory=Loader)
    looker: Looker = field(default_factory=Looker)
    budget: Budget = field(default_factory=Budget)


def sections(draw: Draw, found: Found, wanted: Wanted) -> list[Section]:
    """The whole page, numbered for its table of contents."""
    desk = Desk(draw, wanted)
    compared = Section("Systems compared", [], comparison.sections(draw, found))
    if not compared.sections:
        compared.blocks.append(Note("Fewer than two scored decodings of one test set."))
    made = [_experiment(desk, one) for one in found.experiments]
    statistics = attempt(
        "Statistics of the data", lambda: data_dirs.blocks(draw, found, desk.loader)
    )
    page = [compared, *made, Section("Data", statistics)]
    for number, section in enumerate(page):
        section.id = f"part-{number}"
        for small, below in enumerate(section.sections):
            below.id = f"part-{number}-{small}"
    return page


def _experiment(desk: Desk, experiment: Experiment) -> Section:
    section = Section(experiment.name)
    if experiment.trainings:
        section.blocks += _facts(experiment)
        section.blocks += attempt("Curves", lambda: curves.blocks(desk.draw, experiment))
    scored = [one for one in experiment.decodings if one.score]
    missing = len(experiment.decodings) - len(scored)
    if not experiment.decodings:
        section.blocks.append(Note("Nothing was decoded with its models."))
    if missing:
        made = plural(missing, "decoding")
        section.blocks.append(Note(f"{made} not scored yet: atat score --data DIR --decoded DIR"))
    if scored:
        section.blocks.append(_scores(scored, experiment))
    compared = [one for one in scored if not one.answers]
    chosen = choose(compared, desk.wanted.details)
    if len(chosen) < len(compared):
        section.blocks.append(
            Note(
                f"In detail: {len(chosen)} of {plural(len(compared), 'decoding')}, the best of "
                "each test set first; --details shows more."
            )
        )
    section.sections = [_decoding(desk, one, experiment) for one in chosen]
    return section


def choose(scored: Sequence[Decoding], count: int) -> list[Decoding]:
    """Decodings to be shown in detail: recordings before text, the best of each test set first."""

    def merit(one: Decoding) -> float:
        figure = one.score.get("metrics", {}).get(one.metric) or {}
        value = figure.get("value")
        if value is None:
            return -1e9
        return -value if METRICS[one.metric].lower_is_better else value

    ranked = sorted(scored, key=lambda one: (one.task == "nlu", -merit(one)))
    first: dict[str, Decoding] = {}
    for one in ranked:
        first.setdefault(one.data, one)
    rest = [one for one in ranked if one not in first.values()]
    return [*first.values(), *rest][:count]


def _facts(experiment: Experiment) -> list[Block]:
    """What its trainings were: what they share, then what differs, a column for each."""
    runs = experiment.trainings
    said = {title: [say(run) for run in runs] for title, say in _FACTS.items()}
    shared = {title: cells[0] for title, cells in said.items() if len(set(cells)) == 1}
    if "command" not in shared:
        shared[f"command of {runs[0].name}"] = said.pop("command")[0]
    blocks: list[Block] = [Facts(tuple((title, cell) for title, cell in shared.items() if cell))]
    rows = tuple((title, *cells) for title, cells in said.items() if title not in shared)
    if rows:
        blocks.append(Table("", ("", *(run.name for run in runs)), rows, numbers=False))
    return blocks


def _fact(name: str) -> Any:
    return lambda run: str(run.facts.get(name) or "")


def _steps(run: Training) -> str:
    if not run.facts:
        return "not finished yet"
    steps = f"{run.facts.get('steps', 0):,}"
    return steps if run.facts.get("finished", True) else f"{steps}, not finished"


def _parameters(run: Training) -> str:
    count = run.facts.get("parameters")
    return f"{count / 1e6:.2f} million" if isinstance(count, (int, float)) else ""


def _time(name: str) -> Any:
    def say(run: Training) -> str:
        seconds = run.facts.get(name)
        return duration(seconds) if isinstance(seconds, (int, float)) and seconds else ""

    return say


def _origin(name: str) -> Any:
    return lambda run: str((run.facts.get("provenance") or {}).get(name) or "")


def _learns(run: Training) -> str:
    return ", ".join(f"{task} {Path(data).name}" for data, task in run.sources())


def _starts(run: Training) -> str:
    init = run.settings.get("init")
    return str(init.get("model") or "") if isinstance(init, dict) else ""


_FACTS: dict[str, Any] = {
    "steps": _steps,
    "learns from": _learns,
    "starts from": _starts,
    "parameters": _parameters,
    "audio seen": _time("audio_seconds"),
    "wall time": _time("wall_seconds"),
    "weights": _fact("chosen"),
    "precision": _fact("precision"),
    "hardware": _origin("hardware"),
    "date": lambda run: _origin("date")(run).partition("T")[0],
    "commit": _origin("commit"),
    "command": _origin("command"),
}


def _scores(scored: Sequence[Decoding], experiment: Experiment) -> Table:
    """All decodings of an experiment with their figures."""
    known = ["em_hyp", "semer", "intent_acc", "em_full", "wer", "slu_f1"]
    known += ["answer_em", "answer_f1", "frame_f1", "aos", *OF_FRAMES]
    names = [name for name in known if any(name in one.score.get("metrics", {}) for one in scored)]
    several = len(experiment.trainings) > 1
    rows = []
    for one in scored:
        metrics = one.score.get("metrics", {})
        cells = [_figure(metrics.get(name)) for name in names]
        title = f"{_run(one, experiment)}: {one.name}" if several else one.name
        rows.append((title, str(one.score.get("n", "")), *cells))
    header = ("decoding", "n", *(METRICS[name].title for name in names))
    return Table("Decodings, per cent with 95 % intervals.", header, tuple(rows))


def _figure(found: Any) -> str:
    if not isinstance(found, dict):
        return "–"
    return format_interval(Interval(found.get("value"), found.get("low"), found.get("high")))


def _decoding(desk: Desk, decoding: Decoding, experiment: Experiment) -> Section:
    """One decoding in detail."""
    title = decoding.name
    if len(experiment.trainings) > 1:
        title = f"{_run(decoding, experiment)}: {title}"
    section = Section(title)
    try:
        scored = load_scored(decoding.folder)
    except (InputError, OSError) as error:
        section.blocks.append(left_out("This decoding", str(error)))
        return section
    command = str((decoding.about.get("provenance") or {}).get("command") or "")
    about = {
        "test set": f"{decoding.data}, {plural(len(scored), 'utterance')}",
        "task": decoding.task,
        "command": command,
    }
    section.blocks.append(Facts(tuple((name, value) for name, value in about.items() if value)))
    training = _training(decoding, experiment)
    section.blocks += _parts(desk, decoding, scored, training)
    return section


def _training(decoding: Decoding, experiment: Experiment) -> Training | None:
    return next(
        (run for run in experiment.trainings if run.folder in decoding.folder.parents), None
    )


def _run(decoding: Decoding, experiment: Experiment) -> str:
    training = _training(decoding, experiment)
    return training.name if training is not None else decoding.folder.parent.name


def _parts(
    desk: Desk, decoding: Decoding, scored: Sequence[Scored], training: Training | None
) -> Iterator[Block]:
    draw, wanted = desk.draw, desk.wanted
    utterances, why = _utterances(desk, decoding)
    if decoding.target == "semantics":
        yield from attempt(
            "Confusions",
            lambda: understanding.blocks(draw, decoding, scored, training, desk.loader),
        )
    if wanted.attention:
        yield from attempt(
            "Attention",
            lambda: attention.blocks(
                draw, decoding, scored, utterances, desk.looker, wanted.attention
            ),
        )
    if wanted.worst:
        yield from attempt(
            "Worst utterances",
            lambda: examples.blocks(scored, utterances, why, wanted.worst, desk.budget),
        )


def _utterances(desk: Desk, decoding: Decoding) -> tuple[dict[str, Utterance], str]:
    """The utterances of the test set, and why there are none."""
    try:
        found = desk.loader.load(decoding.data, decoding.folder)
        return {one.id: one for one in found}, ""
    except InputError as error:
        return {}, str(error)


def html(found: Found, page: Sequence[Section], title: str) -> str:
    """The page as one file."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("atat.apps.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        title=title,
        folders=[str(folder) for folder in found.folders],
        page=page,
        variables=VARIABLES,
        made=provenance(),
    )
