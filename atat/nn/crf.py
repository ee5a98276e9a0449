"""A linear-chain CRF as a layer: the probability of a sequence of tags, given scores of each tag.

The score of a path of tags is start[first] + the emission of each of its tags + transitions[a, b]
of each pair of neighbours + end[last]; its probability is exp(score), normalised over all paths.
Row a of `transitions` is the tag on the left. Knows nothing of words and the meaning of tags.

Shapes: B sentences, T items of the longest, L tags. Sentences have one item or more; values after
the end of a shorter one, even NaN, change nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from atat.nn.attention import length_mask

INITIAL = 0.1  # weights start between minus this and this


class LinearChainCRF(nn.Module):
    """Scores of tags (B, T, L) -> log probability of a path, and the most probable path."""

    def __init__(self, tags: int) -> None:
        super().__init__()
        # These names are in model files.
        self.start_transitions = nn.Parameter(torch.empty(tags))
        self.end_transitions = nn.Parameter(torch.empty(tags))
        self.transitions = nn.Parameter(torch.empty(tags, tags))
        for weights in self.parameters():
            nn.init.uniform_(weights, -INITIAL, INITIAL)

    def forward(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """emissions (B, T, L), tags (B, T), lengths (B,) -> log probability of the tags (B,)."""
        return self.score(emissions, tags, lengths) - self.log_partition(emissions, lengths)

    def score(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """emissions (B, T, L), tags (B, T), lengths (B,) -> score of the path of the tags (B,)."""
        mask = length_mask(lengths, tags.shape[1])
        tags = tags.masked_fill(~mask, 0)
        emitted = emissions.gather(2, tags[..., None])[..., 0].masked_fill(~mask, 0.0)
        passed = self.transitions[tags[:, :-1], tags[:, 1:]].masked_fill(~mask[:, 1:], 0.0)
        last = tags.gather(1, lengths[:, None] - 1)[:, 0]
        ends = self.start_transitions[tags[:, 0]] + self.end_transitions[last]
        return ends + emitted.sum(dim=1) + passed.sum(dim=1)

    def log_partition(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """emissions (B, T, L), lengths (B,) -> log of the sum of exp(score) over all paths (B,)."""
        emissions, mask = _without_padding(emissions, lengths)
        # (B, L): the log sum over all paths that end in a tag here.
        sums = self.start_transitions + emissions[:, 0]
        for item in range(1, emissions.shape[1]):
            arriving = torch.logsumexp(sums[:, :, None] + self.transitions, dim=1)
            sums = torch.where(mask[:, item, None], arriving + emissions[:, item], sums)
        return torch.logsumexp(sums + self.end_transitions, dim=1)

    @torch.no_grad()
    def best_paths(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """emissions (B, T, L), lengths (B,) -> the tags of the best path (B, T), then padding.

        Viterbi: of all paths that end in a tag, only the best can begin the best path.
        """
        emissions, mask = _without_padding(emissions, lengths)
        stay = torch.arange(emissions.shape[2], device=emissions.device).expand_as(emissions[:, 0])
        scores, origins = self.start_transitions + emissions[:, 0], []
        for item in range(1, emissions.shape[1]):
            arriving, origin = (scores[:, :, None] + self.transitions).max(dim=1)
            scores = torch.where(mask[:, item, None], arriving + emissions[:, item], scores)
            # After its end a sentence keeps its last tag, so that all are traced back alike.
            origins.append(torch.where(mask[:, item, None], origin, stay))
        tag = (scores + self.end_transitions).argmax(dim=1, keepdim=True)  # (B, 1)
        path = [tag]
        for origin in reversed(origins):
            tag = origin.gather(1, tag)
            path.append(tag)
        return torch.cat(path[::-1], dim=1)


def _without_padding(emissions: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The emissions with 0 after the ends, and the mask (B, T) of items before the ends."""
    mask = length_mask(lengths, emissions.shape[1])
    return emissions.masked_fill(~mask[..., None], 0.0), mask
