"""The CTC head's opinion in a beam search: how likely the audio says the words so far.

The score of a prefix is the probability of all label sequences that begin with it (Graves, 2012,
"Supervised Sequence Labelling", section 7.5.1); used beside an attention decoder as in Watanabe et
al., 2017, "Hybrid CTC/Attention Architecture", section IV. A tag is silent: it changes nothing. So
a model whose CTC head has learned to spell what people say, in any domain, also judges the words of
trees that its decoder has learned from text alone.

Shapes: B utterances, K beam, N = B x K hypotheses, C continuations, M = N x C, T states, U units.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from atat.nn.attention import length_mask
from atat.nn.beam_search import NEVER
from atat.text.ctc_labels import BLANK

WIDTH = 40  # the decoder's best continuations that are judged
# Of a continuation that the audio has no room for. Not -inf: where all that are judged are such, as
# of a recording of a tenth of a second, the decoder's order counts, and the search ends.
FLOOR = -1e4


class Spelling:
    """What units each token stands for; tags stand for none."""

    def __init__(self, units_of_tokens: Sequence[Sequence[int]], eos: int) -> None:
        """units_of_tokens: of each of the V tokens; eos: the token that ends an output."""
        longest = max(1, *(len(units) for units in units_of_tokens))
        padded = [[*units, *[BLANK] * (longest - len(units))] for units in units_of_tokens]
        self.units = torch.tensor(padded)  # (V, L)
        self.lengths = torch.tensor([len(units) for units in units_of_tokens])  # (V,)
        self.eos = eos

    def to(self, device: torch.device) -> None:
        """Move the tables to a device."""
        self.units, self.lengths = self.units.to(device), self.lengths.to(device)


class CtcGuide:
    """A guide of `atat.nn.beam_search`. Keeps the forward variables of every hypothesis.

    forward (2, N, T + 1): log probability that the first t states say exactly the prefix, ending
    in its last unit (0) or in a blank (1); prefix (N,): that what is said begins with the prefix.
    """

    width = WIDTH

    def __init__(
        self, log_probs: Tensor, lengths: Tensor, beam: int, spelling: Spelling, weight: float
    ) -> None:
        """log_probs (B, T, U) of the head, lengths (B,)."""
        spelling.to(log_probs.device)
        self.weight, self.spelling, self.beam = weight, spelling, beam
        # After the end comes nothing but blanks, for certain.
        over = ~length_mask(lengths, log_probs.shape[1])
        log_probs = log_probs.float().masked_fill(over[:, :, None], NEVER)
        log_probs[:, :, BLANK] = log_probs[:, :, BLANK].masked_fill(over, 0.0)
        self.log_probs = log_probs.transpose(1, 2).contiguous()  # (B, U, T)
        blanks = torch.nn.functional.pad(self.log_probs[:, BLANK].cumsum(-1), (1, 0))
        start = torch.stack([torch.full_like(blanks, NEVER), blanks])
        self.forward = start.repeat_interleave(beam, dim=1)
        self.prefix = blanks.new_zeros(len(blanks) * beam)
        self.last = torch.full_like(self.prefix, BLANK, dtype=torch.long)

    def gains(self, tokens: Tensor) -> Tensor:
        """(N, C) -> (N, C)."""
        rows = torch.arange(len(tokens), device=tokens.device).repeat_interleave(tokens.shape[1])
        _, prefix, _ = self._extended(rows, tokens.reshape(-1))
        gained = prefix - self.prefix[rows]
        # What was impossible before stays so.
        return gained.nan_to_num(nan=FLOOR, neginf=FLOOR).view(tokens.shape)

    def advance(self, hypotheses: Tensor, tokens: Tensor) -> None:
        """See `Guide`."""
        self.forward, self.prefix, self.last = self._extended(hypotheses, tokens)

    def keep(self, utterances: Tensor) -> None:
        """See `Guide`."""
        places = torch.arange(self.beam, device=utterances.device)
        rows = (utterances[:, None] * self.beam + places).view(-1)
        self.log_probs = self.log_probs[utterances]
        self.forward, self.prefix = self.forward[:, rows], self.prefix[rows]
        self.last = self.last[rows]

    def _extended(self, rows: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The rows (M,) with a token more (M,): forward variables, prefix scores, last units."""
        forward, prefix, last = self.forward[:, rows], self.prefix[rows].clone(), self.last[rows]
        sizes = self.spelling.lengths[tokens]
        for place in range(int(sizes.max())):
            some = (sizes > place).nonzero()[:, 0]
            units = self.spelling.units[tokens[some], place]
            said = self.log_probs[rows[some] // self.beam, units]
            blanks = self.log_probs[rows[some] // self.beam, BLANK]
            longer, prefix[some] = _longer(forward[:, some], said, blanks, units == last[some])
            forward[:, some], last[some] = longer, units
        ends = tokens == self.spelling.eos
        whole = forward[:, :, -1].logsumexp(0)
        return forward, torch.where(ends, whole, prefix), last


def _longer(
    forward: Tensor, said: Tensor, blanks: Tensor, repeats: Tensor
) -> tuple[Tensor, Tensor]:
    """Forward variables (2, M, T + 1) and prefix scores (M,) of prefixes with a unit more.

    said, blanks (M, T): log probability of the unit and of the blank; repeats (M,): the unit is the
    last one once more, so that a blank must come between.
    """
    before = torch.where(repeats[:, None], forward[1], torch.logaddexp(forward[0], forward[1]))
    begins = before[:, :-1] + said  # (M, T): the unit begins at this state
    in_unit = in_blank = torch.full_like(said[:, 0], NEVER)
    steps = [torch.stack([in_unit, in_blank])]
    for first, here, blank in zip(begins.unbind(1), said.unbind(1), blanks.unbind(1)):
        in_blank = torch.logaddexp(in_unit, in_blank) + blank
        in_unit = torch.logaddexp(in_unit + here, first)
        steps.append(torch.stack([in_unit, in_blank]))
    return torch.stack(steps, dim=-1), begins.logsumexp(-1)
