"""The measures by hand-counted cases, and the laws that hold for any tree."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from atat.datadir.questions import Answer, Question, Span
from atat.scoring import bootstrap, metrics, spans
from atat.systems.lugosch import frame_accuracy
from atat.systems.lugosch.batch import Example
from atat.text import trees
from atat.text.trees import SemanticsError, Tree

REFERENCE = "[IN:PLAY_SONG play the song [SL:SONG watermelon sugar ] by [SL:ARTIST harry styles ] ]"


def percent(reference: str, hypothesis: str, **options: bool) -> dict[str, float | None]:
    return in_percent(metrics.tree_counts(reference, hypothesis, **options))


def in_percent(counts: metrics.Counts) -> dict[str, float | None]:
    """None: nothing to measure."""
    return {name: 100 * a / b if b else None for name, (a, b) in counts.items()}


def random_tree(rng: random.Random, depth: int = 0) -> Tree:
    """A tree of the kind models put out: intents and slots in turn, some without words."""
    kind = "SL" if depth % 2 else "IN"
    children: list[Tree | str] = []
    for _ in range(rng.randrange(4)):
        nested = depth < 3 and rng.random() < 0.4
        children.append(random_tree(rng, depth + 1) if nested else rng.choice("abcd"))
    return Tree(f"{kind}:{rng.choice('XYZ')}", tuple(children))


def with_other_intents(tree: Tree) -> Tree:
    tokens = trees.to_tokens(tree)
    return trees.parse_tokens(["[IN:OTHER" if t.startswith("[IN:") else t for t in tokens])


def kinds(tree: Tree) -> Counter[str]:
    """How often each tag stands in a tree, all nested intents as one and the root apart."""
    below = (label for label, _, _ in trees.brackets(tree)[1:])
    return Counter(label if label.startswith("SL:") else "IN" for label in below)


def single_edits(tree: Tree) -> Iterator[tuple[str, Tree]]:
    """Every tree that differs from this one by one mistake, with the kind of mistake."""
    tokens = trees.to_tokens(tree)
    closing = {start: end for start, end in spans_of_tokens(tokens)}
    for start, end in closing.items():
        label = tokens[start][1:]
        kind = "intent" if label.startswith("IN:") else "label"
        edits = {kind: [f"[{label[:3]}OTHER", *tokens[start + 1 : end]]}
        if label.startswith("SL:"):
            edits["label of another"] = ["[SL:X", *tokens[start + 1 : end]]
            edits["value"] = [tokens[start], "z", *tokens[start + 1 : end]]
            edits["drop"] = []
            edits["drop brackets"] = tokens[start + 1 : end]
        else:
            edits["add"] = [*tokens[start:end], "[SL:OTHER", "z", "]"]
            edits["add empty"] = [tokens[start], "[SL:X", "]", *tokens[start + 1 : end]]
        for kind, changed in edits.items():
            closed = ["]"] if kind not in ("drop", "drop brackets") else []
            edited = [*tokens[:start], *changed, *closed, *tokens[end + 1 :]]
            yield kind, trees.parse_tokens(edited)


def spans_of_tokens(tokens: list[str]) -> list[tuple[int, int]]:
    """Position of the opening tag and of its `]`, for each bracket."""
    spans, opened = [], []
    for position, token in enumerate(tokens):
        if trees.is_open(token):
            opened.append(position)
        elif trees.is_close(token):
            spans.append((opened.pop(), position))
    return spans


def test_every_metric_has_a_description() -> None:
    ids = np.zeros(1, dtype=np.int64)
    example = Example("u", np.zeros(1, dtype=np.float32), ids, ids)
    names = {
        *metrics.tree_counts(REFERENCE, REFERENCE, slu_f1=True),
        *metrics.text_counts("a", ""),
        *frame_accuracy.counts(example, ids, ids, timed=True),
        *spans.counts(Question("q", "u", "who?", (Answer("a"),)), Span("a")),
    }
    assert names == set(metrics.METRICS)


def test_a_right_hypothesis_is_right_everywhere() -> None:
    rng = random.Random(1)
    for _ in range(50):
        text = trees.to_string(random_tree(rng))
        found = percent(text, "  " + text.replace(" ", "  "), slu_f1=True)
        assert found.pop("hyp_er") == 0 and found.pop("semer") == 0
        slots = "[SL:" in text
        assert found.pop("slu_f1") == (100 if slots else None)
        assert set(found.values()) == {100}, text


@pytest.mark.parametrize("malformed", ["", "play it", "[IN:PLAY_SONG play", REFERENCE + " ]"])
def test_output_that_is_no_tree_counts_as_all_deleted(malformed: str) -> None:
    counts = metrics.tree_counts(REFERENCE, malformed, slu_f1=True)
    assert counts["semer"] == (3, 3)
    assert counts["hyp_er"] == (1, 1)
    assert counts["slu_f1"] == (0, 4)  # two slots missing, by word and by character
    assert counts["bracket_f1"] == (0, 3)
    for name in ("em_full", "em_hyp", "intent_acc", "tree_validity", "bracket_r"):
        assert counts[name][0] == 0


def test_a_wrong_reference_is_an_error() -> None:
    with pytest.raises(SemanticsError):
        metrics.tree_counts("[IN:PLAY_SONG play", REFERENCE)


def test_words_outside_slots_matter_to_em_full_only() -> None:
    other = REFERENCE.replace("play the song", "put on")
    counts = metrics.tree_counts(REFERENCE, other)
    assert counts["em_full"] == (0, 1) and counts["em_hyp"] == (1, 1)
    assert counts["semer"] == (0, 3)
    inside = REFERENCE.replace("sugar", "high")
    assert metrics.tree_counts(REFERENCE, inside)["em_hyp"] == (0, 1)


@pytest.mark.parametrize(
    ("hypothesis", "errors"),
    [
        (REFERENCE.replace("sugar", "high"), 1),  # same path, other value: S
        ("[IN:PLAY_SONG [SL:SONG watermelon sugar ] ]", 1),  # artist deleted
        (REFERENCE[:-1] + "[SL:ROOM kitchen ] ]", 1),  # room inserted
        (REFERENCE.replace("SL:ARTIST", "SL:ALBUM"), 2),  # other path: D and I
        (REFERENCE.replace("SL:ARTIST harry styles", "SL:SONG watermelon sugar"), 2),  # D and I
        (REFERENCE.replace("IN:PLAY_SONG", "IN:BUY_SONG"), 1),  # right slots, wrong intent: S
        (REFERENCE.replace("IN:PLAY_SONG", "IN:BUY_SONG").replace("sugar", "high"), 2),
        (REFERENCE.replace("IN:PLAY_SONG", "SL:ALBUM"), 4),  # D, I, the slots below another
        ("[SL:SONG watermelon sugar ]", 2),  # root intent and artist deleted
        ("[IN:BUY_SONG ]", 3),  # S and two D
    ],
)
def test_semer_by_hand(hypothesis: str, errors: int) -> None:
    assert metrics.tree_counts(REFERENCE, hypothesis)["semer"] == (errors, 3)


def test_semer_is_on_multisets() -> None:
    two = "[IN:A [SL:X a ] [SL:X b ] ]"
    assert metrics.tree_counts(two, "[IN:A [SL:X b ] [SL:X a ] ]")["semer"] == (0, 3)
    assert metrics.tree_counts(two, "[IN:A [SL:X a ] [SL:X a ] ]")["semer"] == (1, 3)
    assert metrics.tree_counts(two, "[IN:A [SL:X a ] ]")["semer"] == (1, 3)
    assert metrics.tree_counts(two, "[IN:A [SL:X c ] [SL:X d ] [SL:X e ] ]")["semer"] == (3, 3)


NESTED = "[IN:A [SL:X go [IN:B [SL:Y home ] [SL:Z now ] ] ] ]"


@pytest.mark.parametrize(
    ("hypothesis", "errors"),
    [
        (NESTED, 0),
        (NESTED.replace("IN:A", "IN:C"), 1),  # S
        (NESTED.replace("IN:B", "IN:C"), 1),  # S; what stands in the wrong intent is right
        (NESTED.replace("home", "work"), 2),  # value of Y, and of X around it
        (NESTED.replace("SL:Y", "SL:W"), 2),  # D and I
        (NESTED.replace("SL:X", "SL:W"), 5),  # X deleted, W inserted; B, Y and Z in a wrong place
        ("[IN:A [SL:X go home now ] ]", 3),  # B, Y and Z deleted
        ("[IN:A [SL:X go home now ] [SL:Y home ] ]", 3),  # B and Z deleted, Y in a wrong place
        ("[IN:A [SL:X go [SL:Y home ] [SL:Z now ] ] ]", 1),  # B deleted
        ("[IN:A [IN:B [SL:X go home now ] ] ]", 3),  # B in a wrong place, Y and Z deleted
    ],
)
def test_semer_of_nested_intents_by_hand(hypothesis: str, errors: int) -> None:
    assert metrics.tree_counts(NESTED, hypothesis)["semer"] == (errors, 5)


def test_no_single_edit_of_any_tree_is_worse_than_no_tree() -> None:
    rng = random.Random(3)
    seen = Counter[str]()
    for _ in range(1000):
        reference = random_tree(rng)
        errors, garbage = metrics.semantic_errors(reference, None)
        assert errors == garbage > 0
        for kind, near in single_edits(reference):
            errors, items = metrics.semantic_errors(reference, near)
            assert items == garbage
            assert errors <= garbage, f"{kind}: {reference} as {near}"
            assert kind != "intent" or errors == 1, f"{reference} as {near}"
            seen[kind] += 1
    assert min(seen[kind] for kind in ("intent", "label", "value", "drop", "add")) > 300


def test_only_tags_that_the_reference_lacks_are_worse_than_no_tree() -> None:
    rng = random.Random(4)
    for _ in range(500):
        reference, hypothesis = random_tree(rng), random_tree(rng)
        errors, garbage = metrics.semantic_errors(reference, hypothesis)
        too_many = kinds(hypothesis) - kinds(reference)
        assert errors <= garbage + sum(too_many.values()), f"{reference} as {hypothesis}"
        if not too_many:
            assert errors <= garbage


def test_a_tree_twice_as_deep_takes_twice_the_memory() -> None:
    peaks = []
    for depth in (1000, 2000):
        tree = trees.parse("[IN:A [SL:B " * (depth // 2) + "word" + " ]" * depth)
        tracemalloc.start()
        assert metrics.semantic_errors(tree, tree) == (0, depth)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2.5 * peaks[0]


def test_semer_ignores_the_order_of_slots() -> None:
    rng = random.Random(5)
    for _ in range(100):
        # Slots below slots are left where they are: their order is in the value around them.
        tree = random_tree(rng)
        mixed = list(tree.children)
        rng.shuffle(mixed)
        errors, _ = metrics.semantic_errors(tree, Tree(tree.label, tuple(mixed)))
        assert errors == 0


def test_slu_f1_does_not_know_intents() -> None:
    rng = random.Random(6)
    for _ in range(100):
        one, two = random_tree(rng), random_tree(rng)
        assert metrics.slurp_f1(one, two) == metrics.slurp_f1(one, with_other_intents(two))


def test_brackets_with_equal_words() -> None:
    reference = "[IN:A a [SL:X b c ] d ]"
    assert metrics.tree_counts(reference, "[IN:A a [SL:X b ] c d ]")["bracket_f1"] == (2, 4)
    assert metrics.tree_counts(reference, "[IN:B a [SL:X b c ] d ]")["bracket_p"] == (1, 2)
    assert metrics.tree_counts(reference, "[IN:A a b c d ]")["bracket_p"] == (1, 1)
    assert metrics.tree_counts(reference, "[IN:A a b c d ]")["bracket_r"] == (1, 2)


@pytest.mark.parametrize(
    ("hypothesis", "hits"),
    [
        ("[IN:A play [SL:X bee see ] now ]", 2),  # substituted
        ("[IN:A play [SL:X be ] now ]", 2),  # last word of the slot lost
        ("[IN:A play [SL:X sea ] now ]", 2),  # first word of the slot lost
        ("[IN:A [SL:X be sea ] now ]", 2),  # word before the slot lost
        ("[IN:A play [SL:X be sea ] ]", 2),  # word after the slot lost
        ("[IN:A so play [SL:X be oh sea ] now ]", 2),  # words inserted
        ("[IN:A play now [SL:X be sea ] ]", 2),  # a word moved past the slot
        ("[IN:A play [SL:X ] ]", 1),  # an empty slot holds nothing of the reference's
        ("[IN:A [SL:X play be ] sea soon ]", 1),  # starts too early
        ("[IN:A [SL:X ] ]", 0),
    ],
)
def test_brackets_are_placed_by_alignment(hypothesis: str, hits: int) -> None:
    counts = metrics.tree_counts("[IN:A play [SL:X be sea ] now ]", hypothesis)
    assert counts["bracket_r"] == (hits, 2)


def test_tree_validity_asks_for_intents_and_slots_in_turn() -> None:
    for text in ("[SL:X a ]", "[IN:A [IN:B a ] ]"):
        counts = metrics.tree_counts(REFERENCE, text)
        assert counts["tree_validity"] == (0, 1)
        assert counts["semer"][0] > 0


def test_counts_are_bounded_for_any_pair_of_trees() -> None:
    rng = random.Random(2)
    for _ in range(200):
        one, two = (trees.to_string(random_tree(rng)) for _ in range(2))
        counts = metrics.tree_counts(one, two, slu_f1=True)
        for name, (numerator, denominator) in counts.items():
            assert 0 <= numerator, name
            assert name == "semer" or numerator <= denominator, name
        back = metrics.tree_counts(two, one)
        # Swapping the sides swaps deletions with insertions, and precision with recall.
        assert back["semer"][0] == counts["semer"][0]
        assert back["em_hyp"] == counts["em_hyp"]


def test_wer_and_cer_are_edits_over_the_reference() -> None:
    counts = metrics.text_counts("play the song", "play song now")
    assert counts["wer"] == (2, 3)
    assert counts["em_full"] == (0, 1)
    assert metrics.text_counts("ab cd", "ab  cx ")["cer"] == (1, 5)


def test_empty_texts() -> None:
    assert metrics.text_counts("", "") == {"em_full": (1, 1), "wer": (0, 0), "cer": (0, 0)}
    assert metrics.text_counts("", "a b")["wer"] == (2, 0)
    assert metrics.text_counts("a b", " ")["wer"] == (2, 2)
    assert in_percent(metrics.text_counts("", "a"))["wer"] is None
    total = metrics.add([metrics.text_counts("", "a"), metrics.text_counts("a b", "a b")])
    assert in_percent(total)["wer"] == 50


def test_slu_f1_by_hand() -> None:
    reference = "[IN:A [SL:SONG watermelon sugar ] ]"
    # "sugars": one word of two, one character of seventeen; the room is one too many.
    hypothesis = "[IN:A [SL:SONG watermelon sugars ] [SL:ROOM hall ] ]"
    word = (2, 2 + 2 * 1 / 2 + 1)
    character = (2, 2 + 2 * 1 / 17 + 1)
    found = metrics.tree_counts(reference, hypothesis, slu_f1=True)["slu_f1"]
    assert found == pytest.approx((word[0] + character[0], word[1] + character[1]))


def test_slu_f1_takes_the_nearest_slot_of_the_label() -> None:
    reference = "[IN:A [SL:X a b c ] [SL:X a b d ] ]"
    swapped = "[IN:A [SL:X a b d ] [SL:X a b c ] ]"
    assert percent(reference, swapped, slu_f1=True)["slu_f1"] == 100


def shares(right: np.ndarray) -> np.ndarray:
    return np.stack([right, np.ones_like(right)], axis=-1)[:, None, :]


def test_bootstrap_agrees_with_the_normal_approximation() -> None:
    right = (np.arange(400) % 4 > 0).astype(float)
    (found,) = bootstrap.intervals(shares(right), utterances=400)
    half = 196 * np.sqrt(0.75 * 0.25 / 400)
    assert found.value == 75
    assert found.low == pytest.approx(75 - half, abs=0.6)
    assert found.high == pytest.approx(75 + half, abs=0.6)
    assert bootstrap.intervals(shares(right), utterances=400) == [found], (
        "the same counts, the same interval"
    )


def test_an_extreme_figure_is_bounded_by_what_it_is_defined_in() -> None:
    """As the precision of brackets, where few outputs are trees."""
    counts = np.zeros((1000, 1, 2))
    counts[::100] = 1
    (found,) = bootstrap.intervals(counts, utterances=bootstrap.defined(counts))
    assert found.high == 100.0 and found.low == pytest.approx(69.2, abs=0.1)


def test_a_single_cluster_is_no_evidence() -> None:
    one = np.array([[[1.0, 3.0]]])
    (found,) = bootstrap.intervals(one, utterances=1)
    assert found.value == pytest.approx(100 / 3) and found.low is found.high is None
    difference = bootstrap.compare(one, one * 0 + 1).difference
    assert difference.value is not None and difference.low is None


def test_bootstrap_in_chunks_draws_whole_rows() -> None:
    counts = shares((np.arange(1500) % 2).astype(float))
    drawn = bootstrap.resample(counts, seed=3, replicates=3000)  # several chunks
    assert drawn.shape == (3000, 1)
    assert drawn.mean() == pytest.approx(50, abs=0.2)
    assert drawn.std() == pytest.approx(100 * np.sqrt(0.25 / 1500), rel=0.1)


def test_utterances_of_one_speaker_are_drawn_together() -> None:
    speakers = [f"spk{i // 50:02d}" for i in range(500)]
    right = np.repeat(np.arange(10) % 2, 50).astype(float)  # a speaker is all right or all wrong
    sums, names = bootstrap.cluster_sums(shares(right), speakers)
    assert len(names) == len(sums) == 10
    (clustered,) = bootstrap.intervals(sums, utterances=500)
    (naive,) = bootstrap.intervals(shares(right), utterances=500)
    assert clustered.value == naive.value == 50
    assert clustered.high - clustered.low > 4 * (naive.high - naive.low)


def test_one_speaker_alone_leaves_the_utterances_to_draw_from() -> None:
    counts = shares(np.array([0.0, 1.0, 1.0]))
    sums, names = bootstrap.cluster_sums(counts, ["same"] * 3)
    assert names == [] and sums.shape == counts.shape


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_wrong_or_all_right_still_has_an_interval(value: float) -> None:
    speakers = ["amy", "bob"] * 10
    sums, _ = bootstrap.cluster_sums(shares(np.full(20, value)), speakers)
    (found,) = bootstrap.intervals(sums, utterances=20)
    bound = 100 * (1 - 0.025 ** (1 / 20))  # Clopper-Pearson
    low, high = (0, bound) if value == 0 else (100 - bound, 100)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_nothing_to_measure_is_none() -> None:
    counts = np.zeros((5, 1, 2))
    assert bootstrap.intervals(counts, utterances=5) == [bootstrap.Interval(None, None, None)]
    assert bootstrap.compare(counts, counts).p_value is None


def test_paired_comparison_sees_what_unpaired_intervals_hide() -> None:
    rng = np.random.default_rng(0)
    worse = (rng.random(300) < 0.5).astype(float)
    better = worse.copy()
    better[np.flatnonzero(worse == 0)[:12]] = 1  # never worse, 12 of 300 better: 4 points
    found = bootstrap.compare(shares(better), shares(worse))
    assert found.difference.value == pytest.approx(4)
    assert found.difference.low > 0 and found.p_value < 0.01
    low, high = (bootstrap.intervals(shares(right), utterances=300)[0] for right in (worse, better))
    assert low.high > high.low, "the intervals of the two overlap"
    same = bootstrap.compare(shares(worse), shares(worse))
    assert same.difference == bootstrap.Interval(0, 0, 0) and same.p_value == 1


def test_mean_over_runs_is_the_mean_of_their_ratios() -> None:
    counts = np.array([[[1, 2], [1, 1]], [[0, 2], [1, 1]]], dtype=float)  # 25 % and 100 %
    found = bootstrap.mean_interval(counts, utterances=2)
    assert found.value == pytest.approx(62.5)
    assert found.low <= 62.5 <= found.high


def test_seeds_in_another_order_are_the_same_system() -> None:
    """Sums of fractions differ in the last bit by their order; no draw of equals is for one side.

    Half of the draws without the cluster that differs would be for either side: p would be halved.
    """
    counts = np.ones((12, 4, 2))
    counts[:, :, 0] = np.random.default_rng(0).choice([0, 1 / 3, 2 / 3, 0.4, 0.8, 1], (12, 4))
    for order in ([3, 1, 2, 0], [1, 0, 3, 2], [2, 3, 0, 1]):
        other = counts[:, order].copy()
        same = bootstrap.compare(counts, other)
        assert same.difference == bootstrap.Interval(0, 0, 0) and same.p_value == 1
        assert str(same.difference.value) == str(same.difference.low) == "0.0"
        other[5, :, 0] += 1
        one = bootstrap.compare(counts, other)
        assert one.difference.high == 0 and one.p_value == 1, "one coin alone"
        other[6:10, :, 0] += 1
        assert bootstrap.compare(counts, other).p_value >= 2.0**-4


def few_defined(defined: int, *, clusters: int = 20, better: float = 1.0) -> list[np.ndarray]:
    """Counts of two systems whose measure exists in the first `defined` clusters only."""
    first, second = np.zeros((clusters, 1, 2)), np.zeros((clusters, 1, 2))
    first[:defined] = [5 + better, 10]
    second[:defined] = [5, 10]
    return [first, second]


@pytest.mark.parametrize(("defined", "says"), [(1, False), (2, False), (3, True), (20, True)])
def test_few_clusters_that_agree_prove_little(defined: int, says: bool) -> None:
    found = bootstrap.compare(*few_defined(defined))
    missed = (1 - defined / 20) ** 20  # share of draws without any cluster that has the measure
    assert found.draws == pytest.approx((1 - missed) * found.replicates, rel=0.02)
    assert found.difference.value == pytest.approx(10)
    assert (found.p_value is not None) == (found.difference.low is not None) == says
    if says:
        assert found.p_value >= 2.0 ** (1 - defined)
    else:
        (figure,) = bootstrap.intervals(few_defined(defined)[0], utterances=20)
        assert figure.value == pytest.approx(60) and figure.low is None is figure.high


def test_undefined_draws_count_neither_for_nor_against() -> None:
    counts = np.zeros((2, 32, 1, 2))
    counts[0, :4, 0, 0], counts[1, :4, 0, 0] = [7, 8, 3, 6], [5, 5, 6, 5]
    counts[:, :4, 0, 1] = 10  # four of 32 clusters have the measure
    found = bootstrap.compare(*counts)
    drawn = bootstrap.resample(np.concatenate(counts, axis=1), seed=0, replicates=5000)
    gaps = drawn[:, 0] - drawn[:, 1]
    turned, known = np.sum(gaps <= 0), np.sum(~np.isnan(gaps))
    assert found.draws == known < found.replicates == 5000
    assert found.p_value == pytest.approx(2 * (turned + 1) / (known + 1)) and found.p_value > 0.2


@pytest.mark.parametrize("defined", [2, 3, 4, 6, 10])
def test_equal_systems_seldom_have_a_small_p(defined: int) -> None:
    """Of two systems of one kind p <= x has at most the chance x, however few clusters count."""
    rng = np.random.default_rng(defined)
    found = []
    trials = 400
    for _ in range(trials):
        counts = np.zeros((2, 20, 1, 2))
        sizes = rng.integers(5, 15, size=defined)
        counts[:, :defined, 0, 1] = sizes
        counts[:, :defined, 0, 0] = rng.binomial(sizes, rng.beta(2, 2, size=defined), (2, defined))
        p_value = bootstrap.compare(*counts, replicates=300).p_value
        found.append(1.0 if p_value is None else p_value)
    for level in (0.01, 0.05, 0.1, 0.2):
        noise = 3 * np.sqrt(level * (1 - level) / trials)
        # 0.02: what is known of intervals from percentiles, which are a little narrow.
        assert np.mean(np.array(found) <= level) <= level + noise + 0.02, level
