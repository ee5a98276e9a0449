"""Score decoded utterances against a data dir, and compare two decoded dirs.

    atat score --data data/test --decoded exp/slu/decode_test
    atat score compare exp/a/decode_test exp/b/decode_test --metric em_hyp

Hypotheses and references are joined on the utterance id: a missing or an extra hypothesis is an
error. Written into the decoded dir: `score.json` (figures in per cent with count and 95 %
interval; each group of `utt2group` apart) and `per_utt.jsonl` (per utterance the numerator and
denominator of each metric, with reference and hypothesis to read). What the metrics mean stands
in `atat.scoring.metrics`. Knows nothing of models or of how several runs are put together
(`atat results`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from atat.base import cli, digests
from atat.base.errors import InputError
from atat.base.files import atomic_write, read_lines
from atat.base.json_file import read_object, read_object_or_none
from atat.base.provenance import provenance
from atat.datadir.tables import read_table
from atat.scoring import bootstrap, metrics
from atat.scoring.bootstrap import Comparison, Interval
from atat.scoring.metrics import Counts
from atat.text.tasks import TARGETS, Target
from atat.text.tasks import task as task_called
from atat.text.trees import SemanticsError

DECODE_AGAIN = "remove the folder and run the decoding again"


@dataclass(frozen=True)
class Scored:
    """One line of per_utt.jsonl."""

    utt: str
    spk: str
    group: str | None
    counts: Counts
    ref: str
    hyp: str


def score(
    data: str | Path, decoded: str | Path, *, task: str | None = None, slu_f1: bool = False
) -> dict[str, Any]:
    """Score a decoded dir, write score.json and per_utt.jsonl into it and return the former.

    `task` is taken from decode.json when it is None. Raises InputError when ids do not match, a
    reference is no tree, or there is nothing to score.
    """
    data, decoded = Path(data), Path(decoded)
    if task is None:
        task, target = _task_of(decoded)
    else:
        target = task_called(task).target
    scored = score_utterances(data, decoded, target, slu_f1=slu_f1)
    result = {
        "task": task,
        "data": str(data),
        "unit": "%",
        **summarize(scored),
        "groups": {
            group: summarize([one for one in scored if one.group == group])
            for group in sorted({one.group for one in scored if one.group is not None})
        },
        "hypotheses": _fingerprint(decoded / "hyp"),
        "metrics_version": metrics.VERSION,
        "provenance": provenance(),
    }
    with atomic_write(decoded / "per_utt.jsonl") as stream:
        for one in scored:
            stream.write(json.dumps(asdict(one), ensure_ascii=False) + "\n")
    with atomic_write(decoded / "score.json") as stream:
        json.dump(result, stream, indent=2, ensure_ascii=False)
        stream.write("\n")
    return result


def score_utterances(
    data: Path, decoded: Path, target: Target, *, slu_f1: bool = False
) -> list[Scored]:
    """Counts of each utterance of the data dir, sorted by id; `target` is its reference file."""
    references = read_table(data / target)
    hypotheses = _whole(decoded / "hyp", read_table, DECODE_AGAIN)
    check_same_utterances(references, hypotheses, f"{data / target}", f"{decoded / 'hyp'}")
    if not references:
        raise InputError(f"{data / target}: no utterances, nothing to score")
    speakers = _for_all(data / "utt2spk", references)
    has_groups = (data / "utt2group").exists()
    groups = _for_all(data / "utt2group", references) if has_groups else {}
    scored = []
    for utt in sorted(references):
        try:
            counts = metrics.count(target, references[utt], hypotheses[utt], slu_f1=slu_f1)
        except SemanticsError as error:
            raise InputError(f"{data / target}: utterance {utt}: {error}") from None
        scored.append(
            Scored(utt, speakers[utt], groups.get(utt), counts, references[utt], hypotheses[utt])
        )
    return scored


def summarize(scored: Sequence[Scored]) -> dict[str, Any]:
    """Number of utterances, what was resampled, and each metric with its interval."""
    names = list(scored[0].counts)
    counts = counts_array(scored, names)
    sums, speakers = bootstrap.cluster_sums(counts, [one.spk for one in scored])
    total = metrics.add(one.counts for one in scored)
    found = bootstrap.intervals(sums, utterances=len(scored))
    figures = {
        name: {
            **asdict(interval),
            "n": len(scored),
            "numerator": total[name][0],
            "denominator": total[name][1],
        }
        for name, interval in zip(names, found)
    }
    return {
        "n": len(scored),
        "speakers": len({one.spk for one in scored}),
        "resampled": "speakers" if speakers else "utterances",
        "metrics": figures,
    }


def load_scored(decoded: str | Path) -> list[Scored]:
    """per_utt.jsonl of a decoded dir.

    Raises InputError when it is missing or torn, or older than `hyp` or than what a metric means.
    """
    decoded = Path(decoded)
    path = decoded / "per_utt.jsonl"
    mend = f"score first: atat score --data DIR --decoded {decoded}"
    summary = read_object(decoded / "score.json", mend)
    if summary.get("hypotheses") != _fingerprint(decoded / "hyp"):
        raise InputError(f"{path}: belongs to an earlier `hyp`; {mend}")
    if summary.get("metrics_version") != metrics.VERSION:
        raise InputError(f"{path}: scored by another definition of the metrics; {mend}")
    scored = []
    for number, line in enumerate(_whole(path, read_lines, mend), 1):
        try:
            values = json.loads(line)
            values["counts"] = {name: (a + 0, b + 0) for name, (a, b) in values["counts"].items()}
            scored.append(Scored(**values))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise InputError(f"{path}:{number}: torn, not a line of this scorer; {mend}") from None
    if len(scored) != summary.get("n"):
        raise InputError(
            f"{path}: {len(scored)} lines, score.json is about {summary.get('n')} utterances; "
            f"{mend}"
        )
    return scored


def counts_array(scored: Iterable[Scored], names: Sequence[str]) -> np.ndarray:
    """(utterances, metrics, 2) numerators and denominators."""
    return np.array([[one.counts[name] for name in names] for one in scored], dtype=np.float64)


def compare(
    first: str | Path, second: str | Path, names: Collection[str] = ()
) -> dict[str, Comparison]:
    """Paired bootstrap of two decoded dirs on the same utterances, metric by metric.

    Without `names`: all metrics that both have. Differences are first - second, in points.
    """
    one, two = load_scored(first), load_scored(second)
    check_same_utterances({s.utt for s in one}, {s.utt for s in two}, str(first), str(second))
    common = [name for name in one[0].counts if name in two[0].counts]
    unknown = [name for name in names if name not in common]
    if unknown or not common:
        raise InputError(
            f"{first} and {second} have no metric {', '.join(unknown)} in common; "
            f"common: {', '.join(common) or 'none'}"
        )
    chosen = [name for name in common if not names or name in names]
    speakers = [s.spk for s in one]
    sums = [
        bootstrap.cluster_sums(counts_array(scored, chosen), speakers)[0] for scored in (one, two)
    ]
    return {
        name: bootstrap.compare(sums[0][:, i : i + 1], sums[1][:, i : i + 1])
        for i, name in enumerate(chosen)
    }


def check_same_utterances(
    expected: Collection[str], found: Collection[str], expected_in: str, found_in: str
) -> None:
    """InputError naming the utterances that only one side has."""
    for here, there, place, other in (
        (expected, found, expected_in, found_in),
        (found, expected, found_in, expected_in),
    ):
        lost = sorted(set(here) - set(there))
        if lost:
            raise InputError(
                f"{other}: {len(lost)} of {len(here)} utterances of {place} are missing: "
                f"{_first_names(lost)}; "
                "both must hold the same utterances (decode the whole data dir again)"
            )


def format_interval(interval: Interval) -> str:
    """As tables show a figure: "83.45 [80.12, 86.40]", or "n/a"."""
    if interval.value is None:
        return "n/a"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.2f}"
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _task_of(decoded: Path) -> tuple[str, Target]:
    """The task of a decoded dir, and which table of the data dir is its reference."""
    path = decoded / "decode.json"
    mend = "name the task: --task"
    about = read_object(path, f"{DECODE_AGAIN}, or {mend}" if path.exists() else mend)
    task, target = about.get("task"), about.get("target")
    if not isinstance(task, str):
        raise InputError(f"{decoded / 'decode.json'}: says no task; {mend}")
    if target in TARGETS:
        return task, target
    return task, task_called(task).target


def _for_all(path: Path, utterances: Collection[str]) -> dict[str, str]:
    table = read_table(path)
    lost = sorted(set(utterances) - set(table))
    if lost:
        raise InputError(
            f"{path}: {len(lost)} of {len(utterances)} utterances missing: {_first_names(lost)}"
        )
    return table


def _first_names(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


Read = TypeVar("Read")


def _whole(path: Path, read: Callable[[Path], Read], mend: str) -> Read:
    """What a reader makes of a file of a decoded dir; its InputError says how to make it again."""
    try:
        return read(path)
    except InputError as error:
        raise InputError(f"{error}; to make it again, {mend}") from None


def _fingerprint(path: Path) -> str:
    """A hash of the hypotheses, so that a score of earlier ones is never taken for theirs."""
    try:
        return "sha256:" + digests.of_file(path)[: digests.SHORT]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; decode first: atat decode") from None


def _print_summary(title: str, summary: dict[str, Any]) -> None:
    unit = f", {summary['speakers']} speakers" if summary["resampled"] == "speakers" else ""
    print(f"{title} (n = {summary['n']}{unit})")
    for name, figure in summary["metrics"].items():
        interval = Interval(figure["value"], figure["low"], figure["high"])
        total = f"{figure['numerator']:g}/{figure['denominator']:g}"
        print(f"  {name:<14} {format_interval(interval):<26} {total}")


def _print_comparison(compared: Mapping[str, Comparison]) -> None:
    for name, found in compared.items():
        values = f"{_figure(found.first)} - {_figure(found.second)}"
        p_value = p_value_text(found)
        print(f"{name:<14} {values:<17} = {format_interval(found.difference):<24} {p_value}")


def p_value_text(found: Comparison) -> str:
    """ "p = 0.004", "p < 0.001" or "p undefined", with the draws used where not all were."""
    if found.p_value is None:
        text = "p undefined"
    else:
        text = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.3f}"
    if found.draws < found.replicates:
        text += f" (defined in {found.draws:,} of {found.replicates:,} draws)"
    return text


def _figure(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def _parser() -> argparse.ArgumentParser:
    formatter = cli.HelpFormatter
    parser = argparse.ArgumentParser(
        prog="atat score",
        description=cli.guide(
            "Score the hypotheses of a decoded dir against a data dir, or compare two decoded "
            "dirs.",
            "atat score --data data/test --decoded exp/joint/decode_test",
            "atat score compare exp/a/decode_test exp/b/decode_test --metric em_hyp",
            reads="DECODED/hyp and DECODED/decode.json; DATA/text or DATA/semantics, utt2spk "
            "and, for groups apart, utt2group.",
            writes="DECODED/score.json, figures in per cent with 95 % intervals, and "
            "DECODED/per_utt.jsonl, what each utterance got in each metric, with "
            "reference and hypothesis to read.",
        ),
        formatter_class=formatter,
    )
    parser.add_argument("--data", help="data dir with the references")
    parser.add_argument("--decoded", help="decoded dir with `hyp`; the scores are written there")
    parser.add_argument("--task", help="task that was decoded; None = as decode.json says")
    parser.add_argument("--slu_f1", action="store_true", help="also SLU-F1 as defined by SLURP")
    commands = parser.add_subparsers(dest="command", metavar="[compare A B]")
    pair = commands.add_parser(
        "compare",
        help="paired bootstrap of two decoded dirs",
        description=cli.guide(
            "Differences A - B in points of per cent, with 95 % intervals and p-values of a "
            "paired bootstrap.",
            "atat score compare exp/a/decode_test exp/b/decode_test --metric em_hyp",
            reads="per_utt.jsonl of both, which `atat score` has written.",
            writes="nothing; prints the differences.",
        ),
        formatter_class=formatter,
    )
    pair.add_argument("first", metavar="A", help="decoded dir, scored before")
    pair.add_argument("second", metavar="B", help="decoded dir of the same utterances")
    pair.add_argument("--metric", nargs="+", default=[], help="metrics to compare; none = all")
    return parser


def main(argv: list[str] | None = None) -> None:
    """`score` by default; `compare A B` when the first word says so."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.command == "compare":
        _print_comparison(compare(options.first, options.second, options.metric))
        return
    if not options.data or not options.decoded:
        parser.error("--data and --decoded are required (or: compare A B)")
    result = score(options.data, options.decoded, task=options.task, slu_f1=options.slu_f1)
    _print_summary(f"{options.decoded} on {options.data}", result)
    about = read_object_or_none(Path(options.decoded) / "decode.json") or {}
    if about.get("at_limit"):
        print(f"  note: {about['at_limit']} of the outputs ended at decoding's length limit")
    for group, summary in result["groups"].items():
        _print_summary(f"group {group}", summary)
