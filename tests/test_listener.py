"""Laws of streams: what is said is found whatever the chunks, and answered when it has ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import echo
import numpy as np
import pytest

from atat.apps.listener import Listener
from atat.apps.recognizer import Recognizer
from atat.base.errors import InputError
from atat.speech.endpoint import BLOCK, Endpoints, EnergyDetector, Segmenter, SileroDetector
from atat.text.tasks import Task

RATE = 16000


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(echo.EchoRecognizer(echo.packed()), echo.Echo.tasks)


def quiet(seconds: float, level: float = 1e-4) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (level * rng.standard_normal(round(seconds * RATE))).astype(np.float32)


def stream(level: float = 1e-4) -> np.ndarray:
    """Two tones in silence, with a short pause within the first and a click before the second."""
    click = quiet(0.5, level)
    click[4000:4160] += 0.5
    parts = [echo.tone(2000, 0.5), quiet(0.3, level), echo.tone(2000, 0.4)]
    return np.concatenate(
        [quiet(1, level), *parts, quiet(1.2, level), click, echo.tone(300, 0.6), quiet(1, level)]
    )


def heard(recognizer: Recognizer, samples: np.ndarray, size: int, **more: Any) -> list[Any]:
    listener = recognizer.listen(**more)
    found = []
    for start in range(0, len(samples), size):
        found += listener.feed(samples[start : start + size])
    return [*found, *listener.finish()]


@pytest.mark.parametrize("level", [1e-5, 1e-3])
def test_utterances_are_found_between_silences(recognizer: Recognizer, level: float) -> None:
    found = heard(recognizer, stream(level), 1600)
    assert [one.intent for one in found] == ["HIGH", "LOW"]
    assert found[0].duration == pytest.approx(0.3 + 1.2 + 0.3, abs=0.25)
    assert found[1].duration == pytest.approx(0.3 + 0.6 + 0.3, abs=0.25)


def test_chunks_of_any_size_give_the_same_answers(recognizer: Recognizer) -> None:
    whole = heard(recognizer, stream(), 10**9)
    assert len(whole) == 2
    for size in (100, 511, 4096):
        assert heard(recognizer, stream(), size) == whole


def test_another_rate_and_integers_are_the_same_stream(recognizer: Recognizer) -> None:
    from atat.speech import audio

    twice = audio.resample(stream(), RATE, 2 * RATE)
    numbers = np.clip(np.round(twice * 32768), -32768, 32767).astype(np.int16)
    for given in (twice, numbers, np.stack([numbers * 0, numbers], 1)):
        listener = recognizer.listen(rate=2 * RATE)
        found = []
        for start in range(0, len(given), 999):
            channel = 1 if given.ndim == 2 else None
            found += listener.feed(given[start : start + 999], channel=channel)
        found += listener.finish()
        assert [one.intent for one in found] == ["HIGH", "LOW"]


def test_what_is_being_said_at_the_end_is_answered_by_finish(recognizer: Recognizer) -> None:
    listener = recognizer.listen()
    assert listener.feed(np.concatenate([quiet(0.5), echo.tone(2000, 0.7)])) == []
    assert listener.speaking
    (found,) = listener.finish()
    assert found.intent == "HIGH" and not listener.speaking and listener.finish() == []
    assert [one.intent for one in heard(recognizer, stream(), 1600)] == ["HIGH", "LOW"]


def test_after_finish_nothing_of_before_is_heard(recognizer: Recognizer) -> None:
    given: list[np.ndarray] = []
    listener = Listener(given.append)  # type: ignore[arg-type]
    listener.feed(np.full(8 * BLOCK, 2e-3, np.float32))  # what is kept before an utterance
    listener.finish()
    listener.feed(np.concatenate([quiet(0.1), echo.tone(2000, 0.7)]))
    listener.finish()
    assert len(given) == 1 and np.abs(given[0][:1500]).max() < 1e-3


def test_an_answer_that_fails_loses_no_other(recognizer: Recognizer) -> None:
    asked = []

    def answer(samples: np.ndarray) -> Any:
        asked.append(len(samples))
        if len(asked) == 2:
            raise InputError("the second")
        return len(asked)

    one = stream()
    listener = Listener(answer)
    with pytest.raises(InputError, match="the second"):
        listener.feed(np.concatenate([one, one]))
    assert [*listener.feed(quiet(0)), *listener.finish()] == [1, 3, 4]


def test_speech_without_an_end_is_ended(recognizer: Recognizer) -> None:
    found = heard(recognizer, np.concatenate([quiet(1), echo.tone(2000, 5)]), 1600, longest=2.0)
    assert len(found) == 3 and found[0].duration == pytest.approx(2.0, abs=0.05)


def test_a_fan_that_was_switched_on_is_background_after_a_while() -> None:
    detector = EnergyDetector()
    blocks = quiet(20, 0.02)[: 600 * BLOCK].reshape(-1, BLOCK)
    for block in quiet(1)[: 30 * BLOCK].reshape(-1, BLOCK):
        assert not detector.is_speech(block)
    said = [detector.is_speech(block) for block in blocks]
    assert said[0] and not any(said[-60:])


def test_an_utterance_has_a_margin_and_no_more() -> None:
    class Told:
        """Blocks that are not zero are speech."""

        def is_speech(self, block: np.ndarray) -> bool:
            return bool(block.any())

    segmenter = Segmenter(Told(), Endpoints(least=0.1, pause=0.5, before=0.2, after=0.1))
    flags = [0] * 40 + [1] * 20 + [0] * 40
    found = [segmenter.feed(np.full(BLOCK, flag, np.float32)) for flag in flags]
    (speech,) = [one for one in found if one is not None]
    blocks = speech.reshape(-1, BLOCK)[:, 0]
    assert list(blocks).count(1) == 20
    assert np.flatnonzero(blocks)[0] == pytest.approx(0.2 / 0.032, abs=1)
    assert len(blocks) - np.flatnonzero(blocks)[-1] - 1 == pytest.approx(0.1 / 0.032, abs=1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pause": -1}, "pause is -1; expected seconds"),
        ({"after": 2.0}, r"after \(2.0\) is more than pause"),
        ({"silence": 1}, "silence.*expected least, pause, before, after, longest"),
        ({"rate": 3}, "rate is 3, expected Hz"),
        ({"vad": "gone.onnx"}, "gone.onnx: no such file; expected silero-vad's network"),
        ({"task": "read"}, "task read reads text, not audio"),
    ],
)
def test_mistakes_are_sentences(
    recognizer: Recognizer, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        recognizer.listen(**given)


def test_what_is_no_network_of_silero_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "torn.onnx").write_bytes(b"no network")
    with pytest.raises(InputError, match="torn.onnx: cannot be read as ONNX"):
        SileroDetector(tmp_path / "torn.onnx")


def vad(path: Path, version: int) -> Path:
    """A network with silero-vad's inputs, to which loud blocks are speech; its state counts."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto
    names = {"state": [2, 1, 128]} if version == 5 else {"h": [2, 1, 64], "c": [2, 1, 64]}
    first = next(iter(names))
    nodes = [
        helper.make_node("ReduceMax", ["input"], ["peak"], keepdims=1),
        helper.make_node("Add", [first, "one"], ["next"]),
        *[helper.make_node("Identity", [name], [f"{name}N"]) for name in list(names)[1:]],
    ]
    graph = helper.make_graph(
        nodes,
        "vad",
        [
            helper.make_tensor_value_info("input", kind.FLOAT, [None, None]),
            helper.make_tensor_value_info("sr", kind.INT64, []),
            *[helper.make_tensor_value_info(n, kind.FLOAT, shape) for n, shape in names.items()],
        ],
        [
            helper.make_tensor_value_info("peak", kind.FLOAT, [None, None]),
            helper.make_tensor_value_info("next", kind.FLOAT, names[first]),
            *[
                helper.make_tensor_value_info(f"{n}N", kind.FLOAT, names[n])
                for n in list(names)[1:]
            ],
        ],
        [helper.make_tensor("one", kind.FLOAT, [], [1.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("version", [4, 5])
def test_both_kinds_of_silero_networks_are_run_with_their_states(
    tmp_path: Path, version: int
) -> None:
    detector = SileroDetector(vad(tmp_path / "vad.onnx", version))
    said = [detector.is_speech(np.full(BLOCK, level, np.float32)) for level in (0.1, 0.9, 0.2, 0.1)]
    # The network of version 5 also sees the end of the block before.
    assert said == [False, True, version == 5, False]
    assert all(float(state.max()) >= 4 for state in list(detector._states.values())[:1])


def test_the_tasks_of_a_stream_may_be_chosen(recognizer: Recognizer) -> None:
    found = heard(recognizer, stream(), 1600, task="write")
    assert [one.text for one in found] == ["beep", "hum"]
    assert isinstance(recognizer.tasks["write"], Task)
