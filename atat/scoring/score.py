"""Score decoded utterances against a data dir, and compare two decoded dirs.

Hypotheses and references are joined on the utterance id: a missing or an extra hypothesis is an
error. The decoded dir gets `score.json` (figures in per cent with count and 95 % interval; each
group of `utt2group` separately) and `per_utt.jsonl` (per utterance the numerator and denominator
of each metric, with reference and hypothesis). The metrics are defined in `atat.scoring.metrics`.
Knows nothing of models or of how several runs are combined (`atat results`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from atat.base import digests
from atat.base.errors import InputError
from atat.base.files import atomic_write, read_lines
from atat.base.json_file import read_object
from atat.base.provenance import provenance
from atat.datadir.tables import read_table
from atat.scoring import bootstrap, metrics
from atat.scoring.bootstrap import Comparison
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

    If `task` is None it is taken from decode.json. Raises InputError if ids do not match, a
    reference is not a tree, SLU-F1 is asked for of transcripts, or there is nothing to score.
    """
    data, decoded = Path(data), Path(decoded)
    if task is None:
        task, target = _task_of(decoded)
    else:
        target = task_called(task).target
    if slu_f1 and target != "semantics":
        raise InputError(
            f"{decoded}: SLU-F1 is a measure of trees, and task {task} writes words; "
            "leave out --slu_f1"
        )
    scored = score_utterances(data, decoded, target, slu_f1=slu_f1)
    return write(decoded, scored, task, data)


def write(decoded: Path, scored: Sequence[Scored], task: str, data: Path) -> dict[str, Any]:
    """Write score.json and per_utt.jsonl of a decoded dir and return the former.

    scored: each utterance of the data dir, sorted by id.
    """
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
    """Number of utterances, unit of resampling, and each metric with its interval."""
    names = list(scored[0].counts)
    counts = counts_array(scored, names)
    sums, speakers = bootstrap.cluster_sums(counts, [one.spk for one in scored])
    total = metrics.add(one.counts for one in scored)
    found = bootstrap.intervals(sums, utterances=bootstrap.defined(counts))
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

    Raises InputError if it is missing or damaged, or older than `hyp` or the metrics' definition.
    """
    decoded = Path(decoded)
    path = decoded / "per_utt.jsonl"
    fix = f"score first: atat score --data DIR --decoded {decoded}"
    summary = read_object(decoded / "score.json", fix)
    if summary.get("hypotheses") != _fingerprint(decoded / "hyp"):
        raise InputError(f"{path}: belongs to an earlier `hyp`; {fix}")
    if summary.get("metrics_version") != metrics.VERSION:
        raise InputError(f"{path}: scored with another definition of the metrics; {fix}")
    scored = []
    for number, line in enumerate(_whole(path, read_lines, fix), 1):
        try:
            values = json.loads(line)
            values["counts"] = {name: (a + 0, b + 0) for name, (a, b) in values["counts"].items()}
            scored.append(Scored(**values))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise InputError(f"{path}:{number}: torn, not a line of this scorer; {fix}") from None
    if len(scored) != summary.get("n"):
        raise InputError(
            f"{path}: {len(scored)} lines, score.json is about {summary.get('n')} utterances; {fix}"
        )
    return scored


def counts_array(scored: Iterable[Scored], names: Sequence[str]) -> np.ndarray:
    """(utterances, metrics, 2) numerators and denominators."""
    return np.array([[one.counts[name] for name in names] for one in scored], dtype=np.float64)


def compare(
    first: str | Path, second: str | Path, names: Collection[str] = ()
) -> dict[str, Comparison]:
    """Paired bootstrap of two decoded dirs on the same utterances, metric by metric.

    Without `names`, all metrics that both have. Differences are first - second, in points.
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
    check_same_references(one, two, first, second)
    chosen = [name for name in common if not names or name in names]
    speakers = [s.spk for s in one]
    sums = [
        bootstrap.cluster_sums(counts_array(scored, chosen), speakers)[0] for scored in (one, two)
    ]
    return {
        name: bootstrap.compare(sums[0][:, i : i + 1], sums[1][:, i : i + 1])
        for i, name in enumerate(chosen)
    }


def check_same_references(
    one: Sequence[Scored], two: Sequence[Scored], first: str | Path, second: str | Path
) -> None:
    """Raise InputError, naming an utterance, where two decodings of the same data dir were scored
    against other references, as when these were corrected in between."""
    fix = "score it again: atat score"
    scores = [read_object(Path(folder) / "score.json", fix) for folder in (first, second)]
    if scores[0].get("data") != scores[1].get("data"):
        return  # what is right in one may be written otherwise in the other
    expected = {scored.utt: scored.ref for scored in one}
    for scored in two:
        if expected[scored.utt] != scored.ref:
            raise InputError(
                f"{first} and {second}: scored against other references, of {scored.utt} "
                f"{expected[scored.utt]!r} and {scored.ref!r}; score both again (atat score)"
            )


def check_same_utterances(
    expected: Collection[str],
    found: Collection[str],
    expected_in: str,
    found_in: str,
    fix: str = "decode the whole data dir again",
) -> None:
    """Raise InputError, naming the utterances that only one side has, and how to mend it."""
    for here, there, place, other in (
        (expected, found, expected_in, found_in),
        (found, expected, found_in, expected_in),
    ):
        lost = sorted(set(here) - set(there))
        if lost:
            raise InputError(
                f"{other}: {len(lost)} of {len(here)} utterances of {place} are missing: "
                f"{_first_names(lost)}; both must hold the same utterances ({fix})"
            )


def _task_of(decoded: Path) -> tuple[str, Target]:
    """The task of a decoded dir, and the table of the data dir that is its reference."""
    path = decoded / "decode.json"
    fix = "name the task: --task"
    about = read_object(path, f"{DECODE_AGAIN}, or {fix}" if path.exists() else fix)
    task, target = about.get("task"), about.get("target")
    if not isinstance(task, str):
        raise InputError(f"{decoded / 'decode.json'}: has no task; {fix}")
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


def _whole(path: Path, read: Callable[[Path], Read], fix: str) -> Read:
    """The content of a file of a decoded dir; an InputError says how to make it again."""
    try:
        return read(path)
    except InputError as error:
        raise InputError(f"{error}; to make it again, {fix}") from None


def _fingerprint(path: Path) -> str:
    """A hash of the hypotheses, to recognise a score of earlier ones."""
    try:
        return "sha256:" + digests.of_file(path)[: digests.SHORT]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; decode first: atat decode") from None
