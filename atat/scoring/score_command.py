"""The command `atat score`: scores a decoded dir, or compares two, and prints the result.

    atat score --data data/test --decoded exp/slu/decode_test
    atat score compare exp/a/decode_test exp/b/decode_test --metric em_hyp

Knows nothing of metrics: `score` computes them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atat.base import cli
from atat.base.json_file import read_object_or_none
from atat.scoring.bootstrap import Comparison, Interval
from atat.scoring.figures import format_interval, p_value_text
from atat.scoring.score import compare, score


def print_summary(title: str, summary: dict[str, Any], clusters: str = "speakers") -> None:
    """Print each figure of a score.json, or of a group in it, with its interval and counts.

    clusters: what is drawn again as a whole where several are known.
    """
    unit = f", {summary['speakers']} {clusters}" if summary["resampled"] == "speakers" else ""
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


def _figure(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def _parser() -> argparse.ArgumentParser:
    formatter = cli.HelpFormatter
    parser = cli.Parser(
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
    parser.add_argument("--task", help="task that was decoded (default: as decode.json says)")
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
    """`score` by default; `compare A B` if the first word is `compare`."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.command == "compare":
        if options.data or options.decoded or options.task or options.slu_f1:
            parser.error(
                "compare A B takes no --data, --decoded, --task and --slu_f1: "
                "it reads what `atat score` wrote for A and for B"
            )
        _print_comparison(compare(options.first, options.second, options.metric))
        return
    if not options.data or not options.decoded:
        parser.error("--data and --decoded are required (or: compare A B)")
    result = score(options.data, options.decoded, task=options.task, slu_f1=options.slu_f1)
    print_summary(f"{options.decoded} on {options.data}", result)
    about = read_object_or_none(Path(options.decoded) / "decode.json") or {}
    if about.get("at_limit"):
        print(f"  note: {about['at_limit']} of the outputs ended at decoding's length limit")
    for group, summary in result["groups"].items():
        print_summary(f"group {group}", summary)
