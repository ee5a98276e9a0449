"""How words are pronounced: the phones of the CMU dictionary, by espeak-ng's rules.

The library and its data come with the wheel `espeakng-loader`; it is loaded when it is first
needed and called through ctypes. What it says as speech is for `atat.prepare.synthesis_espeak`.
"""

from __future__ import annotations

import _ctypes
import ctypes
import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from atat.base.errors import InputError
from atat.base.files import scratch_folder

# The phones of the CMU dictionary, without stress.
PHONES = tuple(
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW "
    "V W Y Z ZH".split()
)

# Constants of speak_lib.h.
_SYNCHRONOUS = 2
_PHONEME_EVENTS, _DONT_EXIT = 0x0001, 0x8000
_UTF8 = 1
_IPA = 0x02

# All threads of a process would share one copy of the library and unload it while others use it.
_ONE_AT_A_TIME = threading.Lock()
_LONGEST_PATH = 120  # characters: the library keeps its data path in a buffer of 160
_AMERICAN = "en-us"


class PronunciationError(InputError):
    """A word that cannot be spoken in American English."""


def unavailable() -> str | None:
    """None if espeak-ng can be used here, else why not and how to install it."""
    try:
        import espeakng_loader  # noqa: F401
    except ImportError:
        return "espeakng-loader is missing; install it with: pip install espeakng-loader"
    return None


class Library:
    """One loaded copy of the library."""

    def __init__(self, library: ctypes.CDLL, data_path: str) -> None:
        self.calls = library
        self.data_path = Path(data_path)
        self.sample_rate = library.espeak_Initialize(
            _SYNCHRONOUS, 0, os.fsencode(data_path), _PHONEME_EVENTS | _DONT_EXIT
        )
        if self.sample_rate <= 0:
            raise InputError(
                f"espeak-ng cannot read its data in {data_path}; install it again with: "
                "pip install --force-reinstall espeakng-loader"
            )
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        # Breathy voices draw noise from a generator that is seeded by the clock by default.
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))

    def choose(self, name: str) -> bool:
        """Speak with the voice of this name from now on; False if there is none."""
        return bool(self.calls.espeak_SetVoiceByName(name.encode()) == 0)

    def phones(self, word: str, *, ipa: bool = False) -> list[str]:
        """The phones of one word spoken alone, without stress, as espeak or IPA names."""
        text = ctypes.c_char_p(word.encode("utf-8"))
        mode = (ord("_") << 8) | (_IPA if ipa else 0)
        result = []
        while text.value is not None:
            clause = self.calls.espeak_TextToPhonemes(ctypes.byref(text), _UTF8, mode) or b""
            names = clause.decode("utf-8").replace(" ", "_").split("_")
            result += [name.strip("',%=ˈˌ") for name in names]
        return [name for name in result if name]


@contextmanager
def library() -> Iterator[Library]:
    """A freshly loaded library.

    The library keeps the phase of its flutter from one utterance to the next, and nothing
    resets it; loading it again (2 ms) makes speech independent of earlier utterances.
    """
    reason = unavailable()
    if reason:
        raise InputError(f"espeak: {reason}")
    import espeakng_loader

    with _ONE_AT_A_TIME:
        calls = ctypes.CDLL(str(espeakng_loader.get_library_path()))
        try:
            with _short_path(str(espeakng_loader.get_data_path())) as data_path:
                yield Library(calls, data_path)
        finally:
            calls.espeak_Terminate()
            _ctypes.dlclose(calls._handle)


@contextmanager
def _short_path(path: str) -> Iterator[str]:
    """The path, or a link to it if it is too long for the library."""
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield path
        return
    with scratch_folder("espeak") as folder:
        link = folder / "espeak-ng-data"
        link.symlink_to(path)
        yield str(link)


# IPA as espeak writes American English, to the phones of the CMU dictionary.
_ARPABET = {
    "ɑː": "AA", "ɑ": "AA", "a": "AA", "aː": "AA", "æ": "AE", "ʌ": "AH", "ə": "AH", "ɐ": "AH",
    "ɔ": "AO", "ɔː": "AO", "ɒ": "AA", "aʊ": "AW", "aɪ": "AY", "ɛ": "EH", "e": "EH", "ɚ": "ER",
    "ɜː": "ER", "ɜ": "ER", "eɪ": "EY", "ɪ": "IH", "ᵻ": "IH", "iː": "IY", "i": "IY", "oʊ": "OW",
    "o": "OW", "oː": "OW", "ɔɪ": "OY", "ʊ": "UH", "uː": "UW", "u": "UW", "əl": "AH L",
    "ɑːɹ": "AA R", "ɔːɹ": "AO R", "oːɹ": "AO R", "ɛɹ": "EH R", "ʊɹ": "UH R", "ɪɹ": "IH R",
    "iə": "IY AH", "aɪɚ": "AY ER", "aɪə": "AY AH", "n̩": "AH N", "m̩": "AH M", "l̩": "AH L",
    "b": "B", "tʃ": "CH", "d": "D", "ð": "DH", "f": "F", "ɡ": "G", "g": "G", "h": "HH", "dʒ": "JH",
    "k": "K", "l": "L", "ɬ": "L", "m": "M", "n": "N", "ɲ": "N Y", "ŋ": "NG", "p": "P", "ɹ": "R",
    "r": "R", "s": "S", "ç": "SH", "ʃ": "SH", "t": "T", "ɾ": "T", "ʔ": "T", "θ": "TH", "v": "V",
    "w": "W", "ʍ": "W", "j": "Y", "x": "K", "z": "Z", "ʒ": "ZH", "ɣ": "G", "β": "V",
}  # fmt: skip


@functools.lru_cache(maxsize=100_000)
def _phones_of(word: str) -> tuple[str, ...]:
    with library() as engine:
        if not engine.choose(_AMERICAN):
            raise InputError(f"espeak-ng has no voice '{_AMERICAN}'")
        names = engine.phones(word, ipa=True)
    unknown = [name for name in names if name not in _ARPABET]
    if unknown or not names:
        found = f"the phone '{unknown[0]}'" if unknown else "no phone"
        raise PronunciationError(
            f"'{word}': espeak-ng gives {found}, which American English does not have"
        )
    return tuple(phone for name in names for phone in _ARPABET[name].split())


def phones_of(word: str) -> list[str]:
    """The pronunciation of a word in the phones of the CMU dictionary, without stress.

    Raises PronunciationError for a word that cannot be spoken in American English, InputError if
    espeak-ng is not installed.
    """
    return list(_phones_of(word))
