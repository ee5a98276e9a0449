"""Laws of the trained model as a function: what it is given, and what it makes of nothing."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tiny
import torch

from atat.apps.recognizer import Recognizer
from atat.base import checksums
from atat.base.calibration import Calibration, Fitted
from atat.base.errors import InputError
from atat.engine import model_folder, named_model
from atat.nn.beam_search import SearchOptions
from atat.speech import audio
from atat.speech.silence import is_silent, onset
from atat.systems.joint import recognizer as joint
from atat.systems.joint.model import Atat, build_model
from atat.systems.joint.packed import Packed
from atat.text.constraint import pairs_of
from atat.text.encoder_ids import build_encoder_ids
from atat.text.search_options import USUAL
from atat.text.tasks import TASKS
from atat.text.trees import parse

RATE = 16000


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    """An untrained model, which makes something of everything."""
    torch.manual_seed(1)
    settings, tokenizer = tiny.without_dropout(), tiny.make_tokenizer()
    model, units = build_model(settings, tokenizer)
    source = build_encoder_ids(settings.text_encoder.bert_or_none, tokenizer)
    pairs = pairs_of(parse("[IN:PLAY [SL:THING lamp ] ]"))
    return of(
        Packed(model.eval(), tokenizer, settings, units, source, pairs, ("slu", "nlu", "asr"))
    )


def of(packed: Packed, **options: Any) -> Recognizer:
    """What `Recognizer.load` makes of a folder."""
    return Recognizer(joint.Recognizer(packed, precision="fp32"), TASKS, **options)


def test_options_of_a_search_and_nbest_go_together() -> None:
    """An n-best list of its own wins over that of the options."""
    from atat.nn.beam_search import SearchOptions

    model = Recognizer.load("demo:music", options=SearchOptions(beam=3), nbest=2)
    assert len(model(text="play silver river").nbest) == 2


def test_the_task_that_fills_in_what_is_masked_answers_nothing(recognizer: Recognizer) -> None:
    with pytest.raises(InputError, match="task mlm fills in .*; the model's tasks: asr, slu, nlu"):
        recognizer.task_for("audio", "mlm")


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
    one = of(recognizer.packed, nbest=1)(noise(1, -20))
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


@pytest.mark.parametrize("background", [None, -60, -45])
def test_the_first_sound_begins_where_it_does(background: int | None) -> None:
    def behind(seconds: float) -> np.ndarray:
        sound = np.concatenate([np.zeros(round(seconds * RATE), np.float32), tone(1, -20)])
        return sound if background is None else sound + noise(len(sound) / RATE, background)

    for seconds in (0.0, 0.2, 1.5):
        assert onset(behind(seconds), RATE) == pytest.approx(seconds, abs=0.02)
    assert onset(np.zeros(RATE, np.float32), RATE) == onset(np.zeros(3, np.float32), RATE) == 0


def test_silence_in_front_is_no_part_of_the_first_word() -> None:
    model = Recognizer.load("demo:music")
    samples = audio.load(named_model.example())
    silence = np.zeros(RATE // 5, np.float32)
    at_once, later = model(samples), model(np.concatenate([silence, samples]))
    first, second = at_once.words[0].seconds, later.words[0].seconds
    assert at_once.transcript == later.transcript and first is not None and second is not None
    assert second[0] - first[0] == pytest.approx(0.2, abs=0.02)


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
STEREO = np.stack([SOUND, -SOUND], axis=1)
BROKEN = np.where(np.arange(8000) == 800, np.nan, SOUND)


@pytest.mark.parametrize(
    ("kind", "zero", "full"), [("int16", 0, 2**15), ("int32", 0, 2**31), ("uint8", 128, 2**7)]
)
def test_integers_with_their_rate_are_the_same_recording(
    recognizer: Recognizer, kind: str, zero: int, full: int
) -> None:
    numbers = np.round(SOUND.astype(np.float64) * full + zero).astype(kind)
    floats = ((numbers.astype(np.float64) - zero) / full).astype(np.float32)
    assert recognizer(numbers, rate=RATE) == recognizer(floats)
    with pytest.raises(InputError, match=rf"without a rate \(found {kind}.*rate=44100"):
        recognizer(numbers)


def test_the_bytes_of_a_file_are_its_recording(recognizer: Recognizer, tmp_path: Path) -> None:
    audio.save(tmp_path / "a.wav", SOUND)
    content = (tmp_path / "a.wav").read_bytes()
    assert recognizer(content) == recognizer(tmp_path / "a.wav")
    with pytest.raises(InputError, match="the recording: cannot be read as audio"):
        recognizer(b"no audio" * 100)
    with pytest.raises(InputError, match="the recording: is empty"):
        recognizer(b"")


def test_one_of_the_channels_of_an_array(recognizer: Recognizer) -> None:
    assert recognizer(STEREO, channel=1) == recognizer(-SOUND)
    assert recognizer(SOUND[:, None]) == recognizer(SOUND)
    for given, channel, message in (
        (STEREO, None, "2 channels; choose one, channel=0"),
        (STEREO, 2, "no channel 2, .*: they are 0 to 1"),
        (SOUND, 1, "no channel 1, .* has one"),
        (STEREO.T, 0, "turn it: samples.T"),
        (STEREO[None], 0, r"expected samples \(T,\) or \(T, channels\)"),
    ):
        with pytest.raises(InputError, match=message):
            recognizer(given, channel=channel)


def test_a_call_uses_its_own_number_of_threads_and_no_answer_depends_on_it(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen, ask = torch.get_num_threads(), [], Recognizer._ask

    def asked(self: Recognizer, *given: Any) -> Any:
        seen.append(torch.get_num_threads())
        return ask(self, *given)

    monkeypatch.setattr(Recognizer, "_ask", asked)
    given = noise(1.5, -20)
    found = recognizer(given, rate=RATE)
    more = of(recognizer.packed, threads=before + 1)(given, rate=RATE)
    assert seen == [1, before + 1] and torch.get_num_threads() == before
    assert more.tree == found.tree and more.transcript == found.transcript
    with pytest.raises(InputError, match="threads is 0"):
        of(recognizer.packed, threads=0)


def test_what_is_longer_than_the_limit_is_refused_before_it_is_read(
    recognizer: Recognizer, tmp_path: Path
) -> None:
    audio.save(tmp_path / "long.wav", np.zeros(RATE * 61, np.float32))
    for given in (tmp_path / "long.wav", np.zeros(RATE * 61, np.float32)):
        with pytest.raises(InputError, match="lasts 61 s, up to 60 s.*cut it at its pauses"):
            recognizer(given)
    assert of(recognizer.packed, longest=0)(tmp_path / "long.wav").cause == "silence"


def test_a_batch_is_what_its_parts_are(recognizer: Recognizer, tmp_path: Path) -> None:
    audio.save(tmp_path / "a.wav", SOUND)
    given = [noise(2, -20), tmp_path / "a.wav", np.zeros(RATE, np.float32), noise(1, -25, 3)]
    together, alone = recognizer.batch(given), [recognizer(one) for one in given]
    assert [one.cause for one in together] == [one.cause for one in alone]
    assert together[2].cause == "silence" and [one.text for one in together] == [
        one.text for one in alone
    ]
    for one, other in zip(together, alone):
        assert one.score == pytest.approx(other.score, abs=1e-4)
        assert one.words == other.words and one.duration == other.duration
    texts = ["play the red lamp", "", "stop"]
    assert [one.text for one in recognizer.batch(texts=texts)] == [
        recognizer(text=text).text for text in texts
    ]
    assert recognizer.batch([]) == []
    with pytest.raises(InputError, match="recording 1 of the batch: .*found float32"):
        recognizer.batch([SOUND, STEREO])


def test_recordings_have_a_transcript_with_times_within_them(recognizer: Recognizer) -> None:
    found = recognizer(noise(1, -20))
    assert found.transcript == recognizer(noise(1, -20), task="asr").text
    assert found.transcript == " ".join(one.word for one in found.words)
    spans = [one.seconds for one in found.words if one.seconds]
    assert all(0 <= start <= end <= 1.1 for start, end in spans)
    without = of(recognizer.packed, transcribe=False)(noise(1, -20))
    assert without.transcript is None and without.nbest == found.nbest


def test_confidence_and_threshold_are_those_of_the_calibration(recognizer: Recognizer) -> None:
    sure = {"slu": Fitted({"token": 0.0}, bias=2.0, threshold=0.9)}
    calibrated = Recognizer(recognizer.engine, TASKS, calibration=Calibration({}, sure))
    found = calibrated(noise(1, -20))
    assert found.confidence == pytest.approx(1 / (1 + np.exp(-2.0))) and found.threshold == 0.9
    assert not found.understood and found.reason
    assert calibrated(text="play").confidence is None  # nlu was not calibrated
    calibrated.threshold = 0.0
    assert calibrated(noise(1, -20)).cause != "unsure"
    with pytest.raises(InputError, match="threshold is 2; expected a confidence"):
        Recognizer(recognizer.engine, TASKS, threshold=2)


def test_the_search_is_that_of_the_calibration_and_another_one_has_no_confidence(
    recognizer: Recognizer, tmp_path: Path
) -> None:
    model_folder.save(tmp_path / "model", recognizer.packed)
    fitted = {"slu": Fitted({"token": 0.0}, bias=2.0, threshold=0.9)}
    Calibration({"beam": 2, "well_formed": True}, fitted).write(tmp_path / "model")
    checksums.write(tmp_path / "model")
    one = Recognizer.load(tmp_path / "model", precision="fp32")
    found = one(noise(1, -20))
    assert found.confidence is not None and found.tree is not None and len(found.nbest) <= 2
    for options in ({"beam": 3}, {"options": SearchOptions(beam=3, nbest=1)}):
        other = Recognizer.load(tmp_path / "model", **options)(noise(1, -20))
        assert other.confidence is None and other.threshold is None
    assert Recognizer.load(tmp_path / "model", beam=2)(noise(1, -20)).confidence is not None


@pytest.mark.parametrize(
    ("given", "valid"),
    [
        ({"options": SearchOptions(beam=2)}, True),
        ({"options": SearchOptions(beam=2, nbest=2), "precision": "fp32", "bridge": 0}, True),
        ({"options": SearchOptions(beam=2, length_exponent=0.5)}, False),
        ({"any_pair": False, "values": None}, True),
        ({"values": {}}, True),
        ({"any_pair": True}, False),
        ({"values": {"SL:SONG": ["silver river"]}}, False),
        ({"ctc_weight": 0.3}, False),
        ({"max_length": 20}, False),
    ],
)
def test_what_a_calibration_does_not_name_was_as_usual(given: dict[str, Any], valid: bool) -> None:
    calibration = Calibration({"beam": 2, "well_formed": True}, {})
    if (options := given.pop("options", None)) is not None:
        given = {**asdict(options), **given}
    search, found = calibration.for_search(given, USUAL)
    assert (found is calibration) == valid and search == {**calibration.search, **given}
    assert Calibration({"bridge": 0.5}, {}).for_search({"bridge": 0.0}, USUAL)[1] is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"recording": "gone.wav"},
            r"gone.wav: no such audio file; correct its path \(a relative one",
        ),
        ({"recording": SOUND.astype(np.int64)}, r"found int64 \(8000,\); convert them"),
        ({"recording": SOUND > 0}, r"found bool"),
        ({"recording": BROKEN}, "samples: holds a sample that is not a number.* at 0.050 s"),
        (
            {"recording": SOUND * 32768},
            r"samples: holds a sample of .* divide 16-bit numbers by 32768",
        ),
        ({"recording": list(SOUND)}, "a recording, its bytes or a numpy array, found list"),
        ({"recording": torch.from_numpy(SOUND)}, "found Tensor; make an array of it"),
        (
            {"recording": SOUND[:100]},
            "^the recording is shorter than one frame .*; record it again",
        ),
        ({"recording": SOUND[:0]}, "shorter than one frame"),
        ({"recording": SOUND, "rate": 0}, "rate is 0, expected Hz"),
        ({"recording": SOUND, "sample_rate": "16k"}, "rate is '16k', expected Hz"),
        ({"recording": SOUND, "rate": float("nan")}, "rate is nan, expected Hz"),
        ({"recording": "gone.wav", "sample_rate": 16000}, "a file says its own"),
        ({}, "either a recording or text"),
    ],
)
def test_what_is_no_recording_is_named(
    recognizer: Recognizer, given: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        recognizer(**given)
    assert "wav.scp" not in str(caught.value)


def test_a_recording_that_is_too_short_is_named(recognizer: Recognizer, tmp_path: Path) -> None:
    audio.save(tmp_path / "short.wav", SOUND[:100])
    with pytest.raises(InputError, match="short.wav: the recording is shorter than one frame"):
        recognizer(tmp_path / "short.wav")


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
    one = of(Packed(model, tokenizer, settings, units, None, set(), ("slu",)))
    for text in ("", "play"):
        with pytest.raises(InputError, match="task nlu needs a text encoder"):
            one(text=text)


def test_a_limit_that_no_tree_keeps_is_refused_the_smallest_gives_one(
    recognizer: Recognizer,
) -> None:
    how: dict[str, Any] = {"well_formed": True, "any_pair": True}
    with pytest.raises(InputError, match="max_length is 2; expected at least 3"):
        joint.Recognizer(recognizer.packed, options=SearchOptions(max_length=2), **how)
    one = joint.Recognizer(recognizer.packed, options=SearchOptions(max_length=3), **how)
    [found] = one.recognize([one.text_source("play")], "nlu")
    assert found.tree is not None and not found.tree.children


class Apart:
    """An engine that encodes for each search anew: it has only what every system has."""

    def __init__(self, engine: joint.Recognizer) -> None:
        self.packed, self.precision, self.resolved = engine.packed, engine.precision, None
        self.check_task, self.source = engine.check_task, engine.source
        self.measure, self.read, self.check = engine.measure, engine.read, engine.check
        self.hypotheses = engine.hypotheses


def test_a_recording_is_encoded_once_and_understood_as_when_it_is_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded: list[int] = []
    encode = Atat.encode

    def counted(self: Atat, audio: bool, source: torch.Tensor, lengths: torch.Tensor) -> Any:
        encoded.append(len(source))
        return encode(self, audio, source, lengths)

    monkeypatch.setattr(Atat, "encode", counted)
    once = Recognizer.load(named_model.demo(), precision="fp32")  # its words have times
    apart = Recognizer(Apart(once.engine), once.tasks, calibration=once.calibration)
    order = audio.load(named_model.example())
    for task, times in (("slu", 3), ("asr", 2)):
        found = once(order, task=task)
        assert encoded == [1] and found.words[-1].seconds
        assert apart(order, task=task) == found
        assert encoded == [1] + [1] * times
        encoded.clear()
    orders = [order, order[:20000], order[8000:], order[:-4000]]
    assert once.batch(orders) == apart.batch(orders)
    assert encoded == [4] * 4
