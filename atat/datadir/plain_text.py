"""Which characters and words no text of a data dir may hold, and where the first of them is.

`validate` reports all of them. Reading a data dir refuses those that a model would learn: what is
only an odd blank parts words like any other, and does no harm.
"""

from __future__ import annotations

import re
import unicodedata

from atat.base.errors import InputError

# Symbols that Kaldi's recipes reserve.
RESERVED = frozenset(("<s>", "</s>", "#0"))
# Unicode white space other than blank and tab, and control characters: they are invisible, and
# programs disagree on whether they separate words.
ODD_BLANKS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]"
)


def reserved(text: str) -> str | None:
    """The first reserved symbol among the words of a text; None if there is none."""
    if "<" not in text and "#" not in text:
        return None
    return next((word for word in text.split() if word in RESERVED), None)


def refuse_odd_blanks(what: str, text: str) -> None:
    """Raise InputError, which calls the text `what`, if it holds one of `ODD_BLANKS`."""
    if odd := ODD_BLANKS.search(text):
        raise InputError(f"{what} holds U+{ord(odd[0]):04X}; expected blanks only")


def fault(text: str) -> str | None:
    """What a model would read of a text that is no word, as a sentence's end; None: nothing."""
    if word := reserved(text):
        return f"holds {word!r}, which means something else to Kaldi"
    if text.isascii() and text.isprintable():
        return None
    for odd in ODD_BLANKS.findall(text):
        if not odd.isspace():
            name = unicodedata.name(odd, "a control character").lower()
            return f"holds U+{ord(odd):04X} ({name})"
    return None
