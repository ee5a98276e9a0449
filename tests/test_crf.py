"""The CRF layer against counting all paths: sums, the best path, gradients; padding is nothing."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from atat.nn.crf import LinearChainCRF

TAGS = 3
LENGTHS = torch.tensor([4, 2, 1, 4])
SIZE = 5  # longer than the longest, so that every row is padded


@pytest.fixture
def crf() -> LinearChainCRF:
    """With weights of the size of the emissions, so that they decide in part."""
    torch.manual_seed(0)
    layer = LinearChainCRF(TAGS).double()
    for weights in layer.parameters():
        torch.nn.init.normal_(weights)
    return layer


@pytest.fixture
def emissions() -> Tensor:
    return torch.randn(
        len(LENGTHS), SIZE, TAGS, dtype=torch.double, generator=torch.Generator().manual_seed(1)
    )


@torch.no_grad()
def all_paths(crf: LinearChainCRF, emissions: Tensor) -> dict[tuple[int, ...], float]:
    """The score of each path through the emissions (T, L) of one sentence, term by term."""
    scores = {}
    for path in itertools.product(range(TAGS), repeat=len(emissions)):
        total = crf.start_transitions[path[0]] + crf.end_transitions[path[-1]]
        total = total + sum(emissions[item, tag] for item, tag in enumerate(path))
        total = total + sum(crf.transitions[one, next_] for one, next_ in zip(path, path[1:]))
        scores[path] = float(total)
    return scores


def log_sum(scores: dict[tuple[int, ...], float]) -> float:
    return math.log(math.fsum(math.exp(score) for score in scores.values()))


def test_log_partition_and_best_path_are_those_of_all_paths(
    crf: LinearChainCRF, emissions: Tensor
) -> None:
    sums = crf.log_partition(emissions, LENGTHS).tolist()
    best = crf.best_paths(emissions, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        scores = all_paths(crf, emissions[row, :length])
        assert sums[row] == pytest.approx(log_sum(scores), abs=1e-12)
        assert tuple(best[row, :length].tolist()) == max(scores, key=lambda path: scores[path])


def test_score_and_probability_of_every_path_are_right_and_probabilities_sum_to_one(
    crf: LinearChainCRF, emissions: Tensor
) -> None:
    for row, length in enumerate(LENGTHS.tolist()):
        one, scores = emissions[row, :length], all_paths(crf, emissions[row, :length])
        batch = one.expand(len(scores), -1, -1)
        tags, lengths = torch.tensor(list(scores)), torch.full((len(scores),), length)
        expected = torch.tensor(list(scores.values()), dtype=torch.double)
        torch.testing.assert_close(crf.score(batch, tags, lengths), expected)
        found = crf(batch, tags, lengths).detach()
        torch.testing.assert_close(found, expected - log_sum(scores))
        assert float(found.exp().sum()) == pytest.approx(1.0, abs=1e-12)


def test_the_gradient_of_the_log_partition_is_the_marginal_of_each_tag(
    crf: LinearChainCRF, emissions: Tensor
) -> None:
    emissions.requires_grad_()
    crf.log_partition(emissions, LENGTHS).sum().backward()
    marginals = torch.zeros_like(emissions)
    starts, pairs = torch.zeros(TAGS).double(), torch.zeros(TAGS, TAGS).double()
    for row, length in enumerate(LENGTHS.tolist()):
        scores = all_paths(crf, emissions[row, :length])
        whole = log_sum(scores)
        for path, score in scores.items():
            probability = math.exp(score - whole)
            starts[path[0]] += probability
            for item, tag in enumerate(path):
                marginals[row, item, tag] += probability
            for one, next_ in zip(path, path[1:]):
                pairs[one, next_] += probability
    torch.testing.assert_close(emissions.grad, marginals)
    torch.testing.assert_close(crf.start_transitions.grad, starts)
    torch.testing.assert_close(crf.transitions.grad, pairs)


@pytest.mark.parametrize("padding", [-7.0, math.nan, math.inf])
def test_padding_changes_nothing_neither_values_nor_gradients(
    crf: LinearChainCRF, emissions: Tensor, padding: float
) -> None:
    tags = torch.randint(TAGS, (len(LENGTHS), SIZE), generator=torch.Generator().manual_seed(2))
    behind = torch.arange(SIZE) >= LENGTHS[:, None]
    padded = emissions.masked_fill(behind[..., None], padding).requires_grad_()
    odd_tags = tags.masked_fill(behind, -100)  # no tag at all
    found = crf(padded, odd_tags, LENGTHS)
    found.sum().backward()
    gradients = [weights.grad.clone() for weights in crf.parameters()]
    assert padded.grad[behind].count_nonzero() == 0 and padded.grad.isfinite().all()
    crf.zero_grad()
    best = crf.best_paths(padded, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = (
            emissions[row : row + 1, :length],
            tags[row : row + 1, :length],
            LENGTHS[row : row + 1],
        )
        likelihood = crf(*alone)
        likelihood.sum().backward()
        torch.testing.assert_close(found[row : row + 1], likelihood)
        assert best[row, :length].equal(crf.best_paths(alone[0], alone[2])[0])
    for weights, gradient in zip(crf.parameters(), gradients):
        torch.testing.assert_close(gradient, weights.grad)


def test_the_names_and_sizes_of_the_weights_stay_those_of_saved_models() -> None:
    shapes = {name: tuple(value.shape) for name, value in LinearChainCRF(TAGS).state_dict().items()}
    assert shapes == {
        "start_transitions": (TAGS,),
        "end_transitions": (TAGS,),
        "transitions": (TAGS, TAGS),
    }
