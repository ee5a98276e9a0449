"""Which examples make an optimizer step: drawn over all sources by weight, of similar lengths.

A step has an audio part and a text part; each is cut into batches that keep under a budget of
padded frames or tokens. Steps are drawn in blocks: the examples of `block` steps are drawn
together, sorted by length and cut into as many groups of nearly equal cost, which are then
shuffled. So every example drawn is used, the shares are the weights exactly, and a plan is a
pure function of (seed, step, rank): resuming anywhere needs no state.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from atat.budget import batch_slices
from atat.errors import InputError
from atat.settings import BatchSettings

Item = tuple[int, int]  # number of the source, number of the utterance in it
Plan = list[list[Item]]  # the batches of one step on one rank
FRAMES_PER_SECOND = 100


class Sampler:
    """Plans steps over sources with known lengths."""

    def __init__(
        self,
        lengths: Sequence[np.ndarray],
        weights: Sequence[float],
        is_audio: Sequence[bool],
        settings: BatchSettings,
        *,
        seed: int,
        ranks: int = 1,
    ) -> None:
        """lengths: for each source the length of each utterance, in frames or tokens."""
        self.lengths = [np.asarray(length) for length in lengths]
        self.shares = np.array(weights, dtype=np.float64) / np.sum(weights)
        self.is_audio = list(is_audio)
        self.settings = settings
        self.seed = seed
        self.ranks = ranks
        self._block = lru_cache(maxsize=2)(self._draw_block)

    def plan(self, step: int, rank: int = 0) -> Plan:
        """The batches of optimizer step `step` (counted from 0) on one rank."""
        block, position = divmod(step, self.settings.block)
        return self._block(block)[position * self.ranks + rank]

    def _draw_block(self, block: int) -> list[Plan]:
        """The plans of all steps of a block, for every rank."""
        settings = self.settings
        groups = settings.block * self.ranks
        rng = np.random.default_rng([self.seed, 1, block])
        audio, text = self._draw_items(block, groups, rng)
        audio_groups = self._cut(audio, groups, rng)
        text_groups = self._cut(text, groups, rng)
        return [
            self._batches(audio_groups[i], settings.max_frames)
            + self._batches(text_groups[i], settings.max_tokens)
            for i in range(groups)
        ]

    def _draw_items(
        self, block: int, groups: int, rng: np.random.Generator
    ) -> tuple[list[Item], list[Item]]:
        """The audio items and the text items of a block."""
        wanted = self.settings.examples * self.settings.block
        parts: tuple[list[Item], list[Item]] = ([], [])
        for source, share in enumerate(self.shares):
            # Cumulative counts, so that a share that is no whole number a block evens out.
            first, last = int(block * wanted * share), int((block + 1) * wanted * share)
            limit = self._length_limit(block) if self.is_audio[source] else None
            if limit is None:
                chosen = self._stream(source, first, last)
            else:
                eligible = np.flatnonzero(self.lengths[source] <= limit)
                if not len(eligible):
                    eligible = np.argsort(self.lengths[source], kind="stable")[:1]
                chosen = rng.choice(eligible, size=last - first)
            parts[0 if self.is_audio[source] else 1].extend((source, int(i)) for i in chosen)
        return parts

    def _length_limit(self, block: int) -> float | None:
        """Longest utterance (frames) while short ones come first; None once all may come."""
        settings = self.settings
        step = block * settings.block
        if step >= settings.short_first_steps:
            return None
        start = settings.short_first_seconds * FRAMES_PER_SECOND
        longest = max(
            float(length.max()) for length, audio in zip(self.lengths, self.is_audio) if audio
        )
        return start + (longest - start) * step / settings.short_first_steps

    def _stream(self, source: int, first: int, last: int) -> np.ndarray:
        """Positions first .. last of the endless stream of a source: one permutation an epoch."""
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

    def _cut(self, items: list[Item], groups: int, rng: np.random.Generator) -> list[list[Item]]:
        """Sort by length, cut into groups of nearly equal total length, shuffle the groups."""
        if not items:
            return [[] for _ in range(groups)]
        if len(items) < groups:
            raise InputError(
                f"batch.examples ({self.settings.examples}) is too small: some steps would have no "
                "audio or no text example of the mix; raise it or the weight of the rarer part"
            )
        shuffled = [items[i] for i in rng.permutation(len(items))]
        ordered = sorted(shuffled, key=lambda item: self.lengths[item[0]][item[1]])
        cost = np.cumsum([self.lengths[source][i] for source, i in ordered])
        edges = np.searchsorted(cost, cost[-1] * np.arange(1, groups) / groups)
        # Strictly rising edges: every group gets at least one item, however long the longest are.
        numbers = np.arange(1, groups)
        edges = np.maximum.accumulate(np.maximum(edges, numbers) - numbers) + numbers
        edges = np.minimum(edges, len(ordered) - groups + numbers)
        bounds = [0, *map(int, edges), len(ordered)]
        pieces = [ordered[a:b] for a, b in zip(bounds, bounds[1:])]
        return [pieces[i] for i in rng.permutation(groups)]

    def _batches(self, items: list[Item], budget: int) -> Plan:
        """Cut a group, sorted by length, into batches under a budget of padded length."""
        lengths = (self.lengths[source][number] for source, number in items)
        return [items[part] for part in batch_slices(lengths, budget)]
