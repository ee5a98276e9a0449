"""Scores the answers of a decoded folder, and of the questions of one kind at a time.

    atat score_answers --data data/test --spoken data/test_reference --decoded exp/x/decode_test

Of DECODED/answers.jsonl it makes folders for `atat results` and `atat score compare`, as `atat
score` makes them of other decodings (score.json, per_utt.jsonl, hyp and a copy of decode.json):

    DECODED/total       all questions
    DECODED/found       those with an answer among the recogniser's words: Spoken-SQuAD
    DECODED/lost        the others: SQuAD-lost of Chuang et al. 2020
    DECODED/wer_00_10   all questions about paragraphs with a word error rate from 0 to below 10 %
    DECODED/wer_50      ... of 50 % and more

A row is a question; paragraphs are drawn again for the intervals, since their questions share their
errors. The measures are those of `atat.scoring.spans`. Knows nothing of models.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from atat.base import cli
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_object
from atat.datadir import questions, tables
from atat.datadir.questions import ANSWERS, QUESTIONS, Question
from atat.scoring import metrics, score, spans
from atat.scoring.score import Scored
from atat.scoring.score_command import print_summary

TOTAL, FOUND, LOST, WER = "total", "found", "lost", "wer"
EDGES = (10, 20, 30, 40, 50)  # %, between the groups of Figure 5


@dataclass(frozen=True)
class Row:
    """A question with what its answer got."""

    question: Question
    scored: Scored
    wer: float | None  # of its paragraph, in %; None: not known


def score_answers(
    data: Path, decoded: Path, spoken: Path | None = None, edges: Sequence[int] = EDGES
) -> dict[str, dict[str, Any]]:
    """Write the folders below a decoded folder; returns the score.json of each by its name.

    spoken: data dir with the words spoken, of these paragraphs and maybe of others, for groups by
    word error rate. Raises InputError if the answers are not those of the data dir's questions.
    """
    rows = _rows(data, decoded, spoken)
    about = read_object(decoded / "decode.json", score.DECODE_AGAIN)
    about.pop("target", None)  # an answer is no transcript
    for old in _earlier(decoded):
        shutil.rmtree(old)
    made = {}
    for name, belongs in _kinds(edges if spoken is not None else ()).items():
        chosen = [row.scored for row in rows if belongs(row)]
        if chosen:
            made[name] = _write(decoded / name, chosen, about, data)
    return made


def _rows(data: Path, decoded: Path, spoken: Path | None) -> list[Row]:
    texts = tables.read_table(data / "text")
    asked = questions.read(data, texts)
    given = {one.id: one for one in questions.read_predictions(decoded)}
    score.check_same_utterances(
        {one.id for one in asked}, given, f"{data / QUESTIONS}", f"{decoded / ANSWERS}"
    )
    if not asked:
        raise InputError(f"{data / QUESTIONS}: no questions, nothing to score")
    rates = _error_rates(texts, spoken)
    rows = []
    for one in asked:
        best = given[one.id].best
        right = " | ".join(dict.fromkeys(answer.text for answer in one.answers))
        # Paragraphs stand where speakers do: what is drawn again as a whole.
        scored = Scored(one.id, one.utt, None, spans.counts(one, best), right, best.text)
        rows.append(Row(one, scored, rates.get(one.utt)))
    return rows


def _error_rates(heard: Mapping[str, str], spoken: Path | None) -> dict[str, float]:
    """WER of each utterance, in %. There may be further ones in `spoken`: a version of the test
    with fewer questions has fewer paragraphs."""
    if spoken is None:
        return {}
    known = tables.read_table(spoken / "text")
    references = {key: text for key, text in known.items() if key in heard}
    score.check_same_utterances(
        heard,
        references,
        "the data dir",
        f"{spoken / 'text'}",
        "--spoken is the data dir with the words spoken in each of its recordings",
    )
    rates = {}
    for key, text in heard.items():
        wrong, words = metrics.text_counts(references[key], text)["wer"]
        rates[key] = 100 * wrong / max(words, 1)
    return rates


def _kinds(edges: Sequence[int]) -> dict[str, Callable[[Row], bool]]:
    """The folders and which questions belong into each."""
    kinds: dict[str, Callable[[Row], bool]] = {
        TOTAL: lambda row: True,
        FOUND: lambda row: not row.question.lost,
        LOST: lambda row: row.question.lost,
    }
    for low, high in zip((0, *edges), (*edges, None)) if edges else ():
        kinds[_group_name(low, high)] = partial(_is_within, low, high)
    return kinds


def _group_name(low: int, high: int | None) -> str:
    return f"{WER}_{low:02d}" + (f"_{high:02d}" if high is not None else "")


def _is_within(low: int, high: int | None, row: Row) -> bool:
    return row.wer is not None and low <= row.wer and (high is None or row.wer < high)


def _earlier(decoded: Path) -> list[Path]:
    """Folders of an earlier run, which may have had other groups."""
    named = [decoded / name for name in (TOTAL, FOUND, LOST)]
    return [
        path
        for path in (*named, *decoded.glob(f"{WER}_*"))
        if (path / "score.json").is_file() or (path / "hyp").is_file()
    ]


def _write(
    folder: Path, chosen: Sequence[Scored], about: Mapping[str, Any], data: Path
) -> dict[str, Any]:
    tables.write_table(folder / "hyp", {one.utt: one.hyp for one in chosen})
    with atomic_write(folder / "decode.json") as stream:
        json.dump({**about, "utterances": len(chosen)}, stream, indent=1)
    return score.write(folder, chosen, str(about.get("task", "answer")), data)


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        prog="atat score_answers",
        description=cli.guide(
            "Score the answers to questions about spoken paragraphs: exact match and F1 in words, "
            "F1 and overlap in time.",
            "atat score_answers --data data/test --spoken data/test_reference "
            "--decoded exp/speechbert/seed1/decode_test",
            reads="DATA/questions.jsonl and DATA/text; DECODED/answers.jsonl and "
            "DECODED/decode.json; SPOKEN/text.",
            writes="DECODED/total, DECODED/found (questions with an answer among the recogniser's "
            "words), DECODED/lost (the others) and, with --spoken, DECODED/wer_00_10 and so on "
            "(by the word error rate of the paragraph): what `atat score` writes, for `atat "
            "results` and `atat score compare`.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="data dir with questions.jsonl")
    parser.add_argument("--decoded", type=Path, required=True, help="folder with answers.jsonl")
    parser.add_argument("--spoken", type=Path, help="data dir with the words spoken, for WER")
    parser.add_argument(
        "--wer_edges",
        type=int,
        nargs="+",
        help="bounds between the groups by WER, in per cent, with --spoken (default: "
        f"{' '.join(map(str, EDGES))})",
    )
    options = parser.parse_args(argv)
    if options.wer_edges is not None and options.spoken is None:
        parser.error("--wer_edges are bounds of word error rates, which need --spoken")
    edges = list(EDGES) if options.wer_edges is None else options.wer_edges
    if min(edges) <= 0 or edges != sorted(set(edges)):
        raise InputError(
            f"--wer_edges {' '.join(map(str, edges))}: expected rising whole numbers above 0"
        )
    made = score_answers(options.data, options.decoded, options.spoken, edges)
    for name, summary in made.items():
        title = f"{options.decoded / name} on {options.data}"
        print_summary(title, summary, clusters="paragraphs")
