"""The labels of a CTC head: letters, phones or word pieces, and the blank, which is label 0.

Knows nothing of layers; the head is in `atat.nn.ctc`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from atat.base.errors import InputError
from atat.text.pronunciation import PHONES, PronunciationError, phones_of
from atat.text.tokenizer import Tokenizer

WORD_START = "▁"
BLANK = 0
CHARACTERS = "'abcdefghijklmnopqrstuvwxyz"
_BYTE = re.compile("<0x([0-9A-F]{2})>")  # a piece of the tokenizer


class CharacterUnits:
    """Letters and a mark for the start of a word; characters of other scripts are one unit."""

    def __init__(self) -> None:
        self.pieces: list[str] = ["<blank>", WORD_START, *CHARACTERS, "?"]
        self._ids = {piece: number for number, piece in enumerate(self.pieces)}

    def ids(self, text: str) -> list[int]:
        """ "a cat" -> the units of ▁ a ▁ c a t."""
        other = self._ids["?"]
        found = []
        for word in text.split():
            found.append(self._ids[WORD_START])
            found.extend(self._ids.get(character, other) for character in word)
        return found

    def of_piece(self, piece: str) -> list[int]:
        """The units of a word piece, ▁ being the start of a word.

        The first byte of a character stands for all of it; <unk> and blanks stand for nothing.
        """
        if byte := _BYTE.fullmatch(piece):
            piece = chr(int(byte[1], 16))
        if piece == "<unk>" or piece.isspace() or "\x80" <= piece < "\xc0":
            return []
        return [self._ids.get(character, self._ids["?"]) for character in piece]


class PhoneUnits:
    """Phones of the CMU dictionary and a mark for the start of a word.

    A word that cannot be pronounced is one unit. What is heard and what is read differ less in
    phones than in letters: a head that knows no spelling writes "moka" for mocha.
    """

    def __init__(self) -> None:
        self.pieces: list[str] = ["<blank>", WORD_START, *PHONES, "?"]
        self._ids = {piece: number for number, piece in enumerate(self.pieces)}

    def ids(self, text: str) -> list[int]:
        """ "a cat" -> the units of ▁ EY ▁ K AE T."""
        return self.ids_of(self.pronounced(text))

    def pronounced(self, text: str) -> list[str]:
        """ "a cat" -> ▁ EY ▁ K AE T: words are pronounced one by one."""
        found = []
        for word in text.split():
            found.append(WORD_START)
            try:
                found.extend(phones_of(word))
            except PronunciationError:
                found.append("?")
        return found

    def ids_of(self, phones: Iterable[str]) -> list[int]:
        return [self._ids[phone] for phone in phones]

    def of_piece(self, piece: str) -> list[int]:
        """Raises InputError: a part of a word has no pronunciation of its own."""
        raise InputError(
            "ctc_weight: units of phones cannot judge word pieces; it needs a model whose "
            "`ctc.units` are characters or pieces"
        )


class PieceUnits:
    """The tokenizer's word pieces; unit 0 is the blank, unit i+1 the piece i."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.pieces = ["<blank>", *tokenizer.pieces]
        self._shift = 1 - tokenizer.first_piece_id
        self._numbers = {piece: number for number, piece in enumerate(self.pieces)}

    def ids(self, text: str) -> list[int]:
        return [token + self._shift for token in self._tokenizer.encode_text(text)]

    def of_piece(self, piece: str) -> list[int]:
        """The unit of a word piece."""
        return [self._numbers[piece]]


Units = CharacterUnits | PhoneUnits | PieceUnits


def build_units(kind: str, tokenizer: Tokenizer) -> Units:
    """The units named in the settings: characters align sooner, pieces need fewer frames."""
    if kind == "pieces":
        return PieceUnits(tokenizer)
    return PhoneUnits() if kind == "phones" else CharacterUnits()


def units_of_tokens(units: Units, tokenizer: Tokenizer) -> list[list[int]]:
    """The units of every token of the tokenizer; tags and other signs have none."""
    found: list[list[int]] = [[] for _ in range(tokenizer.vocab_size)]
    for number, piece in enumerate(tokenizer.pieces):
        found[tokenizer.first_piece_id + number] = units.of_piece(piece)
    return found


def frames_needed(ids: Sequence[int]) -> int:
    """Fewest encoder frames for CTC: one per unit, and a blank between equal neighbours."""
    return len(ids) + sum(one == other for one, other in zip(ids, ids[1:]))
