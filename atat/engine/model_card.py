"""What a packed model says about itself: facts for programs, and a model card for people.

MODEL/about.json    what it was trained on with the licences, by which command, what it scored
MODEL/README.md     the same as a model card in the form of the Hugging Face hub

A data dir says its licence in a file `license` of one line; where there is none, and where the
data dir is not here, the licence is unknown and said to be. Figures are those of scored decodings
that were made with exactly these weights. Knows no system.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from atat.base import checksums, digests, encoder_files
from atat.base.calibration import Calibration
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_json, read_object, read_object_or_none
from atat.datadir import licence, tables
from atat.datadir.fingerprint import WEIGHTS
from atat.datadir.licence import UNKNOWN
from atat.engine import registry, run_folder
from atat.engine.registry import CARD, FACTS
from atat.scoring.bootstrap import Interval
from atat.scoring.figures import format_interval
from atat.scoring.metrics import METRICS

if TYPE_CHECKING:
    from atat.engine.settings import RunSettings
    from atat.text.tasks import Task

# Of the programs that speak (spk2voice), not of what they say.
SYNTHESISERS = {
    "espeak": "GPL-3.0-or-later",
    "flite": "CMU's, in the style of BSD",
    "polly": "Amazon's terms of service",
}
SHOWN = ("em_full", "em_hyp", "semer", "intent_acc", "wer", "cer", "phone_acc", "word_acc")


@dataclass(frozen=True)
class Data:
    """A data dir that a model has learned from."""

    data: str
    tasks: tuple[str, ...]
    license: str = UNKNOWN
    voices: dict[str, str] = field(default_factory=dict)  # synthesiser or voice -> its licence


@dataclass(frozen=True)
class About:
    """about.json."""

    name: str
    license: str = UNKNOWN  # of the model
    notes: tuple[str, ...] = ()  # what its maker adds, such as its limits
    data: tuple[Data, ...] = ()  # that of the model it started from included
    encoder: dict[str, str] | None = None  # whose states it reads: name, source, sha256, licence
    training: dict[str, Any] = field(default_factory=dict)
    results: tuple[dict[str, Any], ...] = ()


def of_run(run: Path, settings: RunSettings) -> About:
    """What is known of a training's model, now; no file that is missing is an error."""
    data = [_data(name, tasks) for name, tasks in _tasks_of(settings).items()]
    start = getattr(getattr(settings, "init", None), "model", None)
    before = _of_start(Path(start)) if start else ()
    known = {one.data for one in data}
    data += [one for one in before if one.data not in known]
    facts = run_folder.facts(run) or {}
    made = facts.get("provenance", {})
    training = {
        "steps": facts.get("steps"),
        "parameters": facts.get("parameters"),
        "command": _anywhere(made["command"]) if "command" in made else None,
        "commit": made.get("commit"),
        "date": str(made.get("date", ""))[:10],
    }
    training = {name: value for name, value in training.items() if value}
    return About(_name(run), data=tuple(data), training=training)


def _of_start(model: Path) -> tuple[Data, ...]:
    """The data of the model that a training started from, and of those before it."""
    if (about := read(model)) is not None:
        return about.data
    if (model.parent / "config.yaml").is_file():
        return of_run(model.parent, registry.load_settings(model.parent / "config.yaml")[1]).data
    return (Data(f"what {_shown(str(model))} has learned from", ()),)


def read(model: Path) -> About | None:
    """about.json of a packed model; None if it has none. Raises InputError if it is damaged."""
    path = model / FACTS
    if not path.is_file():
        return None
    found = read_object(path, f"write it again: atat card {model}")
    try:
        data = [Data(**{**one, "tasks": tuple(one["tasks"])}) for one in found.pop("data")]
        notes, results = tuple(found.pop("notes")), tuple(found.pop("results"))
        return About(**found, data=tuple(data), notes=notes, results=results)
    except (TypeError, KeyError):
        raise InputError(
            f"{path}: expected what `atat card` writes; remove it, and write it again: "
            f"atat card {model}"
        ) from None


def said_before(about: About, before: About | None) -> About:
    """What is known of a model, with what its maker has said of the one before it."""
    if before is None:
        return about
    return replace(about, name=before.name, license=before.license, notes=before.notes)


def write(model: Path, about: About) -> None:
    """Write about.json and README.md of a packed model, and its checksums."""
    # A folder without checksums is not checked: whole at every moment, also if this is interrupted.
    (model / checksums.NAME).unlink(missing_ok=True)
    with atomic_write(model / FACTS) as stream:
        json.dump(asdict(about), stream, indent=1, ensure_ascii=False)
    with atomic_write(model / CARD) as stream:
        stream.write(card(about, model))
    checksums.write(model)


def encoder_of(model: Path) -> dict[str, str] | None:
    """The pretrained speech encoder that a packed model reads, as its frontend.json says."""
    found = read_object_or_none(model / "frontend.json") or {}
    origin = found.get("origin")
    return None if origin is None else {key: str(value) for key, value in origin.items()}


def results_of(model: Path, decoded: Iterable[Path]) -> tuple[list[dict[str, Any]], list[str]]:
    """The figures of scored decodings of these weights, and why others were left out.

    A decoding is one of these weights if its decode.json has their digest.
    """
    weights = digests.of_file(model / WEIGHTS)[: digests.SHORT]
    found, refused = [], []
    for folder in sorted(decoded):
        made = read_object_or_none(folder / "decode.json")
        if made is None or not (folder / "score.json").is_file():
            refused.append(f"{folder}: not decoded and scored (atat decode, then atat score)")
            continue
        if "inputs" not in made:
            refused.append(f"{folder}: does not say with which weights it was decoded")
            continue
        used = [value for name, value in made["inputs"].items() if name.endswith(WEIGHTS)]
        if weights not in used:
            refused.append(f"{folder}: was decoded with other weights than {model} has now")
            continue
        score = read_json(folder / "score.json", "score it again: atat score")
        commands = [_anywhere(one["provenance"]["command"]) for one in (made, score)]
        options = {
            name: made["options"][name]
            for name in ("beam", "well_formed", "values", "bridge", "ctc_weight")
            if made.get("options", {}).get(name)
        }
        found.append(
            {
                "data": _shown(score["data"]),
                "task": score["task"],
                "search": options,
                "n": score["n"],
                "speakers": score.get("speakers"),
                "metrics": {
                    name: score["metrics"][name] for name in SHOWN if name in score["metrics"]
                },
                "commands": commands,
                "date": str(made["provenance"].get("date", ""))[:10],
            }
        )
    return found, refused


def card(about: About, model: Path) -> str:
    """README.md: YAML that the hub reads, then what people want to know."""
    system = registry.of_model(model)
    config = yaml.safe_load((model / registry.CONFIG).read_text(encoding="utf-8"))
    # A model that does not say what it was trained on may do anything.
    names = [name for name in config.get("tasks") or system.tasks if name in system.tasks]
    tasks = [system.tasks[name] for name in names]
    calibration = Calibration.read(model)
    tags = ["atat", "speech", "spoken-language-understanding", system.name]
    head = {"license": about.license, "library_name": "atat", "tags": tags}
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n# {about.name}\n",
        _what(system.name, tasks, config, about),
        _use(tasks, about),
        _learned(about),
        _scored(about),
        *([] if calibration is None else [_sure(calibration)]),
        _limits(about, calibration is not None),
    ]
    return "\n".join(parts)


def _what(system: str, tasks: Sequence[Task], config: Mapping[str, Any], about: About) -> str:
    reads = {"audio": "a recording (any rate; one speaker)", "text": "a sentence"}
    writes = {"semantics": "its meaning: intent and slots, as a tree", "text": "its words"}
    lines = [
        f"A model of atat, system `{system}`, weights {config.get('weights', 'float32')}.\n",
        "| task | reads | writes |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{task.name}` | {reads[task.source]} | {writes[task.target]} |"
        for task in tasks
        if not task.masked
    ]
    if about.encoder is not None:
        lines.append(
            f"\nIt reads the states of the speech encoder {about.encoder['name']} "
            f"({about.encoder['source']}, {about.encoder['licence']}; sha256 of its weights "
            f"`{about.encoder['sha256'][:16]}`)."
        )
    return "\n".join(lines) + "\n"


def _use(tasks: Sequence[Task], about: About) -> str:
    audio = any(task.source == "audio" for task in tasks)
    call, argument = (
        ('recognizer("order.wav")', "order.wav")
        if audio
        else ('recognizer(text="play a song")', '--text "play a song"')
    )
    get = ""
    if about.encoder is not None and about.encoder["name"] in encoder_files.PUBLISHED:
        get = f"atat encoder get {about.encoder['name']}  # once, if there is no folder encoder/\n"
    return (
        "## Use\n\n```python\nfrom atat import Recognizer\n\n"
        'recognizer = Recognizer.load("MODEL")  # this folder, or its name on the hub\n'
        f"found = {call}\nfound.intent, found.slots, found.transcript\n```\n\n"
        f"```sh\n{get}atat recognize MODEL {argument}\natat serve MODEL\n```\n"
    )


def _learned(about: About) -> str:
    lines = ["## Trained on\n", "| data | for | licence | voices |", "|---|---|---|---|"]
    for one in about.data:
        voices = ", ".join(f"{name} ({found})" for name, found in one.voices.items())
        lines.append(
            f"| {one.data} | {', '.join(one.tasks) or '–'} | {one.license} | {voices or '–'} |"
        )
    if not about.data:
        lines.append(f"| {UNKNOWN} | – | {UNKNOWN} | – |")
    lines.append("\nLicences of synthesisers are those of the programs, not of what they say.")
    if about.training:
        facts = ", ".join(f"{name} {v}" for name, v in about.training.items() if name != "command")
        lines.append(f"\nTraining: {facts}.")
        if command := about.training.get("command"):
            lines.append(f"\n```sh\n{command}\n```")
    return "\n".join(lines) + "\n"


def _scored(about: About) -> str:
    if not about.results:
        return "## What it scored\n\nNothing was measured with these weights.\n"
    lines = ["## What it scored\n", "Per cent, with intervals of 95 %.\n"]
    columns = [name for name in SHOWN if any(name in one["metrics"] for one in about.results)]
    titles = [METRICS[name].title for name in columns]
    lines.append(f"| data | task | search | n | {' | '.join(titles)} |")
    lines.append("|---" * (4 + len(columns)) + "|")
    for one in about.results:
        search = ", ".join(f"{name} {value}" for name, value in one["search"].items()) or "–"
        cells = [_figure(one["metrics"].get(name)) for name in columns]
        lines.append(
            f"| {one['data']} | {one['task']} | {search} | {one['n']} | {' | '.join(cells)} |"
        )
    lines += ["", *(f"- {METRICS[name].title}: {METRICS[name].meaning}" for name in columns)]
    commands = [command for one in about.results for command in one["commands"]]
    return "\n".join(lines) + "\n\n```sh\n" + "\n".join(commands) + "\n```\n"


def _figure(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    return format_interval(Interval(found["value"], found.get("low"), found.get("high")))


def _sure(calibration: Calibration) -> str:
    search = ", ".join(f"{name} {value}" for name, value in calibration.search.items())
    limits = ", ".join(f"{one.threshold:.2f} (`{t}`)" for t, one in calibration.tasks.items())
    lines = [
        "## When it does not understand\n",
        f"`understood` is false below a confidence of {limits}; the search is {search}. How many "
        "answers are accepted, and how many of these are right; nothing was fitted on what is for "
        "the test:\n",
        "| task | for | data | n | right | accepted | of these right |",
        "|---|---|---|---|---|---|---|",
    ]
    for task, one in calibration.tasks.items():
        for part in ("dev", "test"):
            for data, found in one.about.get(part, {}).get("groups", {}).items():
                right = "not for it" if found["outside"] else found["right"]
                of_these = "–" if found["outside"] else found["accepted_right"]
                lines.append(
                    f"| {task} | {part} | {_shown(data)} | {found['n']} | {right} | "
                    f"{found['accepted']} | {of_these} |"
                )
    return "\n".join(lines) + "\n"


def _limits(about: About, calibrated: bool) -> str:
    notes = list(about.notes)
    if about.data and all(one.license == UNKNOWN for one in about.data):
        notes.append("The licences of its data are unknown: find them out before you pass it on.")
    voices = {name for one in about.data for name in one.voices}
    if voices:
        notes.append("It has heard synthetic voices; people are harder unless the table says so.")
    if not calibrated:
        notes.append(
            "It answers whatever it hears with what it knows. `atat calibrate` makes it say when "
            "it does not understand."
        )
    return "## Limits\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"


def _tasks_of(settings: RunSettings) -> dict[str, tuple[str, ...]]:
    """Data dirs of the mix, and the tasks of each."""
    found: dict[str, list[str]] = {}
    for source in settings.train:
        found.setdefault(source.data, []).append(source.task)
    return {name: tuple(dict.fromkeys(tasks)) for name, tasks in found.items()}


def _data(name: str, tasks: tuple[str, ...]) -> Data:
    folder = Path(name)
    return Data(_shown(name), tasks, licence.of(folder) or UNKNOWN, _voices(folder))


def _anywhere(command: str) -> str:
    """A command without the folders in which it was called, see `_shown`."""
    return " ".join(_shown(word) for word in command.split(" "))


def _shown(name: str) -> str:
    """Of a path elsewhere only the end: where a user keeps corpora is private."""
    path = Path(name)
    return "/".join(path.parts[-2:]) if path.is_absolute() else name


def _voices(folder: Path) -> dict[str, str]:
    if not (folder / "spk2voice").is_file():
        return {}
    found = {}
    for voice in tables.read_table(folder / "spk2voice").values():
        engine, _, rest = voice.partition(":")
        named = rest.split(":")[0]
        published = encoder_files.PUBLISHED.get(named) if engine == "piper" else None
        key = f"piper:{named}" if published else engine
        found[key] = published.licence if published else SYNTHESISERS.get(engine, UNKNOWN)
    return dict(sorted(found.items()))


def _name(run: Path) -> str:
    """NAME of exp/NAME/seed1, or the folder's own."""
    parts = [part for part in run.resolve().parts if not part.startswith("seed")]
    return parts[-1]
