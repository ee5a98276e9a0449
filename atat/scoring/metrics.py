"""How correct one hypothesis is, as counts: `{metric: (numerator, denominator)}`.

Every measure is a ratio of two counts, so a corpus is scored by adding the counts of its
utterances (micro-average), and a bootstrap can draw utterances again. All are defined in
`METRICS`, which also says whether lower or higher is better.

Knows nothing of files, groups, intervals or how the hypotheses were made. Texts are compared
unchanged, apart from blanks: both sides have been normalised with `atat.text.normalize`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from atat.text import trees
from atat.text.tasks import Target
from atat.text.trees import Tree
from atat.text.word_alignment import align_words

Counts = dict[str, tuple[float, float]]
Item = tuple[int, str, str]  # of a tree, for SemER: see _semantic_items

# Increased when the definition of a measure changes: counts of other versions are never mixed in.
# 2: SemER counts right slots under a wrong intent as right.
VERSION = 2


@dataclass(frozen=True)
class Metric:
    """A measure and how tables show it."""

    title: str
    lower_is_better: bool
    meaning: str


METRICS: dict[str, Metric] = {
    "em_full": Metric("EM full", False, "the whole output equals the reference, words and tags"),
    "em_hyp": Metric("EM hyp", False, "the trees are equal once words outside slots are dropped"),
    "hyp_er": Metric("HypER", True, "100 - EM hyp"),
    "semer": Metric(
        "SemER",
        True,
        "(substituted + inserted + deleted) / (slots + intents of the reference); an item is an"
        " intent, or a slot with its path below the root intent and its value, so that right slots"
        " under a wrong intent are one error; an output that is no tree counts as all deleted",
    ),
    "intent_acc": Metric("Intent", False, "the intent at the root is right"),
    "bracket_p": Metric("Bracket P", False, "precision of labelled brackets (label, start, end)"),
    "bracket_r": Metric("Bracket R", False, "recall of labelled brackets"),
    "bracket_f1": Metric("Bracket F1", False, "F1 of labelled brackets"),
    "tree_validity": Metric(
        "Tree validity",
        False,
        "outputs that are well-formed: brackets balanced, an intent at the root, intents and"
        " slots in turn",
    ),
    "wer": Metric("WER", True, "word edits / words of the reference"),
    "cer": Metric("CER", True, "character edits / characters of the reference, blanks counted"),
    "phone_acc": Metric(
        "Phones", False, "of the frames (40 ms) with a phone or silence, those with the right one"
    ),
    "phone_acc_speech": Metric("Phones of speech", False, "the same without frames of silence"),
    "word_acc": Metric(
        "Words",
        False,
        "of the frames (160 ms) with a word that the model knows, those with the right one",
    ),
    "word_acc_all": Metric(
        "Words, all", False, "the same of all frames with a word; unknown words are wrong"
    ),
    "answer_em": Metric("EM", False, "the answer's words are those of a right answer, for SQuAD"),
    "answer_f1": Metric("F1", False, "F1 of the answer's words, for SQuAD; mean over questions"),
    "frame_f1": Metric(
        "Frame F1", False, "F1 of the answer's time against its true time; mean over questions"
    ),
    "aos": Metric(
        "AOS", False, "time in both answers over time in either of them; mean over questions"
    ),
    "slu_f1": Metric("SLU-F1", False, "F1 of slots weighted by word and character distance"),
}


def count(
    target: Literal["text", "semantics"], reference: str, hypothesis: str, *, slu_f1: bool = False
) -> Counts:
    """Counts of one utterance whose target is plain `text` or a tree (`semantics`)."""
    if target == "text":
        return text_counts(reference, hypothesis)
    return tree_counts(reference, hypothesis, slu_f1=slu_f1)


def add(counts: Iterable[Counts]) -> Counts:
    """The sum over utterances, metric by metric."""
    total: dict[str, tuple[float, float]] = {}
    for one in counts:
        for name, (numerator, denominator) in one.items():
            before = total.get(name, (0, 0))
            total[name] = (before[0] + numerator, before[1] + denominator)
    return total


def canonical(text: str) -> str:
    """One blank between tokens, none around them."""
    return " ".join(text.split())


def is_right(target: Target, reference: str, hypothesis: str) -> bool:
    """Whether an answer can be acted on: the words are right, or the intent and all slots.

    Words outside of slots do not count (`em_hyp`). Raises SemanticsError if the reference is not a
    tree.
    """
    if target == "text":
        return canonical(reference) == canonical(hypothesis)
    truth, guess = trees.parse(reference), trees.parse_or_none(hypothesis)
    return guess is not None and _hypothesis(truth) == _hypothesis(guess)


def text_counts(reference: str, hypothesis: str) -> Counts:
    """WER, CER and whole-sentence accuracy; with an empty reference all words are insertions."""
    import jiwer  # Imported here, so that --help and results do not have to load it.

    reference, hypothesis = canonical(reference), canonical(hypothesis)
    words = jiwer.process_words([reference], [hypothesis])
    characters = jiwer.process_characters([reference], [hypothesis])
    return {
        "em_full": (int(reference == hypothesis), 1),
        "wer": (_edits(words), len(reference.split())),
        "cer": (_edits(characters), len(reference)),
    }


def tree_counts(reference: str, hypothesis: str, *, slu_f1: bool = False) -> Counts:
    """All measures of meaning; raises SemanticsError if the reference is not a tree.

    A hypothesis that is not a tree is wrong everywhere: no part of it counts as right.
    `slu_f1` adds SLU-F1, for corpora that report it.
    """
    truth = trees.parse(reference)
    guess = trees.parse_or_none(hypothesis)
    same = is_right("semantics", reference, hypothesis)
    wanted = trees.brackets(truth)
    given = trees.brackets(guess) if guess is not None else []
    hits = matching_brackets(truth, guess) if guess is not None else 0
    counts: Counts = {
        "em_full": (int(canonical(reference) == canonical(hypothesis)), 1),
        "em_hyp": (int(same), 1),
        "hyp_er": (int(not same), 1),
        "semer": semantic_errors(truth, guess),
        "intent_acc": (int(guess is not None and guess.label == truth.label), 1),
        "bracket_p": (hits, len(given)),
        "bracket_r": (hits, len(wanted)),
        "bracket_f1": (2 * hits, len(given) + len(wanted)),
        "tree_validity": (int(guess is not None and trees.is_well_formed(guess)), 1),
    }
    if slu_f1:
        counts["slu_f1"] = slurp_f1(truth, guess)
    return counts


def semantic_errors(reference: Tree, hypothesis: Tree | None) -> tuple[int, int]:
    """(substituted + inserted + deleted, slots and intents of the reference).

    Items are multisets, see `_semantic_items`. Equal ones cancel. Of the rest, two with the same
    tag are a substitution, whether the value or the place is wrong; the surplus is deleted or
    inserted. Without a hypothesis (None) all are deleted.

    With one intent the denominator is that of Rongali et al. 2021, section "Results": slots + 1.
    Since an item is at most one error, only tags that are not in the reference can make a
    hypothesis worse than "all deleted"; no single mistake in a right tree can.
    """
    paths: dict[tuple[int, str], int] = {}
    wanted = Counter(_semantic_items(reference, paths))
    total = sum(wanted.values())
    if hypothesis is None:
        return total, total
    given = Counter(_semantic_items(hypothesis, paths))
    missing, surplus = _by_tag(wanted - given), _by_tag(given - wanted)
    # For one tag, min(missing, surplus) are substituted: the larger number counts all errors.
    return sum((missing | surplus).values()), total


def _semantic_items(tree: Tree, paths: dict[tuple[int, str], int]) -> list[Item]:
    """(path, tag, value) of the items that SemER counts.

    A slot: the slots from the root down to it, its label, its words. The root intent: no path, "",
    its label. A nested intent: the slots above it, "IN", its label. Paths contain no intents, so
    a wrong one, at the root or below, is one error and not another one for each slot in it.

    paths: the number of each path seen so far, by that of the path above and the label, so that
    equal paths of two trees have the same number at any depth.
    """
    leaves = trees.words(tree)
    found: list[Item] = []
    above = [0]  # the path at each depth; 0: no slot so far
    for label, depth, start, end in trees.spans(tree):
        path = above[depth - 1]
        if label.startswith("SL:"):
            path = paths.setdefault((path, label), len(paths) + 1)
            found.append((path, label, " ".join(leaves[start:end])))
        else:
            found.append((path, "IN" if depth > 1 else "", label))
        above[depth:] = [path]
    return found


def _by_tag(items: Counter[Item]) -> Counter[str]:
    tags = Counter[str]()
    for (_, tag, _), times in items.items():
        tags[tag] += times
    return tags


def matching_brackets(reference: Tree, hypothesis: Tree) -> int:
    """Number of brackets of the hypothesis that match the reference in label and position.

    If the words differ, a bracket is placed by the edit-distance alignment of the words. Words
    missing in the hypothesis make the position of a neighbouring bracket ambiguous; each position
    that the alignment allows counts as right. A bracket without an aligned word can match only an
    empty one. With equal words this is the plain comparison of (label, start, end).
    """
    wanted = Counter(trees.brackets(reference))
    given = trees.brackets(hypothesis)
    words, guesses = trees.words(reference), trees.words(hypothesis)
    if words == guesses:
        return sum((wanted & Counter(given)).values())
    first, last = _places(words, guesses)
    hits = 0
    for label, start, end in given:
        holds_aligned_word = last[start] < first[end]
        for name, left, right in wanted.elements():
            starts = first[start] <= left <= last[start]
            ends = first[end] <= right <= last[end]
            if name == label and starts and ends and holds_aligned_word == (left < right):
                wanted[name, left, right] -= 1
                hits += 1
                break
    return hits


def slurp_f1(reference: Tree, hypothesis: Tree | None) -> tuple[float, float]:
    """SLU-F1 of SLURP (Bastianelli et al. 2020, section 5) as (2 TP, 2 TP + FP + FN).

    Slots are (label, value) at any depth. A predicted slot is matched with the nearest remaining
    reference slot with its label; their distance counts as false positive and as false negative
    beside the true positive. Word distance (WER) and character distance
    (Levenshtein over the longer length) fill one confusion matrix together.
    """
    wanted = _entities(reference)
    given = _entities(hypothesis) if hypothesis is not None else []
    numerator = denominator = 0.0
    for distance in (_word_distance, _character_distance):
        left = list(wanted)
        for label, value in given:
            scored = [(distance(v, value), i) for i, (name, v) in enumerate(left) if name == label]
            if not scored:
                denominator += 1
                continue
            nearest, index = min(scored)
            del left[index]
            numerator += 2
            denominator += 2 + 2 * nearest
        denominator += len(left)
    return numerator, denominator


def _hypothesis(tree: Tree) -> Tree:
    return trees.drop_words_outside_slots(tree)


def _places(reference: list[str], hypothesis: list[str]) -> tuple[list[int], list[int]]:
    """First and last position in the reference of each gap between words of the hypothesis.

    Gap i is before word i. If no word of the reference was lost, the two are equal.
    """
    aligned = align_words(reference, hypothesis)
    first, last = [0], [len(reference)]
    for position in aligned:
        first.append(first[-1] if position is None else position + 1)
    for position in reversed(aligned):
        last.append(last[-1] if position is None else position)
    return first, last[::-1]


def _entities(tree: Tree) -> list[tuple[str, str]]:
    return [(path[-1], v) for path, v in trees.items(tree) if path[-1].startswith("SL:")]


def _word_distance(reference: str, hypothesis: str) -> float:
    import jiwer

    words = len(reference.split())
    return _edits(jiwer.process_words([reference], [hypothesis])) / max(words, 1)


def _character_distance(reference: str, hypothesis: str) -> float:
    import jiwer

    longer = max(len(reference), len(hypothesis), 1)
    return _edits(jiwer.process_characters([reference], [hypothesis])) / longer


def _edits(output: object) -> int:
    """Substitutions, deletions and insertions of a jiwer result."""
    return sum(getattr(output, kind) for kind in ("substitutions", "deletions", "insertions"))
