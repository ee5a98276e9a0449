"""The phones of alignments: the 39 of the CMU dictionary without stress, and three silences.

LABELS are the outputs of a phone classifier, in their order (`atat.nn.acoustic`); IDS are their
numbers.
"""

from __future__ import annotations

from atat.base.errors import InputError
from atat.text.pronunciation import PHONES

SILENCE, SHORT_PAUSE, NOISE = SILENCES = ("sil", "sp", "spn")
LABELS = (*PHONES, *SILENCES)
IDS = {label: number for number, label in enumerate(LABELS)}
_KNOWN = frozenset(LABELS)


def phone(label: str) -> str:
    """An aligner's label without stress: `AH0` is `AH`, `SIL` is `sil`.

    Raises InputError for a label that is none of LABELS.
    """
    plain = label.rstrip("0123456789")
    found = plain.lower() if plain.lower() in SILENCES else plain.upper()
    if found not in _KNOWN:
        raise InputError(
            f"the phone {label!r} is none of the {len(PHONES)} of the CMU dictionary "
            f"(AA, AE ... ZH), nor {', '.join(SILENCES)}; align with a dictionary of these, such "
            "as english_us_arpa of the Montreal Forced Aligner"
        )
    return found
