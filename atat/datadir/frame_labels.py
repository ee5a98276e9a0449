"""Labels of frames from alignments: that of a frame is the label at its first sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from atat.datadir import ctm
from atat.datadir.ctm import Word
from atat.speech.audio import MAX_OVERSHOOT, SAMPLE_RATE


def fault(aligned: Sequence[Word], duration: float | None, noun: str = "word") -> str:
    """Why frames cannot have labels of these times (s) of a recording; empty: they can.

    Times out of order, and times that end after the recording, as those of another one do. noun:
    what is aligned.
    """
    if findings := ctm.check_times(aligned, noun):
        return f"its alignment is at fault: {findings[0]}"
    if duration is not None and aligned and aligned[-1].end > duration + MAX_OVERSHOOT:
        return (
            f"its last {noun} ends at {aligned[-1].end:.2f} s, the recording lasts {duration:.2f} s"
        )
    return ""


def frame_labels(
    aligned: Sequence[Word],
    ids: Mapping[str, int],
    *,
    first: int,
    samples: int,
    shift: int,
    outside: int,
    unknown: int,
) -> np.ndarray:
    """The ids (N,) int64 of N = ceil(samples / shift) frames, the first at sample `first`.

    aligned: words or phones in the order of their times. outside: the id where nothing is aligned;
    unknown: of a label that `ids` does not have.
    """
    starts = np.array([round(one.start * SAMPLE_RATE) for one in aligned], dtype=np.int64)
    ends = np.array([round(one.end * SAMPLE_RATE) for one in aligned], dtype=np.int64)
    labels = np.array([ids.get(one.text, unknown) for one in aligned], dtype=np.int64)
    at = first + shift * np.arange(-(-samples // shift))
    place = np.searchsorted(starts, at, side="right") - 1  # the last that has begun
    found = np.full(len(at), outside, dtype=np.int64)
    inside = place >= 0
    inside[inside] = at[inside] < ends[place[inside]]
    found[inside] = labels[place[inside]]
    return found
