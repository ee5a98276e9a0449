"""Made-up instrumental music: chords, a melody, a bass and drums, each of them by chance.

Knows nothing of files. Tones are sums of partials that die away, drums are noise and a falling
tone; keys, chords, tempo and the number of players are drawn.
"""

from __future__ import annotations

import numpy as np

from atat.speech.audio import SAMPLE_RATE

SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10))  # major, minor; semitones
PROGRESSIONS = ((0, 4, 5, 3), (0, 5, 3, 4), (1, 4, 0, 0), (0, 3, 4, 3))  # degrees of the scale
PLAYERS = ("chords", "melody", "bass", "drums")
BEAT = (0.35, 0.85)  # s: 70 to 170 beats a minute
BAR = 4  # beats, one chord long


def music(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Two to four players for some seconds: (T,) float32 at 16 kHz, with peaks of 0.1 to 0.9."""
    samples = np.zeros(int(seconds * SAMPLE_RATE))
    count = int(rng.integers(2, len(PLAYERS) + 1))
    players = {PLAYERS[number] for number in rng.permutation(len(PLAYERS))[:count]}
    key, scale = float(rng.uniform(45, 57)), SCALES[int(rng.integers(len(SCALES)))]
    progression = PROGRESSIONS[int(rng.integers(len(PROGRESSIONS)))]
    beat = float(rng.uniform(*BEAT))
    timbre = {player: _timbre(rng) for player in PLAYERS}
    for number in range(int(seconds / beat) + 1):
        start, degree = number * beat, progression[number // BAR % len(progression)]
        if "chords" in players and number % BAR in (0, 2):
            for step in (0, 2, 4):
                note = _note(key, scale, degree + step)
                _add(samples, start, _tone(note, 2 * beat, timbre["chords"]), 0.3)
        if "bass" in players and number % 2 == 0:
            _add(samples, start, _tone(_note(key - 12, scale, degree), beat, timbre["bass"]), 0.6)
        if "melody" in players:
            for half in range(2):
                if rng.random() < 0.6:
                    note = _note(key + 12, scale, degree + int(rng.integers(-3, 8)))
                    length = beat * float(rng.choice([0.5, 1.0, 2.0]))
                    tone = _tone(note, length, timbre["melody"])
                    _add(samples, start + half * beat / 2, tone, 0.5)
        if "drums" in players:
            _add(samples, start, _struck(rng, tonal=number % 2 == 0), 0.8)
            _add(samples, start + beat / 2, _struck(rng, tonal=False, decay=0.05), 0.3)
    peak = max(float(np.abs(samples).max(initial=0.0)), 1e-6)
    return (samples * (rng.uniform(0.1, 0.9) / peak)).astype(np.float32)


def _timbre(rng: np.random.Generator) -> tuple[np.ndarray, float, float]:
    """Levels of the partials (P,), seconds until 60 dB softer, and seconds of the attack."""
    partials = int(rng.integers(1, 9))
    levels = np.arange(1, partials + 1) ** -rng.uniform(0.5, 2.0)
    return levels / levels.sum(), float(rng.uniform(0.3, 3.0)), float(rng.uniform(0.002, 0.08))


def _note(key: float, scale: tuple[int, ...], degree: int) -> float:
    """Hz of a degree of the scale; key: semitones, 69 is 440 Hz."""
    octave, step = divmod(degree, len(scale))
    return float(440.0 * 2 ** ((key + 12 * octave + scale[step] - 69) / 12))


def _tone(frequency: float, seconds: float, timbre: tuple[np.ndarray, float, float]) -> np.ndarray:
    levels, decay, attack = timbre
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    partials = [
        level * np.sin(2 * np.pi * number * frequency * time)
        for number, level in enumerate(levels, 1)
        if number * frequency < SAMPLE_RATE / 2
    ]
    end = np.clip((seconds - time) / 0.02, 0.0, 1.0)  # no click where it stops
    loudness = np.clip(time / attack, 0.0, 1.0) * np.exp(-np.log(1000.0) * time / decay) * end
    return np.sum(partials, axis=0) * loudness


def _struck(rng: np.random.Generator, *, tonal: bool, decay: float = 0.2) -> np.ndarray:
    """A drum: noise that dies away; a tonal one is mostly a tone that falls to 50 Hz."""
    time = np.arange(int(decay * SAMPLE_RATE)) / SAMPLE_RATE
    noise = rng.standard_normal(len(time)) / 3
    if tonal:
        noise = 0.1 * noise + np.sin(2 * np.pi * (50 * time - 2 * np.exp(-time / 0.03)))
    return np.asarray(noise * np.exp(-np.log(1000.0) * time / decay))


def _add(samples: np.ndarray, start: float, sound: np.ndarray, level: float) -> None:
    """Mix a sound into samples from a time (s) on; what is behind their end is cut off."""
    first = int(start * SAMPLE_RATE)
    room = samples[first : first + len(sound)]
    room += level * sound[: len(room)]
