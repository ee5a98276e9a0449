"""An answer for people at a terminal: what was understood, as a tree with its times.

    lamp.wav  (2.1 s)
      SWITCH_ON                       sure to 97 %
        DEVICE  kitchen lamp          0.84 – 1.52 s
      heard: switch on the kitchen lamp

Colours only where they can be seen. Knows nothing of models.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING

from atat.text.understanding import Slot, Understanding

if TYPE_CHECKING:
    from atat.apps.answers import Answered

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
WIDTH = 44  # of names and values, before times


def wants_colours(stream: IO[str]) -> bool:
    """Whether colours can be seen and are wanted (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _painted(text: str, codes: Sequence[str]) -> str:
    return f"\033[{';'.join(_CODES[code] for code in codes)}m{text}\033[0m" if text else text


def render(name: str, found: Understanding, *, colours: bool = False, nbest: bool = False) -> str:
    """The lines of one answer; nbest: with the other hypotheses."""

    def paint(text: str, *codes: str) -> str:
        return _painted(text, codes) if colours else text

    length = "" if found.duration is None else f"  ({found.duration:.1f} s)"
    lines = [paint(name, "bold") + paint(length, "dim")]
    if not found.understood:
        lines.append("  " + paint(f"not understood: {found.reason}", "red"))
    if found.tree is not None:
        sure = "" if found.confidence is None else f"sure to {100 * found.confidence:.0f} %"
        head = found.intent or found.tree.label
        lines.append(_row(2, paint(head, "bold", "green"), len(head), paint(sure, "dim")))
        lines += _slots(found.spans, paint)
    elif found.text and found.transcript is None:
        lines.append(f"  {found.text}")
    if found.transcript and found.transcript != name:
        lines.append("  " + paint("heard: ", "dim") + found.transcript)
    if nbest:
        for number, one in enumerate(found.nbest, start=1):
            lines.append("  " + paint(f"{number}. {one.score:7.3f}  ", "dim") + one.text)
    return "\n".join(lines)


def render_answer(name: str, found: Answered, *, colours: bool = False, nbest: bool = False) -> str:
    """The lines of the answer to a question; nbest: with the next best answers."""

    def paint(text: str, *codes: str) -> str:
        return _painted(text, codes) if colours else text

    lines = [paint(name, "bold") + paint(f"  ({found.duration:.1f} s)", "dim")]
    lines.append("  " + paint(found.question, "cyan"))
    if not found.text:
        lines.append("  " + paint("no words were heard", "red"))
    for span in found.nbest if nbest else found.nbest[:1]:
        when = "" if span.start is None else f"{span.start:.2f} – {span.end:.2f} s"
        lines.append(_row(0, paint(span.text, "bold", "green"), len(span.text), paint(when, "dim")))
    return "\n".join(lines)


def _slots(spans: Sequence[Slot], paint: Callable[..., str]) -> list[str]:
    """A line for each slot, indented by its depth."""
    widest = max((len(slot.name) + 2 * len(slot.path) for slot in spans), default=0)
    lines = []
    for slot in spans:
        indent = 2 * len(slot.path)
        gap = " " * (widest - len(slot.name) - indent + 2)
        shown = paint(slot.name, "cyan") + gap + slot.value
        size = len(slot.name) + len(gap) + len(slot.value)
        when = "" if slot.seconds is None else f"{slot.seconds[0]:.2f} – {slot.seconds[1]:.2f} s"
        lines.append(_row(indent, shown, size, paint(when, "dim")))
    return lines


def _row(indent: int, shown: str, size: int, right: str) -> str:
    """Something on the left, of a size without its colours, and something on the right."""
    gap = " " * max(WIDTH - indent - size, 2)
    return (" " * indent + shown + (gap + right if right else "")).rstrip()
