"""Alignment of two word sequences by edit distance."""

from __future__ import annotations

from collections.abc import Sequence


def align_words(reference: Sequence[str], hypothesis: Sequence[str]) -> list[int | None]:
    """For each word of the hypothesis, the index of its reference word, by edit distance.

    None: the word was inserted. The order is kept; correct and substituted words have an index.
    """
    aligned: list[int | None] = [None] * len(hypothesis)
    if not reference or not hypothesis:
        return aligned
    import jiwer

    output = jiwer.process_words([" ".join(reference)], [" ".join(hypothesis)])
    for chunk in output.alignments[0]:
        if chunk.type in ("equal", "substitute"):
            for offset in range(chunk.hyp_end_idx - chunk.hyp_start_idx):
                aligned[chunk.hyp_start_idx + offset] = chunk.ref_start_idx + offset
    return aligned
