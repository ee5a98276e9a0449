"""Which of the known names was probably meant by one that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], *, alike: float = 0.6) -> str | None:
    """The known name that resembles a name most, None if none does; alike: 1 is the same name."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=alike)), None)


def among(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, and all of them."""
    names = list(known)
    near = nearest(name, names)
    start = f"did you mean `{near}`? There" if near else "there"
    return f"{start} are: {', '.join(names) or 'none'}"
