"""The espeak-ng synthesiser: many voices, word times, and the phonemes of any word.

The library and its data come with the wheel `espeakng-loader`; it is loaded when it is first
needed and called through ctypes. Voices are `espeak:<language>[+<variant>]`, for example
`espeak:en-us+f3:rate=160:pitch=55:range=60`; rate is in words per minute (80 to 450), pitch and
range go from 0 to 99. Knows nothing of data dirs: those are the job of `synthesis`.
"""

from __future__ import annotations

import _ctypes
import ctypes
import functools
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from atat.base.errors import InputError
from atat.base.files import scratch_folder
from atat.prepare.synthesis_voice import (
    SAMPLE_RATE,
    Speech,
    SynthesisError,
    Voice,
    spell_letters,
    split_phones,
    words_from_starts,
)
from atat.speech import audio

# Constants of speak_lib.h.
_SYNCHRONOUS = 2
_PHONEME_EVENTS, _DONT_EXIT = 0x0001, 0x8000
_EVENT_END, _EVENT_WORD, _EVENT_PHONEME = 0, 1, 7
_RATE, _PITCH, _RANGE = 1, 3, 4
_UTF8 = 1
_IPA = 0x02
_BY_CHARACTER = 1

# All threads of a process would share one copy of the library and unload it while others use it.
_ONE_AT_A_TIME = threading.Lock()
_LONGEST_PATH = 120  # characters: the library keeps its data path in a buffer of 160
_LANGUAGES = {"en-gb": "en"}  # the file of British English is called en


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def unavailable() -> str | None:
    """None if espeak-ng can be used here, else why not and how to install it."""
    try:
        import espeakng_loader  # noqa: F401
    except ImportError:
        return "espeakng-loader is missing; install it with: pip install espeakng-loader"
    return None


def speak(voice: Voice, text: str) -> Speech:
    """Speak normalised text.

    The same voice and text give the same samples in every process. Raises SynthesisError
    if the voice does not exist or a word of the text cannot be found in the speech.
    """
    voice.allow(("rate", "pitch", "range"))
    words = text.split()
    if not words:
        raise SynthesisError(f"voice '{voice}': the text is empty")
    # espeak reads a lone "A" as the article, but "eh" as the letter's name.
    said = ["eh" if word == "A" else word for word in spell_letters(" ".join(words)).split()]
    with _library() as engine:
        engine.set_voice(voice)
        spoken = engine.synthesise(" ".join(said))
        starts = _word_starts(said, spoken, engine)
    samples = audio.resample(spoken.samples, engine.sample_rate, SAMPLE_RATE)
    pauses = [time for time, name in spoken.phones if name.startswith("_")]
    end = len(samples) / SAMPLE_RATE
    return Speech(samples, words_from_starts(words, starts, pauses, end))


class _Spoken:
    """The reports of the library's callback during speech; times are in seconds."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._blocks: list[np.ndarray] = []
        self.words: list[tuple[float, int]] = []  # (start, position of its first character)
        self.phones: list[tuple[float, str]] = []  # (start, name without stress)

    def collect(self, samples: ctypes._Pointer, count: int, events: ctypes._Pointer) -> int:
        if count > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        i = 0
        while events[i].type != _EVENT_END:
            event = events[i]
            if event.type == _EVENT_WORD:
                self.words.append((event.sample / self._rate, event.text_position - 1))
            elif event.type == _EVENT_PHONEME:
                name = event.name.decode("utf-8", "replace").lstrip("',%=")
                self.phones.append((event.sample / self._rate, name))
            i += 1
        return 0

    @property
    def samples(self) -> np.ndarray:
        """(T,) float32 in [-1, 1] at the library's own rate."""
        return np.concatenate(self._blocks).astype(np.float32) / 32768.0


class _Engine:
    """One loaded copy of the library."""

    def __init__(self, library: ctypes.CDLL, data_path: str) -> None:
        self._library = library
        self._data_path = Path(data_path)
        self.sample_rate = library.espeak_Initialize(
            _SYNCHRONOUS, 0, os.fsencode(data_path), _PHONEME_EVENTS | _DONT_EXIT
        )
        if self.sample_rate <= 0:
            raise SynthesisError(
                f"espeak-ng cannot read its data in {data_path}; install it again with: "
                "pip install --force-reinstall espeakng-loader"
            )
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        # Breathy voices draw noise from a generator that is seeded by the clock by default.
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))

    def set_voice(self, voice: Voice) -> None:
        language, _, variant = voice.name.partition("+")
        # An unknown variant would silently give another voice.
        if variant and not (self._data_path / "voices" / "!v" / variant).is_file():
            raise SynthesisError(f"voice '{voice}': espeak-ng has no variant '{variant}'")
        name = _LANGUAGES.get(language, language) + (f"+{variant}" if variant else "")
        if self._library.espeak_SetVoiceByName(name.encode()) != 0:
            raise SynthesisError(f"voice '{voice}': espeak-ng has no voice '{language}'")
        for parameter, value in (
            (_RATE, voice.number("rate", 175, 80, 450)),
            (_PITCH, voice.number("pitch", 50, 0, 99)),
            (_RANGE, voice.number("range", 50, 0, 99)),
        ):
            self._library.espeak_SetParameter(parameter, round(value), 0)

    def synthesise(self, text: str) -> _Spoken:
        spoken = _Spoken(self.sample_rate)
        callback = _Callback(spoken.collect)
        self._library.espeak_SetSynthCallback(callback)
        data = text.encode("utf-8")
        status = self._library.espeak_Synth(
            data, ctypes.c_size_t(len(data) + 1), 0, _BY_CHARACTER, 0, _UTF8, None, None
        )
        if status != 0 or not spoken.phones:
            raise SynthesisError(f"espeak-ng could not speak '{text}' (status {status})")
        return spoken

    def phones(self, word: str, *, ipa: bool = False) -> list[str]:
        """The phones of one word spoken alone, without stress, as espeak or IPA names."""
        text = ctypes.c_char_p(word.encode("utf-8"))
        mode = (ord("_") << 8) | (_IPA if ipa else 0)
        result = []
        while text.value is not None:
            clause = self._library.espeak_TextToPhonemes(ctypes.byref(text), _UTF8, mode) or b""
            names = clause.decode("utf-8").replace(" ", "_").split("_")
            result += [name.strip("',%=ˈˌ") for name in names]
        return [name for name in result if name]


@contextmanager
def _library() -> Iterator[_Engine]:
    """A freshly loaded library.

    The library keeps the phase of its flutter from one utterance to the next, and nothing
    resets it; loading it again (2 ms) makes speech independent of earlier utterances.
    """
    reason = unavailable()
    if reason:
        raise InputError(f"espeak: {reason}")
    import espeakng_loader

    with _ONE_AT_A_TIME:
        library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
        try:
            with _short_path(str(espeakng_loader.get_data_path())) as data_path:
                yield _Engine(library, data_path)
        finally:
            library.espeak_Terminate()
            _ctypes.dlclose(library._handle)


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


def _word_starts(words: Sequence[str], spoken: _Spoken, engine: _Engine) -> list[float]:
    """The start of each word in seconds.

    espeak reports a word with its position in the text, but speaks some pairs ("of the") as one
    word with one report; these are split by their phones.
    """
    starts: list[float | None] = [None] * len(words)
    first = 0
    for i, word in enumerate(words):
        inside = [time for time, at in spoken.words if first <= at < first + len(word)]
        # A second report within a word ("nine-tenths") is a part of it.
        starts[i] = min(inside, default=None)
        first += len(word) + 1
    if starts[0] is None:
        raise SynthesisError(f"espeak-ng does not report when '{words[0]}' begins")
    known = [i for i, start in enumerate(starts) if start is not None] + [len(words)]
    result: list[float] = []
    for i, following in zip(known, known[1:]):
        begin = starts[i]
        stop = starts[following] if following < len(words) else float("inf")
        assert begin is not None and stop is not None
        result += _share(words[i:following], begin, stop, spoken, engine)
    return result


def _share(
    words: Sequence[str], begin: float, stop: float, spoken: _Spoken, engine: _Engine
) -> list[float]:
    """Starts of words that were spoken as one, from `begin` to `stop` seconds."""
    if len(words) == 1:
        return [begin]
    phones = [
        (time, name) for time, name in spoken.phones if begin <= time < stop and name[:1] != "_"
    ]
    try:
        alone = [engine.phones(word) for word in words]
        firsts = split_phones([name for _, name in phones], alone)
    except SynthesisError as error:
        raise SynthesisError(f"espeak-ng speaks '{' '.join(words)}' as one: {error}") from None
    return [begin, *(phones[first][0] for first in firsts[1:])]


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
def _espeak_phonemes(word: str) -> tuple[str, ...]:
    with _library() as engine:
        engine.set_voice(Voice("espeak", "en-us"))
        names = engine.phones(word, ipa=True)
    unknown = [name for name in names if name not in _ARPABET]
    if unknown or not names:
        found = f"the phone '{unknown[0]}'" if unknown else "no phone"
        raise SynthesisError(
            f"'{word}': espeak-ng gives {found}, which American English does not have"
        )
    return tuple(phone for name in names for phone in _ARPABET[name].split())


def espeak_phonemes(word: str) -> list[str]:
    """The pronunciation of a word in the phones of the CMU dictionary, without stress.

    Raises SynthesisError for a word that cannot be spoken in American English.
    """
    return list(_espeak_phonemes(word))
