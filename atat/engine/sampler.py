"""Chooses the examples of each optimizer step: each source by its weight, with similar lengths.

Each source is cut separately. The examples of `block` steps are drawn together, sorted by length
and cut into as many groups, equal in size to within one example. The groups are shuffled and group
i of every source makes step i, so every step mixes the sources, and the length in one source says
nothing about that in another. A batch holds examples of one source, under the budgets of
`atat.engine.batching`.

So every example drawn is used. The shares in a step equal the weights to within one example, those
in a run exactly. A plan is a pure function of (seed, step): resuming needs no state, and several
ranks share the same steps that one rank would make alone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence, Sized
from fractions import Fraction
from math import ceil, floor

import numpy as np

from atat.base.errors import InputError
from atat.engine.batching import batch_slices, target_cost
from atat.engine.contract import Budget
from atat.engine.settings import BatchSettings

logger = logging.getLogger(__name__)
Item = tuple[int, int]  # number of the source, number of the utterance in it
Plan = list[list[Item]]  # the batches of one step on one rank
BLOCKS_KEPT = 2  # the loader's workers are never further apart


def steps_of_epoch(sources: Sequence[Sized], examples: int) -> int:
    """Optimizer steps of `examples` in which as many are drawn as the sources have."""
    return -(-sum(len(source) for source in sources) // examples)


class Sampler:
    """Plans steps over sources with known lengths."""

    def __init__(
        self,
        lengths: Sequence[np.ndarray],
        weights: Sequence[float],
        budgets: Sequence[Budget],
        settings: BatchSettings,
        *,
        seed: int,
        ranks: int = 1,
        targets: Sequence[np.ndarray] | None = None,
    ) -> None:
        """lengths: for each source the length of each utterance, in units of its budget.

        targets: the lengths of their targets, in tokens; None: targets need no memory.

        Raises InputError if some steps would lack a part (audio, text) of the mix.
        """
        self.lengths = [np.asarray(length) for length in lengths]
        self.targets = [np.zeros_like(length) for length in self.lengths]
        if targets is not None:
            self.targets = [np.asarray(target) for target in targets]
        self.budgets = list(budgets)
        self._has_audio = any(budget.per_second for budget in self.budgets)
        self.settings = settings
        self.seed = seed
        self.ranks = ranks
        # Exact decimals: 0.1 is a tenth, so counts are whole numbers where they should be.
        exact = [Fraction(str(float(weight))) for weight in weights]
        self._expected = [settings.examples * weight / sum(exact) for weight in exact]
        # Each source begins at the fraction where those before it ended, so that they do not all
        # round up in the same step: the total of a step hardly varies.
        self._phases = [sum(self._expected[:source]) % 1 for source in range(len(exact))]
        self._check_mix()
        self._blocks: dict[int, list[list[Plan]]] = {}

    def plan(self, step: int, rank: int = 0) -> Plan:
        """The batches of optimizer step `step` (counted from 0) on one rank."""
        block, position = divmod(step, self.settings.block)
        if block not in self._blocks:
            while len(self._blocks) >= BLOCKS_KEPT:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[block] = self._draw_block(block)
        return self._blocks[block][position][rank]

    def largest(self, source: int) -> Plan:
        """The batches of a source with most of the source, and with most of the target, padded.

        Of all that a rank may have in a step; where one budget cuts what the other allows, about
        the largest.
        """
        share = ceil(Fraction(ceil(self._expected[source]), self.ranks))
        count = min(share, len(self.lengths[source]))
        lengths, targets = self.lengths[source], self.targets[source]
        limits = getattr(self.settings, self.budgets[source].key), self.settings.max_targets
        costs = lengths, np.array([target_cost(int(one)) for one in targets])
        found: Plan = []
        for cost, limit in zip(costs, limits):
            order = np.argsort(cost, kind="stable")
            each = np.maximum(cost[order], 1)
            # How many fit where this is the longest of them.
            fit = np.minimum(np.maximum(limit // each, 1), np.arange(1, len(order) + 1))
            fit = np.minimum(fit, count)
            last = int(np.argmax(fit * each))
            chosen = order[last + 1 - fit[last] : last + 1]
            ordered = chosen[np.argsort(lengths[chosen], kind="stable")]
            parts = self._batches(source, ordered)
            found.append(
                max(parts, key=lambda part: len(part) * max(int(cost[one]) for _, one in part))
            )
        return found[:1] if found[0] == found[1] else found

    def _check_mix(self) -> None:
        """Refuse steps without a part of the mix; name the sources that some steps lack."""
        totals: dict[str, Fraction] = {}
        for expected, budget in zip(self._expected, self.budgets):
            totals[budget.part] = totals.get(budget.part, Fraction()) + expected
        part = min(totals, key=lambda part: totals[part])
        if totals[part] < 1:
            raise InputError(
                f"batch.examples ({self.settings.examples}) is too small: some steps would have no "
                f"{part} example; the weights ask for {float(totals[part]):.2g} of them per step; "
                f"raise it to {ceil(self.settings.examples / totals[part])} or more, or the "
                f"weights of the {part} sources"
            )
        for source, expected in enumerate(self._expected):
            if expected < 1:
                logger.warning(
                    "train[%d] is in about %d of 100 steps: its weight and batch.examples (%d) "
                    "give it %.2g examples a step",
                    source,
                    round(100 * expected),
                    self.settings.examples,
                    float(expected),
                )

    def _draw_block(self, block: int) -> list[list[Plan]]:
        """The plans of all steps of a block: [step][rank]."""
        groups = [self._groups(source, block) for source in range(len(self.lengths))]
        return [
            self._deal([parts[position] for parts in groups], position)
            for position in range(self.settings.block)
        ]

    def _groups(self, source: int, block: int) -> list[np.ndarray]:
        """The utterances of a source in each step of a block, shortest first."""
        rng = np.random.default_rng([self.seed, 1, block, source])
        steps, first_step = self.settings.block, block * self.settings.block
        counts = [self._count(source, first_step + position) for position in range(steps + 1)]
        drawn = self._draw(source, counts[0], counts[-1], self._length_limit(block), rng)
        ordered = drawn[np.argsort(self.lengths[source][drawn], kind="stable")]
        # A random step gets the shortest group, another the next; each gets its own count.
        order = rng.permutation(steps)
        sizes = np.diff(counts)[order]
        groups: list[np.ndarray] = [ordered] * steps
        for position, end, size in zip(order, np.cumsum(sizes), sizes):
            groups[position] = ordered[end - size : end]
        return groups

    def _count(self, source: int, steps: int) -> int:
        """How many examples of a source the first `steps` steps have together."""
        return floor(self._expected[source] * steps + self._phases[source])

    def _draw(
        self, source: int, first: int, last: int, limit: float | None, rng: np.random.Generator
    ) -> np.ndarray:
        """Utterances first .. last - 1 of a source; with a `limit`, random ones not longer."""
        if limit is None or not self.budgets[source].per_second:
            return self._stream(source, first, last)
        seconds = self.lengths[source] / self.budgets[source].per_second
        eligible = np.flatnonzero(seconds <= limit)
        if not len(eligible):
            eligible = np.argsort(self.lengths[source], kind="stable")[:1]
        return rng.choice(eligible, size=last - first)

    def _length_limit(self, block: int) -> float | None:
        """Longest utterance (seconds) while short ones come first; None when all are allowed."""
        settings = self.settings
        step = block * settings.block
        if step >= settings.short_first_steps or not self._has_audio:
            return None
        start = settings.short_first_seconds
        longest = max(
            float(length.max()) / budget.per_second
            for length, budget in zip(self.lengths, self.budgets)
            if budget.per_second
        )
        return start + (longest - start) * step / settings.short_first_steps

    def _stream(self, source: int, first: int, last: int) -> np.ndarray:
        """Positions first .. last - 1 of a source's endless stream, one permutation per epoch."""
        size = len(self.lengths[source])
        epochs = range(first // size, (last - 1) // size + 1 if last > first else first // size)
        pieces = [
            np.random.default_rng([self.seed, 2, source, epoch]).permutation(size)
            for epoch in epochs
        ]
        if not pieces:
            return np.zeros(0, dtype=np.int64)
        start = first - epochs[0] * size
        return np.concatenate(pieces)[start : start + last - first]

    def _deal(self, groups: Sequence[np.ndarray], position: int) -> list[Plan]:
        """The batches of each rank, from the utterances of each source in a step.

        They are dealt one after the other, so that all ranks get equal numbers and lengths.
        """
        plans: list[Plan] = [[] for _ in range(self.ranks)]
        dealt = position  # the rank that gets one more changes from step to step
        audio_first = sorted(range(len(groups)), key=lambda one: not self.budgets[one].per_second)
        for source in audio_first:
            for rank, plan in enumerate(plans):
                mine = groups[source][(rank - dealt) % self.ranks :: self.ranks]
                plan.extend(self._batches(source, mine))
            dealt += len(groups[source])
        return plans

    def _batches(self, source: int, numbers: np.ndarray) -> Plan:
        """Cut utterances of a source, sorted by length, into batches under the budgets."""
        settings = self.settings
        budget = getattr(settings, self.budgets[source].key)
        lengths = self.lengths[source][numbers].tolist()
        targets = self.targets[source][numbers].tolist()
        items = [(source, number) for number in numbers.tolist()]
        parts = batch_slices(lengths, budget, targets, settings.max_targets)
        return [items[part] for part in parts]
