"""Which examples make a step: shares, similar lengths, budgets, pure functions of the step."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from atat.errors import InputError
from atat.sampler import Sampler
from atat.settings import BatchSettings

RNG = np.random.default_rng(0)
LENGTHS = [RNG.integers(100, 900, 70), RNG.integers(100, 1500, 40), RNG.integers(4, 20, 90)]
AUDIO = [True, True, False]
WEIGHTS = [2.0, 1.0, 1.0]


def sampler(ranks: int = 1, seed: int = 1, **changes) -> Sampler:
    settings = BatchSettings(**{"examples": 8, "block": 10, "max_frames": 6000, **changes})
    return Sampler(LENGTHS, WEIGHTS, AUDIO, settings, seed=seed, ranks=ranks)


def items(plans):
    return [item for plan in plans for batch in plan for item in batch]


def test_shares_are_the_weights_over_many_steps():
    drawn = Counter(source for source, _ in items(sampler().plan(step) for step in range(100)))
    assert sum(drawn.values()) == 800
    assert [drawn[source] for source in range(3)] == [400, 200, 200]


def test_a_plan_is_a_function_of_seed_step_and_rank():
    one, other = sampler(ranks=2), sampler(ranks=2)
    late_first = [other.plan(step, 1) for step in (37, 4, 12)]
    assert late_first == [one.plan(step, 1) for step in (37, 4, 12)]
    assert one.plan(3, 0) != one.plan(3, 1)
    assert one.plan(3, 0) != sampler(ranks=2, seed=2).plan(3, 0)


def test_every_utterance_is_drawn_once_in_an_epoch():
    settings = BatchSettings(examples=7, block=10)
    single = Sampler([LENGTHS[0]], [1.0], [True], settings, seed=1)
    drawn = items(single.plan(step) for step in range(10))
    assert sorted(index for _, index in drawn) == list(range(70))


def test_every_step_has_audio_and_text_within_the_budgets():
    for step in range(40):
        batches = sampler().plan(step)
        assert {AUDIO[batch[0][0]] for batch in batches} == {True, False}
        for batch in batches:
            assert len({AUDIO[source] for source, _ in batch}) == 1
            longest = max(LENGTHS[source][index] for source, index in batch)
            assert len(batch) == 1 or longest * len(batch) <= 6000


def test_lengths_within_a_step_are_similar():
    mine, spread = sampler(), []
    for step in range(30):
        audio = [LENGTHS[s][i] for batch in mine.plan(step) for s, i in batch if AUDIO[s]]
        spread.append(np.std(audio))
    assert np.mean(spread) < 0.3 * np.std(np.concatenate(LENGTHS[:2]))


def test_short_utterances_come_first():
    mine = sampler(short_first_steps=40, short_first_seconds=2.0)

    def longest(steps):
        return max(LENGTHS[s][i] for s, i in items(map(mine.plan, steps)) if AUDIO[s])

    assert longest(range(10)) <= 200
    assert longest(range(10, 20)) <= 200 + 1300 * 10 / 40
    assert longest(range(40, 80)) > 1000


def test_too_small_a_step_for_the_mix_is_refused():
    with pytest.raises(InputError, match="batch.examples"):
        sampler(examples=1).plan(0)


def test_a_million_utterances_are_planned_without_walking_over_them():
    lengths = np.full(1_000_000, 300)
    big = Sampler([lengths], [1.0], [True], BatchSettings(examples=8, block=10), seed=1)
    assert sum(map(len, big.plan(250_000))) > 0
