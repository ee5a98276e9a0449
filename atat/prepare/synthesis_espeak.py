"""The espeak-ng synthesiser: many voices, and times of words and phones.

The library is loaded by `atat.text.pronunciation`. Voices are `espeak:<language>[+<variant>]`, for
example `espeak:en-us+f3:rate=160:pitch=55:range=60`; rate is in words per minute (80 to 450), pitch
and range go from 0 to 99. Knows nothing of data dirs: those are the job of `synthesis`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from atat.datadir.ctm import Word
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
from atat.text.phones import SILENCE
from atat.text.pronunciation import Library, library
from atat.text.pronunciation import unavailable as unavailable

# Constants of speak_lib.h.
_EVENT_END, _EVENT_WORD, _EVENT_PHONEME = 0, 1, 7
_RATE, _PITCH, _RANGE = 1, 3, 4
_UTF8 = 1
_BY_CHARACTER = 1

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


def check(voice: Voice) -> None:
    """Raise InputError for a voice that does not exist or has other options."""
    with library() as loaded:
        _Engine(loaded).set_voice(voice)


def speak(voice: Voice, text: str) -> Speech:
    """Speak normalised text.

    The same voice and text give the same samples in every process. Raises SynthesisError
    if the voice does not exist or a word of the text cannot be found in the speech.
    """
    words = text.split()
    if not words:
        raise SynthesisError(f"voice '{voice}': the text is empty")
    # espeak reads a lone "A" as the article, but "eh" as the letter's name.
    said = ["eh" if word == "A" else word for word in spell_letters(" ".join(words)).split()]
    with library() as loaded:
        engine = _Engine(loaded)
        engine.set_voice(voice)
        spoken = engine.synthesise(" ".join(said))
        starts = _word_starts(said, spoken, engine)
    samples = audio.resample(spoken.samples, engine.sample_rate, SAMPLE_RATE)
    pauses = [time for time, name in spoken.phones if name.startswith("_")]
    end = len(samples) / SAMPLE_RATE
    phones = phones_with_times(spoken.phones, end, has_r=voice.name.startswith("en-us"))
    return Speech(samples, words_from_starts(words, starts, pauses, end), phones)


# espeak's phones, by their names in its English voices, to those of the CMU dictionary.
_ARPABET = {
    "0": "AA", "3": "ER", "3:": "ER", "?": "T", "@": "AH", "@-": "AH", "@2": "AH", "@5": "AH",
    "@L": "AH L", "A:": "AA", "A@": "AA R", "D": "DH", "E": "EH", "I": "IH", "I#": "IH", "I2": "IH",
    "IR": "ER", "N": "NG", "O": "AO", "O2": "AO", "O:": "AO", "O@": "AO R", "OI": "OY", "S": "SH",
    "T": "TH", "U": "UH", "U@": "UH R", "V": "AH", "VR": "ER", "Z": "ZH", "a": "AE", "a#": "AH",
    "aI": "AY", "aI2": "AY", "aI3": "AY ER", "aI@": "AY AH", "aU": "AW", "aa": "AE", "b": "B",
    "d": "D", "dZ": "JH", "e@": "EH R", "eI": "EY", "f": "F", "g": "G", "h": "HH", "i": "IY",
    "i:": "IY", "i@": "IY AH", "i@3": "IH R", "j": "Y", "k": "K", "l": "L", "m": "M", "n": "N",
    "n-": "AH N", "o@": "AO R", "oU": "OW", "p": "P", "r": "R", "r-": "R", "s": "S", "t": "T",
    "t#": "T", "t2": "T", "tS": "CH", "u:": "UW", "v": "V", "w": "W", "w#": "W", "x": "K", "z": "Z",
}  # fmt: skip
_SOFTENS = ";"


def phones_with_times(
    events: Sequence[tuple[float, str]], end: float, *, has_r: bool
) -> list[Word] | None:
    """espeak's phone events (start in seconds, name) as phones from 0 to `end`, silences included.

    An event that is two phones shares its time among them; one that only softens (`;`) belongs to
    the phone before it. has_r: whether the R of "car" is spoken where no vowel follows; before one
    it is an event of its own. None if an event is no phone of American English, as in voices of
    other languages.
    """
    events = [(time, name) for time, name in events if name != _SOFTENS]
    phones: list[Word] = []
    times = [min(time, end) for time, _ in events] + [end]
    if times[0] > 0:
        phones.append(Word(SILENCE, 0.0, times[0]))
    names = [name for _, name in events] + [""]
    for name, following, start, stop in zip(names, names[1:], times, times[1:]):
        labels = [SILENCE] if name[:1] in ("_", "") else _ARPABET.get(name, "").split()
        if not labels:
            return None
        if labels[1:] == ["R"] and (not has_r or following in ("r", "r-")):
            labels = labels[:1]
        share = (stop - start) / len(labels)
        for number, label in enumerate(labels):
            phones.append(Word(label, start + number * share, share))
    return joined_silences(phones)


def joined_silences(phones: Sequence[Word]) -> list[Word]:
    """The same phones without those of no length, and with one silence for several in a row."""
    found: list[Word] = []
    for one in phones:
        if one.duration <= 0:
            continue
        if found and found[-1].text == one.text == SILENCE:
            found[-1] = replace(found[-1], duration=one.end - found[-1].start)
        else:
            found.append(one)
    return found


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
    """The library as a synthesiser."""

    def __init__(self, library: Library) -> None:
        self._library, self.sample_rate = library, library.sample_rate
        self.phones = library.phones

    def set_voice(self, voice: Voice) -> None:
        voice.allow(("rate", "pitch", "range"))
        language, _, variant = voice.name.partition("+")
        # An unknown variant would silently give another voice.
        variants = self._library.data_path / "voices" / "!v"
        if variant and ("/" in variant or not (variants / variant).is_file()):
            raise SynthesisError(f"voice '{voice}': espeak-ng has no variant '{variant}'")
        name = _LANGUAGES.get(language, language) + (f"+{variant}" if variant else "")
        if not self._library.choose(name):
            raise SynthesisError(f"voice '{voice}': espeak-ng has no voice '{language}'")
        for parameter, value in (
            (_RATE, voice.number("rate", 175, 80, 450)),
            (_PITCH, voice.number("pitch", 50, 0, 99)),
            (_RANGE, voice.number("range", 50, 0, 99)),
        ):
            self._library.calls.espeak_SetParameter(parameter, round(value), 0)

    def synthesise(self, text: str) -> _Spoken:
        spoken = _Spoken(self.sample_rate)
        callback = _Callback(spoken.collect)
        self._library.calls.espeak_SetSynthCallback(callback)
        data = text.encode("utf-8")
        status = self._library.calls.espeak_Synth(
            data, ctypes.c_size_t(len(data) + 1), 0, _BY_CHARACTER, 0, _UTF8, None, None
        )
        if status != 0 or not spoken.phones:
            raise SynthesisError(f"espeak-ng could not speak '{text}' (status {status})")
        return spoken


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
