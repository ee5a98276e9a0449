"""Which examples make a step: every source, shares, similar lengths, budgets, functions of it."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import pytest

from atat.base.errors import InputError
from atat.engine.batching import batch_slices, target_cost
from atat.engine.contract import AUDIO, TEXT
from atat.engine.sampler import Item, Plan, Sampler
from atat.engine.settings import BatchSettings

RNG = np.random.default_rng(0)
LENGTHS = [RNG.integers(100, 900, 70), RNG.integers(100, 1500, 40), RNG.integers(4, 20, 90)]
BUDGETS = [AUDIO, AUDIO, TEXT]
WEIGHTS = [2.0, 1.0, 1.0]


def sampler(ranks: int = 1, seed: int = 1, **changes) -> Sampler:
    settings = BatchSettings(**{"examples": 8, "block": 10, "max_frames": 6000, **changes})
    return Sampler(LENGTHS, WEIGHTS, BUDGETS, settings, seed=seed, ranks=ranks)


def items(plans) -> list[Item]:
    return [item for plan in plans for batch in plan for item in batch]


def shares(plan: Plan, sources: int) -> np.ndarray:
    """Examples of each source in a step."""
    return np.bincount([source for source, _ in items([plan])], minlength=sources)


def test_shares_are_the_weights_over_many_steps():
    drawn = Counter(source for source, _ in items(sampler().plan(step) for step in range(100)))
    assert sum(drawn.values()) == 800
    assert [drawn[source] for source in range(3)] == [400, 200, 200]


@pytest.mark.parametrize("seed", range(40))
def test_every_step_mixes_short_commands_and_read_speech_by_the_weights(seed):
    rng = np.random.default_rng(seed)
    lengths = [np.full(50, 300), np.full(90, 1300)]
    weights = rng.uniform(0.1, 1, 2).round(int(rng.integers(1, 17))).tolist()
    weights = [max(weight, 0.1) for weight in weights]
    examples, block = int(rng.integers(11, 100)), int(rng.integers(1, 40))
    settings = BatchSettings(examples=examples, block=block)
    mine = Sampler(lengths, weights, [AUDIO, AUDIO], settings, seed=seed)
    wanted = examples * np.array(weights) / np.sum(weights)
    steps = [shares(mine.plan(step), 2) for step in range(2 * block + 5)]
    assert (np.array(steps) >= 1).all()
    assert (np.abs(np.array(steps) - wanted) < 1 + 1e-9).all()
    assert set(np.sum(steps, axis=1)) <= {examples - 1, examples, examples + 1}
    np.testing.assert_allclose(np.sum(steps, axis=0), len(steps) * wanted, atol=1 + 1e-6)


def test_a_source_of_less_than_an_example_a_step_is_spread_evenly_and_named(caplog):
    lengths = [np.full(50, 300), np.full(50, 300), np.full(50, 10)]
    with caplog.at_level(logging.WARNING):
        mine = Sampler(
            lengths, [8, 0.5, 1.5], [AUDIO, AUDIO, TEXT], BatchSettings(examples=8, block=7), seed=1
        )
    assert "train[1] is in about 40 of 100 steps" in caplog.text and "train[2]" not in caplog.text
    rare = [step for step in range(100) if shares(mine.plan(step), 3)[1]]
    assert len(rare) == 40 and all(shares(mine.plan(step), 3)[1] == 1 for step in rare)
    assert set(np.diff(rare)) == {2, 3}


def test_the_length_of_one_source_says_nothing_of_that_of_another():
    lengths = [RNG.integers(100, 900, 1000), RNG.integers(100, 900, 1000)]
    mine = Sampler(lengths, [1, 1], [AUDIO, AUDIO], BatchSettings(examples=16, block=50), seed=1)
    means = []
    for step in range(400):
        step_items = items([mine.plan(step)])
        means.append(
            [np.mean([lengths[s][i] for s, i in step_items if s == source]) for source in range(2)]
        )
    assert abs(np.corrcoef(np.transpose(means))[0, 1]) < 0.2


def test_a_plan_is_a_function_of_seed_step_and_rank():
    one, other = sampler(ranks=2), sampler(ranks=2)
    late_first = [other.plan(step, 1) for step in (37, 4, 12)]
    assert late_first == [one.plan(step, 1) for step in (37, 4, 12)]
    assert one.plan(3, 0) != one.plan(3, 1)
    assert one.plan(3, 0) != sampler(ranks=2, seed=2).plan(3, 0)


@pytest.mark.parametrize("ranks", [2, 3, 16])
def test_ranks_share_out_the_steps_that_one_would_make_alone(ranks):
    alone, shared = sampler(), sampler(ranks=ranks)
    for step in range(25):
        parts = [items([shared.plan(step, rank)]) for rank in range(ranks)]
        assert sorted(sum(parts, [])) == sorted(items([alone.plan(step)]))
        for chosen in (True, False):  # audio, and all
            numbers = [
                sum(BUDGETS[source] is AUDIO or not chosen for source, _ in part) for part in parts
            ]
            assert max(numbers) - min(numbers) <= 1


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_the_largest_batch_is_that_of_one_rank(ranks):
    wide = {"max_frames": 10**6, "max_tokens": 10**6}
    mine = sampler(ranks=ranks, examples=9, **wide)
    planned: Counter[int] = Counter()
    for step in range(60):
        for batch in (batch for rank in range(ranks) for batch in mine.plan(step, rank)):
            planned[batch[0][0]] = max(planned[batch[0][0]], len(batch))
    found = [max(len(batch) for batch in mine.largest(source)) for source in range(3)]
    assert found == [planned[source] for source in range(3)]
    assert found == [-(-expected // ranks) for expected in (5, 3, 3)]


def test_every_utterance_is_drawn_once_in_an_epoch():
    settings = BatchSettings(examples=7, block=10)
    single = Sampler([LENGTHS[0]], [1.0], [AUDIO], settings, seed=1)
    drawn = items(single.plan(step) for step in range(10))
    assert sorted(index for _, index in drawn) == list(range(70))


def test_every_step_has_all_sources_in_batches_of_their_own_within_the_budgets():
    mine = sampler(max_frames=2000, max_tokens=30)
    for step in range(40):
        batches = mine.plan(step)
        assert {batch[0][0] for batch in batches} == {0, 1, 2}
        for batch in batches:
            assert len({source for source, _ in batch}) == 1
            longest = max(LENGTHS[source][index] for source, index in batch)
            budget = 2000 if BUDGETS[batch[0][0]] is AUDIO else 30
            assert len(batch) == 1 or longest * len(batch) <= budget


def test_batches_keep_under_the_budget_of_targets():
    targets = [RNG.integers(5, 60, len(lengths)) for lengths in LENGTHS]
    settings = BatchSettings(examples=40, block=10, max_frames=10**6, max_targets=200)
    mine = Sampler(LENGTHS, WEIGHTS, BUDGETS, settings, seed=1, targets=targets)
    sizes = []
    for step in range(20):
        for batch in mine.plan(step):
            longest = max(targets[source][index] for source, index in batch)
            assert len(batch) * target_cost(longest) <= 200
            sizes.append(len(batch))
    assert max(sizes) > 4


def test_no_batch_could_have_held_the_next_example_too():
    rng = np.random.default_rng(1)
    for count in (0, 1, 5, 200):
        lengths = np.sort(rng.integers(1, 300, count)).tolist()
        targets = rng.integers(1, 400, count).tolist()
        parts = batch_slices(lengths, 2000, targets, 500)
        assert sum((list(range(count))[part] for part in parts), []) == list(range(count))
        for part in parts:
            size = part.stop - part.start
            cost = max(map(target_cost, targets[part]))
            assert size == 1 or (size * lengths[part.stop - 1] <= 2000 and size * cost <= 500)
            if part.stop < count:
                cost = max(cost, target_cost(targets[part.stop]))
                assert (size + 1) * lengths[part.stop] > 2000 or (size + 1) * cost > 500
        wide = batch_slices(lengths, 2000, targets, 10**9)
        assert wide == batch_slices(lengths, 2000)


def test_little_of_a_batch_is_padding():
    mine, full, padded = sampler(block=50), [0, 0, 0], [0, 0, 0]
    for step in range(100):
        for batch in mine.plan(step):
            source = batch[0][0]
            lengths = [LENGTHS[source][index] for _, index in batch]
            full[source] += sum(lengths)
            padded[source] += len(lengths) * max(lengths)
    assert (np.array(padded) / full < 1.03).all()


def test_short_utterances_come_first():
    mine = sampler(short_first_steps=40, short_first_seconds=2.0)

    def longest(steps):
        return max(LENGTHS[s][i] for s, i in items(map(mine.plan, steps)) if BUDGETS[s] is AUDIO)

    assert longest(range(10)) <= 200
    assert longest(range(10, 20)) <= 200 + 1300 * 10 / 40
    assert longest(range(40, 80)) > 1000


def test_short_first_means_nothing_to_sentences():
    curriculum = BatchSettings(examples=8, block=10, short_first_steps=40)
    plain = BatchSettings(examples=8, block=10)
    plans = [
        Sampler([LENGTHS[0]], [1.0], [TEXT], settings, seed=1).plan(3)
        for settings in (curriculum, plain)
    ]
    assert items(plans[:1]) == items(plans[1:])


def test_too_small_a_step_for_the_mix_is_refused():
    with pytest.raises(InputError, match="batch.examples .1. is too small.*text.*raise it to 4 or"):
        sampler(examples=1)


def test_a_million_utterances_are_planned_without_walking_over_them():
    lengths = np.full(1_000_000, 300)
    big = Sampler([lengths], [1.0], [AUDIO], BatchSettings(examples=8, block=10), seed=1)
    assert sum(map(len, big.plan(250_000))) > 0
