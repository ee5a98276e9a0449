"""Two word sequences side by side: which word of one stands for which of the other."""

from __future__ import annotations

from collections.abc import Sequence


def align_words(reference: Sequence[str], hypothesis: Sequence[str]) -> list[int | None]:
    """Which word of the reference each word of the hypothesis stands for, by edit distance.

    None: for none, it was inserted. The order is kept; both equal and other words stand for one.
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
