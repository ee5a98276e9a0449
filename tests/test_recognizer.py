"""Laws of the trained model as a function: what it is given, and what it makes of nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny
import torch

from atat.base.errors import InputError
from atat.nn.beam_search import SearchOptions
from atat.speech import audio
from atat.speech.silence import is_silent
from atat.systems.joint.model import build_model
from atat.systems.joint.packed import Packed
from atat.systems.joint.recognizer import Recognizer
from atat.text.encoder_ids import build_encoder_ids

RATE = 16000


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    """An untrained model, which makes something of everything."""
    torch.manual_seed(1)
    settings, tokenizer = tiny.without_dropout(), tiny.make_tokenizer()
    model, units = build_model(settings, tokenizer)
    source = build_encoder_ids(settings.text_encoder.bert_or_none, tokenizer)
    pairs = {(None, "[IN:PLAY"), ("[IN:PLAY", "[SL:THING")}
    one = Packed(model.eval(), tokenizer, settings, units, source, pairs, ("slu", "nlu"))
    return Recognizer(one)


def noise(seconds: float, level: float, seed: int = 0) -> np.ndarray:
    """White noise of so many dB below full scale."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, 10 ** (level / 20), int(seconds * RATE))
    return samples.astype(np.float32)


def tone(seconds: float, level: float, hertz: float = 440) -> np.ndarray:
    phase = 2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE
    return (2**0.5 * 10 ** (level / 20) * np.sin(phase)).astype(np.float32)


def test_the_n_best_are_as_many_as_the_beam_unless_told(recognizer: Recognizer) -> None:
    found = recognizer(noise(1, -20))
    assert len(found.nbest) == SearchOptions().beam == 4
    assert len({one.text for one in found.nbest}) > 1
    scores = [one.score for one in found.nbest]
    assert scores == sorted(scores, reverse=True) and found.nothing is None
    one = Recognizer(recognizer.packed, options=SearchOptions(nbest=1))(noise(1, -20))
    assert one.nbest == found.nbest[:1]


@pytest.mark.parametrize("text", ["", "  ", "?!", "..."])
def test_no_words_are_understood_as_nothing(recognizer: Recognizer, text: str) -> None:
    found = recognizer(text=text)
    assert (found.text, found.tree, len(found.nbest)) == ("", None, 1)
    assert found.nothing == "the text has no words"
    assert recognizer(text="play").text != ""


SILENCES = {
    "zeros": np.zeros(RATE, np.float32),
    "the last bit": np.random.default_rng(0).integers(-1, 2, RATE).astype(np.float32) / 32768,
    "an offset": np.full(RATE, 0.2, np.float32),
    "noise": noise(3, -55),
    "noise, short": noise(0.1, -60),
    "hum": tone(2, -60, 50),
    "a click in noise": noise(2, -65) + np.eye(1, 2 * RATE, RATE, dtype=np.float32)[0] * 0.01,
}


@pytest.mark.parametrize("name", SILENCES)
def test_silence_is_understood_as_nothing(
    recognizer: Recognizer, tmp_path: Path, name: str
) -> None:
    audio.save(tmp_path / "silence.wav", SILENCES[name])
    for found in (
        recognizer(SILENCES[name]),
        recognizer(tmp_path / "silence.wav"),
        recognizer(str(tmp_path / "silence.wav"), task="asr"),
    ):
        assert (found.text, found.tree, len(found.nbest)) == ("", None, 1)
        assert found.nothing == "the recording is silent"


def test_what_is_loud_or_uneven_is_for_the_model_to_judge(recognizer: Recognizer) -> None:
    syllables = noise(2, -50) * np.repeat([0.01, 1, 0.01, 1, 0.3, 0.01, 1, 0.01], RATE // 4)
    for sound in (noise(2, -40), tone(2, -30), syllables, syllables / 10):
        assert recognizer(sound).nothing is None


def real_speech() -> list[Path]:
    folder = Path(os.environ.get("ATAT_DATA", "")) / "librispeech" / "LibriSpeech"
    return sorted(folder.rglob("*.flac"))[::5] if "ATAT_DATA" in os.environ else []


@pytest.mark.skipif(not real_speech(), reason="ATAT_DATA has no LibriSpeech")
@pytest.mark.parametrize("peak", [-50, -60])
def test_quiet_speech_of_people_is_not_silence(peak: int) -> None:
    for path in real_speech():
        samples = audio.load(path)
        quiet = samples * 10 ** (peak / 20) / np.abs(samples).max()
        in_16_bits = np.round(quiet * 32768) / 32768
        assert not is_silent(in_16_bits, RATE), path
        noisy = in_16_bits + noise(len(samples) / RATE, 20 * np.log10(quiet.std()) - 10)
        assert not is_silent(noisy, RATE), path


def test_another_rate_is_resampled(recognizer: Recognizer, tmp_path: Path) -> None:
    sound = tone(1, -20) + noise(1, -45)
    twice = audio.resample(sound, RATE, 2 * RATE)
    heard = recognizer(twice, sample_rate=2 * RATE)
    assert heard == recognizer(twice, sample_rate=np.int64(2 * RATE))
    soundfile.write(tmp_path / "twice.wav", twice, 2 * RATE, subtype="FLOAT")
    assert heard == recognizer(tmp_path / "twice.wav")
    again = audio.resample(twice, 2 * RATE, RATE)
    assert heard == recognizer(again) == recognizer(again, sample_rate=RATE)


SOUND = tone(0.5, -20)
BROKEN = np.where(np.arange(8000) == 800, np.nan, SOUND)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"audio": "gone.wav"}, r"gone.wav: no such audio file; correct its path \(a relative one"),
        ({"audio": (SOUND * 32767).astype(np.int16)}, r"found int16 \(8000,\); .*samples / 32768"),
        (
            {"audio": SOUND[:, None]},
            r"of one channel, found float32 \(8000, 1\); .*samples\[:, 0\]",
        ),
        ({"audio": BROKEN}, "samples: holds a sample that is not a number.* at 0.050 s"),
        ({"audio": SOUND * 32768}, r"samples: holds a sample of .* divide 16-bit numbers by 32768"),
        ({"audio": list(SOUND)}, "path of a recording or a numpy array, found list"),
        ({"audio": torch.from_numpy(SOUND)}, "found Tensor; make an array of it"),
        ({"audio": SOUND[:100]}, "shorter than one frame"),
        ({"audio": SOUND[:0]}, "shorter than one frame"),
        ({"audio": SOUND, "sample_rate": 0}, "sample_rate is 0, expected Hz"),
        ({"audio": SOUND, "sample_rate": "16k"}, "sample_rate is '16k', expected Hz"),
        ({"audio": SOUND, "sample_rate": float("nan")}, "sample_rate is nan, expected Hz"),
        ({"audio": "gone.wav", "sample_rate": 16000}, "a file says its own"),
        ({"audio": SOUND, "channel": 0}, "channel is for files"),
        ({}, "either a recording or text"),
    ],
)
def test_what_is_no_recording_is_named(
    recognizer: Recognizer, given: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        recognizer(**given)
    assert "wav.scp" not in str(caught.value)


def test_one_of_several_channels(recognizer: Recognizer, tmp_path: Path) -> None:
    sounds = np.stack([noise(1, -20), noise(1, -20, seed=2)], axis=1)
    soundfile.write(tmp_path / "two.wav", sounds, RATE, subtype="FLOAT")
    with pytest.raises(InputError, match="has 2 channels, .*; choose one with channel="):
        recognizer(tmp_path / "two.wav")
    assert recognizer(tmp_path / "two.wav", channel=1) == recognizer(sounds[:, 1].copy())


def test_a_task_it_cannot_do_is_refused_before_anything_is_read() -> None:
    settings = replace(tiny.without_dropout(), text_encoder=None)
    tokenizer = tiny.make_tokenizer()
    model, units = build_model(settings, tokenizer)
    one = Recognizer(Packed(model, tokenizer, settings, units, None, set(), ("slu",)))
    for text in ("", "play"):
        with pytest.raises(InputError, match="task nlu needs a text encoder"):
            one(text=text)
