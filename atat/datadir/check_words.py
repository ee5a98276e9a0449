"""Checks of a data dir's words: text, trees, questions, alignments, and that they agree.

Knows nothing of audio; the caller gives the durations of utterances.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from atat.base.errors import InputError
from atat.base.files import fields
from atat.base.report import Finding, Report
from atat.datadir import plain_text
from atat.datadir.ctm import PHONES, Word, check, check_phones
from atat.datadir.files import ALIGNMENTS, DataDir
from atat.datadir.questions import QUESTIONS
from atat.datadir.questions import read as read_questions
from atat.datadir.tables import Scan
from atat.text import trees
from atat.text.normalize import normalize

# Characters of normalised text, except letters of other scripts.
PLAIN = re.compile("[a-z' ]*")
ENDS_EARLY = "alignment ends early"  # a kind of finding, which only warns


def check_questions(data: DataDir, report: Report) -> None:
    """Questions are in order, about utterances that there are, and their answers in the text."""
    if QUESTIONS not in data.others:
        return
    path = str(data.folder / QUESTIONS)
    try:
        read_questions(data.folder, data.table("text"))
    except InputError as error:
        line, _, message = str(error).removeprefix(f"{path}:").partition(": ")
        where, what = (int(line), message) if line.isdigit() else (0, str(error))
        report.add(Finding(path, where, "malformed question", what))


def check_texts(data: DataDir, report: Report) -> None:
    """No text is empty, not normalised, or holds odd white space or a reserved symbol."""
    for name in ("text", "semantics"):
        scan = data.scans.get(name)
        if scan is None:
            continue
        for utterance, text in scan.table.items():
            if not text:
                _find(
                    report,
                    scan,
                    utterance,
                    f"empty {name}",
                    "nothing after the id; expected words; add them or drop the utterance (repair)",
                )
            elif not text.isascii() or not text.isprintable():
                _check_characters(report, scan, utterance, text)
            if name == "text" and not PLAIN.fullmatch(text) and normalize(text) != text:
                _warn(
                    report,
                    scan,
                    utterance,
                    "text not normalised",
                    f"{text!r} is spoken "
                    f"{normalize(text)!r}, and so models of other data dirs know it; "
                    "atat datadir normalize writes it so",
                )
            if name == "text" and (word := plain_text.reserved(text)):
                _find(
                    report,
                    scan,
                    utterance,
                    "reserved symbol",
                    f"{word!r} in {utterance!r} means something else to Kaldi; remove it",
                )


def _check_characters(report: Report, scan: Scan, utterance: str, text: str) -> None:
    if odd := plain_text.ODD_BLANKS.search(text):
        # Without `about`: repair puts a blank in its place, no utterance is lost.
        report.add(
            Finding(
                str(scan.path),
                scan.line(utterance),
                "odd white space",
                f"character U+{ord(odd[0]):04X} in {utterance!r}; expected blanks "
                "only; repair puts a blank there",
            )
        )


def check_trees(data: DataDir, report: Report) -> None:
    """Every tree parses; warn if intents and slots do not alternate or words differ from text.

    Trees with values in canonical form need not have the words of the text.
    """
    scan = data.scans.get("semantics")
    if scan is None:
        return
    texts = data.table("text")
    # Millions of trees have few shapes; each shape is parsed once to see if it alternates.
    alternates: dict[str, bool] = {}
    for utterance, text in scan.table.items():
        if not text:
            continue
        shape, words = _shape_and_words(text)
        if shape not in alternates:
            try:
                alternates[shape] = trees.is_well_formed(trees.parse(text))
            except trees.SemanticsError as error:
                _find(
                    report,
                    scan,
                    utterance,
                    "not a tree",
                    f"the tree of {utterance!r}: {error}; fix it or drop the utterance (repair)",
                )
                continue
        if not alternates[shape]:
            _warn(
                report,
                scan,
                utterance,
                "intents and slots do not alternate",
                f"the tree of {utterance!r}: expected an intent at the root, slots directly "
                "below intents and intents below slots; well-formed decoding cannot produce it",
            )
        expected = texts.get(utterance)
        if expected is not None and words != expected.split() and not _is_canonical(text, expected):
            _warn(
                report,
                scan,
                utterance,
                "tree words unlike text",
                f"{utterance!r}: "
                f"{_difference(words, expected.split())}; normalise both alike (atat datadir "
                "normalize)",
            )


def _is_canonical(text: str, expected: str) -> bool:
    """Whether a tree gives the values of its slots in canonical form, not as spoken.

    Then the words outside its slots are all of the sentence (labels first, as FluentSpeech has
    them) or none of it (intent and slots alone).
    """
    slots: list[bool] = []  # of each bracket that is open: is it a slot?
    outside = []
    for token in text.split():
        if trees.is_open(token):
            slots.append(token.startswith("[SL:"))
        elif trees.is_close(token):
            slots.pop()
        elif not any(slots):
            outside.append(trees.unescape(token))
    return not outside or outside == expected.split()


def _shape_and_words(text: str) -> tuple[str, list[str]]:
    """The tokens of a tree with `_` for plain words, which are always valid; its words."""
    shape, words = [], []
    for token in text.split():
        if token == trees.CLOSE or token[0] == "[":
            shape.append(token)
        elif "[" in token or "]" in token or "\\" in token:
            shape.append(token)
            words.append(trees.unescape(token))
        else:
            shape.append("_")
            words.append(token)
    return " ".join(shape), words


def _difference(found: list[str], expected: list[str]) -> str:
    at = next(
        (i for i, pair in enumerate(zip(found, expected)) if pair[0] != pair[1]),
        min(len(found), len(expected)),
    )
    here = repr(found[at]) if at < len(found) else "its end"
    there = repr(expected[at]) if at < len(expected) else "its end"
    return f"word {at + 1} is {here} in the tree, {there} in text"


def check_alignments(data: DataDir, report: Report, durations: Mapping[str, float]) -> None:
    """Every line of ctm and phones.ctm is valid, with times within the utterance.

    A ctm has the words of the text, phones.ctm phones of the set. A long silence behind the last
    word is a warning.
    """
    texts = data.table("text")
    for name in ALIGNMENTS:
        scan = data.scans.get(name)
        if scan is None:
            continue
        for utterance, rows in scan.table.items():
            try:
                found: list[Word] = []
                for row in rows.split("\n"):
                    found.append(_parse_row(row))
            except InputError as error:
                message = f"{error}; correct the line or drop the alignment (repair)"
                line = scan.line(utterance) + len(found)
                report.add(
                    Finding(str(scan.path), line, "malformed ctm", message), (name, utterance)
                )
                continue
            spoken = [word for word in found if word.text != "<eps>"]
            if name == PHONES:
                problems = check_phones(spoken, durations.get(utterance))
            else:
                problems = check(spoken, texts.get(utterance), durations.get(utterance))
            for problem in problems:
                kind = _kind(problem)
                # People pause: where a file does not say how long it is, it may well be whole.
                early = kind == ENDS_EARLY
                fix = (
                    "if there is speech behind that" if early else "or drop the alignment (repair)"
                )
                message = f"{utterance!r}: {problem}; align it again {fix}"
                report.add(
                    Finding(
                        str(scan.path), scan.line(utterance), kind, message, is_error=not early
                    ),
                    (name, utterance),
                )


def _parse_row(row: str) -> Word:
    """`<channel> <start> <duration> <word> [<confidence>]`."""
    found = fields(row)
    expected = "expected `<utterance> <channel> <start s> <duration s> <word>`"
    if len(found) not in (4, 5):
        raise InputError(f"found {len(found) + 1} fields, {expected}")
    try:
        return Word(found[3], float(found[1]), float(found[2]))
    except ValueError:
        raise InputError(f"found times {found[1]!r} and {found[2]!r}, {expected}") from None


def _kind(problem: str) -> str:
    """The kind of a message of `ctm.check`."""
    if "shorter than its audio" in problem:
        return ENDS_EARLY
    if "its audio" in problem:
        return "alignment unlike audio"
    return "alignment unlike text" if "text" in problem else "malformed ctm"


def _find(report: Report, scan: Scan, utterance: str, kind: str, message: str) -> None:
    report.add(Finding(str(scan.path), scan.line(utterance), kind, message), utterance)


def _warn(report: Report, scan: Scan, utterance: str, kind: str, message: str) -> None:
    report.add(Finding(str(scan.path), scan.line(utterance), kind, message, is_error=False))
