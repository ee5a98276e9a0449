"""The CTC head's opinion in the search: against all paths, against torch's loss, and in effect."""

from __future__ import annotations

import itertools
import math

import pytest
import tiny
import torch
from torch import Tensor
from torch.nn import functional as F

from atat.nn.beam_search import SearchOptions, beam_search
from atat.nn.ctc_prefix import FLOOR, CtcGuide, Spelling
from atat.text.ctc_labels import CharacterUnits, PieceUnits, units_of_tokens

TAG, A, B, AB, EOS = range(5)  # A and B are a unit each, AB is both, TAG is silent
UNITS = [[], [1], [2], [1, 2], []]


@pytest.mark.parametrize("text", ["play the song", "café zq", "2 öre 한 🎵s", "A ~ it's"])
def test_a_text_is_judged_by_the_units_that_the_head_was_trained_on(text: str) -> None:
    tokenizer = tiny.make_tokenizer()
    for units in (CharacterUnits(), PieceUnits(tokenizer)):
        spelling = units_of_tokens(units, tokenizer)
        judged = [unit for token in tokenizer.encode_text(text) for unit in spelling[token]]
        assert judged == units.ids(text)
    assert not units_of_tokens(CharacterUnits(), tokenizer)[tokenizer.first_piece_id]  # <unk>


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    """What a path of labels says: repeats merged, blanks (0) dropped."""
    return tuple(unit for unit, _ in itertools.groupby(path) if unit)


def probabilities(log_probs: Tensor) -> dict[tuple[int, ...], float]:
    """The probability of every label sequence, by enumerating all paths of log_probs (T, U)."""
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        chance = math.exp(sum(float(log_probs[t, unit]) for t, unit in enumerate(path)))
        found[collapsed(path)] = found.get(collapsed(path), 0.0) + chance
    return found


def random_log_probs(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(*shape, generator=generator)).log_softmax(-1)


def guide_over(log_probs: Tensor, lengths: list[int], beam: int = 1) -> CtcGuide:
    return CtcGuide(log_probs, torch.tensor(lengths), beam, Spelling(UNITS, EOS), 0.5)


def step(guide: CtcGuide, token: int) -> float:
    """The gain of a token, which the only hypothesis then has."""
    gain = float(guide.gains(torch.tensor([[token]])))
    guide.advance(torch.tensor([0]), torch.tensor([token]))
    return gain


@pytest.mark.parametrize(
    "tokens",
    [[A], [A, A], [A, B, A], [TAG, A, TAG, B], [AB, AB], [A, B, B, TAG], [B, AB, A], []],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_score_is_the_probability_of_all_that_begins_with_the_prefix(
    tokens: list[int], seed: int
) -> None:
    log_probs = random_log_probs(5, 3, seed=seed)
    truth = probabilities(log_probs)
    guide = guide_over(log_probs[None], [5])
    score, units = 0.0, []
    for token in tokens:
        score += step(guide, token)
        units += UNITS[token]
        chance = sum(p for said, p in truth.items() if said[: len(units)] == tuple(units))
        assert score == pytest.approx(math.log(chance), abs=1e-4)
    whole = score + step(guide, EOS)
    assert whole == pytest.approx(math.log(truth.get(tuple(units), 0.0)), abs=1e-4)


def test_at_the_end_it_is_the_ctc_loss_whatever_the_padding() -> None:
    log_probs = random_log_probs(2, 9, 3)
    lengths = [9, 6]
    guide = guide_over(log_probs, lengths)
    total = torch.zeros(2)
    for token in (A, B, B, EOS):
        total += guide.gains(torch.full((2, 1), token))[:, 0]
        guide.advance(torch.arange(2), torch.full((2,), token))
    loss = F.ctc_loss(
        log_probs.transpose(0, 1),
        torch.tensor([[1, 2, 2]] * 2),
        torch.tensor(lengths),
        torch.tensor([3, 3]),
        reduction="none",
    )
    torch.testing.assert_close(total, -loss)


def test_what_does_not_fit_into_the_states_is_impossible() -> None:
    guide = guide_over(random_log_probs(1, 3, 3), [3])
    for token in (A, A):  # with the blank between them three states
        assert step(guide, token) > float("-inf")
    assert step(guide, B) == FLOOR
    assert step(guide, A) == FLOOR  # and stays so


@pytest.mark.parametrize("beam", [1, 3])
def test_where_nothing_fits_the_audio_the_search_ends_all_the_same(beam: int) -> None:
    """A state, and a decoder that wants two words of two units each, then the end."""
    wanted = torch.full((4, len(UNITS)), -9.0)
    wanted[:2, AB], wanted[2:, EOS] = 0.0, 0.0

    class Sure(Undecided):
        def __init__(self) -> None:
            self.steps = iter(wanted.log_softmax(-1))

        def step(self, tokens: Tensor) -> Tensor:
            return next(self.steps).expand(len(tokens), -1)

    guide = guide_over(random_log_probs(1, 1, 3), [1], beam=beam)
    guide.width = 1  # only the decoder's best is judged
    options = SearchOptions(beam=beam, max_length=3)
    found = beam_search(Sure(), torch.tensor([TAG]), EOS, options, guide=guide)[0]
    assert found


def test_utterances_that_leave_the_batch_change_nothing() -> None:
    log_probs = random_log_probs(3, 7, 3)
    guide = guide_over(log_probs, [7, 5, 6], beam=2)
    alone = guide_over(log_probs[1:2], [5], beam=2)
    for both, rows in ((guide, torch.arange(6)), (alone, torch.arange(2))):
        both.advance(rows, torch.tensor([A, B] * (len(rows) // 2)))
    guide.keep(torch.tensor([1]))
    tokens = torch.tensor([[A, B, AB, EOS]] * 2)
    torch.testing.assert_close(guide.gains(tokens), alone.gains(tokens))
    swap = torch.tensor([1, 0])
    for both in (guide, alone):
        both.advance(swap, torch.tensor([A, A]))
    torch.testing.assert_close(guide.gains(tokens), alone.gains(tokens))


class Undecided:
    """A scorer to which all tokens are alike."""

    def step(self, tokens: Tensor) -> Tensor:
        return torch.zeros(len(tokens), len(UNITS))

    def reorder(self, hypotheses: Tensor) -> None: ...

    def keep(self, utterances: Tensor) -> None: ...


def test_search_with_a_wide_beam_finds_the_best_by_the_weighted_sum() -> None:
    log_probs = random_log_probs(1, 4, 3, seed=3)
    truth = probabilities(log_probs[0])
    options = SearchOptions(beam=200, max_length=4, length_exponent=0.0)
    guide = guide_over(log_probs, [4], beam=200)
    (best,) = beam_search(Undecided(), torch.tensor([TAG]), EOS, options, guide=guide)[0]

    def weighted(tokens: tuple[int, ...]) -> float:
        chance = truth.get(tuple(unit for token in tokens for unit in UNITS[token]), 0.0)
        decoder = -(len(tokens) + 1) * math.log(len(UNITS))
        return 0.5 * decoder + 0.5 * (math.log(chance) if chance else float("-inf"))

    every = [
        tokens for size in range(4) for tokens in itertools.product((TAG, A, B, AB), repeat=size)
    ]
    assert best.tokens == max(every, key=weighted)
    assert best.log_prob == pytest.approx(weighted(best.tokens), abs=1e-4)
