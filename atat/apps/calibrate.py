"""Fit how sure a model's answers are, and from which confidence on they may be acted on.

    atat calibrate exp/joint/model --data data/dev --outside data/other_speech data/noise

The model answers dev data. Logistic regression (`atat.scoring.confidence`) makes of the evidence
for each answer (`atat.text.evidence`) a probability that it is right; the threshold parts right
answers from wrong ones and from those to what is not for the model (`--outside`). Never fit on the
data that you report.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atat.apps.calibration_report import Answered, confidences, figures_of, lines_of, write
from atat.base import checksums, cli, machine, permissions, suggest
from atat.base.calibration import Calibration, Fitted
from atat.base.errors import InputError
from atat.base.provenance import provenance
from atat.datadir import contents, fingerprint, kaldi_dir
from atat.engine import named_model
from atat.scoring import metrics

if TYPE_CHECKING:
    import numpy as np

    from atat.apps.recognizer import Prepared, Recognizer
    from atat.datadir.kaldi_dir import Utterance
    from atat.text.tasks import Task

TOGETHER = 32  # utterances between two steps of the progress bar
FOLDS = 5  # parts of the dev data, each judged by what was fitted on the others


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    options = _parser().parse_args(argv)
    cli.check_positive(options, "beam")
    if options.accept is not None and not 0 < options.accept <= 1:
        raise InputError(f"--accept is {options.accept:g}; expected a share above 0, up to 1")
    tested = {folder.resolve() for folder in [*options.test, *options.test_outside]}
    for folder in [*options.data, *options.outside]:
        if folder.resolve() in tested:
            raise InputError(f"{folder}: is both to fit and to test; test on data of its own")
    options.model = named_model.to_write(options.model, "the calibration")
    machine.tune()
    calibrate(options)


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser(
        prog="atat calibrate",
        description=cli.guide(
            "Fit how sure a model's answers are on dev data, and choose the confidence below "
            "which they are not understood. The model's answers do not change.",
            "atat calibrate exp/joint/model --data data/dev --outside data/other_speech",
            "atat calibrate exp/joint/model --data data/dev --test data/test --out exp/joint/sure",
            reads="MODEL, a packed model; data dirs with recordings or features (or text) and the "
            "table that the task writes; outside ones without it.",
            writes="MODEL/calibration.json, which `atat recognize` and the Recognizer use, with "
            "the options of the search given here; MODEL/README.md, where there is a card: what is "
            "accepted; OUT/answers.csv, every answer with its confidence; OUT/acceptance.csv, what "
            "each threshold accepts; OUT/reliability.csv, confidence against correctness; "
            "OUT/calibrate.json, the figures.",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    named_model.add_argument(parser, written=True)
    add("--data", type=Path, nargs="+", required=True, help="dev data, which the model can answer")
    add(
        "--outside",
        type=Path,
        nargs="+",
        default=[],
        metavar="DATA",
        help="dev data that is not for the model (other speech, noise, text of another domain): "
        "every answer to it is wrong; all together it weighs at most as much as --data",
    )
    add("--test", type=Path, nargs="+", default=[], metavar="DATA", help="to report on, never fit")
    add(
        "--test_outside", type=Path, nargs="+", default=[], metavar="DATA", help="the same, outside"
    )
    add("--task", help="slu, nlu, asr ... (by default what writes trees of recordings)")
    add(
        "--accept",
        type=float,
        metavar="SHARE",
        help="the threshold is the highest that accepts this share of the right answers of --data "
        "(by default, the one that parts right answers from all others best)",
    )
    cli.add_search(parser, beam="4")
    add("--ctc_weight", type=float, default=0.0, help="as that of `atat decode`")
    add("--out", type=Path, help="folder of the figures (beside MODEL: calibration)")
    cli.add_device(parser)
    return parser


def calibrate(options: argparse.Namespace) -> None:
    """Answer all data, fit, write, report."""
    from atat.apps.recognizer import Recognizer
    from atat.engine import model_folder

    model_folder.check(options.model)
    permissions.check(options.model, "the calibration cannot be written into the model")
    given = cli.search_of(options) | {"ctc_weight": options.ctc_weight}
    search = {"beam": 4, "well_formed": False} | {name: one for name, one in given.items() if one}
    recognizer = Recognizer.load(
        options.model, device=options.device, longest=0, calibrated=False, **search
    )
    task = _task(recognizer, options.task)
    dev = [
        *_answer_all(recognizer, task, options.data, "dev"),
        *_answer_all(recognizer, task, options.outside, "dev", outside=True),
    ]
    test = [
        *_answer_all(recognizer, task, options.test, "test"),
        *_answer_all(recognizer, task, options.test_outside, "test", outside=True),
    ]
    asked = [one for one in dev if one.evidence is not None]
    names = _names(asked)
    right = sum(one.right for one in asked)
    if right in (0, len(asked)):
        raise InputError(
            f"{options.data[0]}: {'all' if right else 'none'} of {len(asked)} answers are right: "
            "there is nothing to tell apart; give harder data, or --outside"
        )
    weights, bias = _fit(asked, names)
    fitted = Fitted(dict(zip(names, weights.tolist())), bias, 0.0)
    threshold = _threshold(confidences(dev, fitted), dev, options.accept)
    figures = {
        "task": task.name,
        "threshold": threshold,
        "dev_held_out_ece": _held_out(asked, names),
        **{
            part: figures_of(answers, fitted, threshold)
            for part, answers in (("dev", dev), ("test", test))
            if answers
        },
    }
    about = figures | {
        # Where the model lay is private: it may be published.
        "model": {
            Path(name).name: one for name, one in fingerprint.of_model(options.model).items()
        },
        "search": search,
        "provenance": provenance(),
    }
    done = Fitted(fitted.weights, bias, threshold, about)
    _store(options.model, search, task, done)
    out = options.out or options.model.resolve().parent / "calibration"
    write(out, [*dev, *test], done)
    print(lines_of(figures, options.model, out))


def _task(recognizer: Recognizer, name: str | None) -> Task:
    """The task of a name, whatever it reads."""
    if name is not None:
        if name not in recognizer.tasks:
            near = suggest.among(name, recognizer.tasks)
            raise InputError(f"--task {name}: the model was not trained on it; {near}")
        return recognizer.task_for(recognizer.tasks[name].source, name)
    if len(recognizer.tasks) == 1:  # of a teacher, which reads text
        (only,) = recognizer.tasks.values()
        return recognizer.task_for(only.source, only.name)
    return recognizer.task_for("audio")


def _answer_all(
    recognizer: Recognizer,
    task: Task,
    folders: Sequence[Path],
    part: str,
    *,
    outside: bool = False,
) -> list[Answered]:
    """The model's answers to all utterances of some data dirs, with a progress bar."""
    from tqdm import tqdm

    found: list[Answered] = []
    for folder in folders:
        utterances = kaldi_dir.load(folder)
        if task.source == "audio":
            kaldi_dir.refuse_pipes(folder, utterances, "calibrating")
        utterances.sort(key=lambda one: one.duration or len(one.text or ""))
        bar = tqdm(total=len(utterances), unit="utt", desc=folder.name)
        for start in range(0, len(utterances), TOGETHER):
            some = utterances[start : start + TOGETHER]
            prepared = [_prepare(recognizer, task, one, folder) for one in some]
            for one, weighed in zip(some, recognizer.weigh(prepared, task)):
                text = weighed.answer.text
                right = not outside and _is_right(folder, task, one, text)
                found.append(
                    Answered(one.id, part, str(folder), text, right, outside, weighed.evidence)
                )
            bar.update(len(some))
        bar.close()
    return found


def _prepare(recognizer: Recognizer, task: Task, utterance: Utterance, folder: Path) -> Prepared:
    """An utterance as it would come in use: its recording, if there is one."""
    from atat.apps.recognizer import Prepared

    if task.source == "text":
        if utterance.text is None:
            raise InputError(f"{folder}/text: no line for {utterance.id}")
        return recognizer.prepare_text(utterance.text, task)
    if utterance.wav is not None:
        try:
            return recognizer.prepare(contents.read_recording(utterance), task)
        except InputError as error:
            raise InputError(f"{folder}: utterance {utterance.id}: {error}") from None
    source = recognizer.engine.read(utterance, task.name)
    recognizer.engine.check(utterance, task.name, source)
    return Prepared(source, duration=utterance.duration or len(source) / 100)


def _is_right(folder: Path, task: Task, utterance: Utterance, text: str) -> bool:
    reference = getattr(utterance, task.target)
    if reference is None:
        raise InputError(
            f"{folder}/{task.target}: no line for {utterance.id}; data that is not for the model "
            "is given with --outside"
        )
    return metrics.is_right(task.target, reference, text)


def _names(answers: Sequence[Answered]) -> list[str]:
    """Evidence that every answer has."""
    found = [one.evidence or {} for one in answers]
    if not found:
        raise InputError("no utterance was answered by the model: all are silent, or without words")
    return [name for name in found[0] if all(name in one for one in found)]


def _matrix(answers: Sequence[Answered], names: Sequence[str]) -> np.ndarray:
    """(N, E); all answers have evidence."""
    import numpy as np

    return np.array([[(one.evidence or {})[name] for name in names] for one in answers])


def _fit(answers: Sequence[Answered], names: Sequence[str]) -> tuple[np.ndarray, float]:
    import numpy as np

    from atat.scoring import confidence

    inside = sum(not one.outside for one in answers)
    share = min(1.0, inside / max(len(answers) - inside, 1))
    weights = np.array([share if one.outside else 1.0 for one in answers])
    right = np.array([one.right for one in answers])
    return confidence.fit(_matrix(answers, names), right, weights)


def _threshold(sure: np.ndarray, answers: Sequence[Answered], accept: float | None) -> float:
    import numpy as np

    from atat.scoring import confidence

    right = np.array([one.right for one in answers])
    if accept is None:
        return confidence.best_threshold(sure, right)
    good = np.sort(sure[right])
    # As many as may be left out; a tenth of ten is one, whatever 1 - 0.9 is.
    left_out = math.floor(round((1 - accept) * len(good), 6))
    return float(good[min(left_out, len(good) - 1)])


def _held_out(answers: Sequence[Answered], names: Sequence[str]) -> float | None:
    """Calibration error of the dev answers that are for the model, each fitted without it.

    Of those whose rest has something to tell apart; None if that is so of none.
    """
    import numpy as np

    from atat.scoring import confidence

    order = np.random.default_rng(0).permutation(len(answers))
    sure = np.full(len(answers), np.nan)
    for fold in range(FOLDS):
        held = order[fold::FOLDS]
        rest = [answers[number] for number in np.setdiff1d(order, held)]
        if held.size and 0 < sum(one.right for one in rest) < len(rest):
            weights, bias = _fit(rest, names)
            some = _matrix([answers[number] for number in held], names)
            sure[held] = confidence.confidences_of(some, weights.tolist(), bias)
    chosen = np.array([not one.outside for one in answers]) & ~np.isnan(sure)
    right = np.array([one.right for one in answers])
    return confidence.expected_calibration_error(sure[chosen], right[chosen])


def _calibrated(model: Path) -> Calibration:
    """The model's calibration; one that cannot be read is none, and is about to be replaced."""
    with suppress(InputError):
        if (found := Calibration.read(model)) is not None:
            return found
    return Calibration({}, {})


def _store(model: Path, search: dict[str, Any], task: Task, fitted: Fitted) -> None:
    """Add the task to the model's calibration; those of another search are of no use any more."""
    from atat.engine import model_card

    before = _calibrated(model)
    kept = before.tasks if before.search == search else {}
    lost = sorted(before.tasks.keys() - kept.keys() - {task.name})
    if lost:
        print(
            f"{model}: no longer calibrated for {', '.join(lost)}, which was done with another "
            "search; calibrate again with this one, or all tasks with the other"
        )
    Calibration(search, {**kept, task.name: fitted}).write(model)
    about = model_card.read(model)
    if about is not None:
        model_card.write(model, about)  # it says what is accepted
    else:
        checksums.write(model)
