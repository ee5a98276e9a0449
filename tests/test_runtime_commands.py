"""An exported classifier of commands answers as the model does in torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from echo import tone

from atat import Recognizer as WithTorch
from atat.base.errors import InputError
from atat.engine import export, model_folder, onnx_graph
from atat.nn.command_graph import CommandGraph
from atat.runtime import Recognizer
from atat.runtime.description import Description
from atat.speech import audio
from atat.systems.distill.packed import StudentPacked
from atat.systems.distill.student import Student
from atat.systems.distill.system import system as distill
from atat.systems.lugosch.model import Lugosch
from atat.systems.lugosch.packed import LugoschPacked
from atat.systems.lugosch.system import system as lugosch
from atat.text.labels import EMPTY, Labels

for needed in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)

FIELDS = {
    "IN": ("DOWN", "OFF", "ON", "UP"),
    "OBJECT": ("", "heat", "lamp", "music", "radio"),
    "PLACE": ("", "hall", "kitchen"),
}
# Of many lengths; the shortest has less than a frame of each layer.
SOUNDS = [
    tone(80 * 1.4**number, 0.02 + 0.13 * number, noise=0.03 * (number % 4), seed=number)
    for number in range(12)
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with random weights that answers loudly."""
    torch.manual_seed(3)
    labels = Labels(fields=FIELDS)
    made = Lugosch(labels).eval()
    with torch.no_grad():
        for name, one in made.named_parameters():
            if "gru.weight" in name:
                one.mul_(3)
    assert made.intent is not None
    torch.nn.init.normal_(made.intent.head.weight, std=1.0)
    folder = tmp_path_factory.mktemp("commands") / "model"
    model_folder.save(folder, LugoschPacked(made, ("intent",), labels=labels))
    return folder


@pytest.fixture(scope="module")
def device(model: Path) -> Path:
    """The exported model."""
    out = model.parent / "device"
    export.main([str(model), "--onnx", "--out", str(out)])
    return out


def test_commands_are_those_of_torch(model: Path, device: Path) -> None:
    wanted, found = WithTorch.load(model), Recognizer.load(device)
    commands = set()
    for sound in SOUNDS:
        one, other = wanted(sound), found(sound)
        assert (other.text, other.intent, other.slots) == (one.text, one.intent, one.slots)
        assert np.isclose(other.nbest[0].score, one.nbest[0].score, atol=1e-4)
        assert (other.task, other.duration, other.spans) == ("intent", one.duration, one.spans)
        commands.add(one.text)
    assert len(commands) > 3, "as many as tell a right graph from a wrong one"
    assert found(np.zeros(8000, np.float32)).cause == "silence"


@pytest.mark.parametrize("student", [False, True], ids=["lugosch", "distill"])
def test_what_becomes_a_graph_says_what_the_model_says(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, student: bool
) -> None:
    packed: Any = model_folder.load_as(LugoschPacked, model)
    network, system = packed.model, lugosch
    if student:
        system, taught = distill, Student(packed.labels).eval()
        taught.load_state_dict(network.state_dict())
        packed = StudentPacked(taught, ("intent",), labels=packed.labels)
    written: list[CommandGraph] = []
    monkeypatch.setattr(onnx_graph, "write", lambda module, *_, **__: written.append(module))
    system.export(packed, tmp_path, "float32")  # type: ignore[attr-defined]
    assert Description.read(tmp_path).classes and Labels.read(tmp_path) == packed.labels
    graph = written[0].eval()
    for sound in SOUNDS[::3]:
        samples = torch.from_numpy(sound)[None]
        with torch.inference_mode():
            logits = network.commands(samples, torch.tensor([len(sound)]))
            wanted = torch.cat([one.log_softmax(1) for one in logits], 1)
            torch.testing.assert_close(graph(samples), wanted, rtol=1e-5, atol=1e-5)


def test_a_process_without_torch_answers(device: Path, tmp_path: Path) -> None:
    audio.save(tmp_path / "a.wav", SOUNDS[8])
    code = "import sys; sys.modules['torch'] = None; from atat.runtime.__main__ import main; main()"
    line = [sys.executable, "-c", code, str(device), str(tmp_path / "a.wav")]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    wav = str(tmp_path / "a.wav")
    assert {"recording": wav, **Recognizer.load(device)(wav).to_dict()} == json.loads(said)


def test_what_it_cannot_do_is_refused(model: Path, device: Path, tmp_path: Path) -> None:
    found = Recognizer.load(device)
    with pytest.raises(InputError, match="reads no text"):
        found(text="lamp on")
    with pytest.raises(InputError, match="task asr: this model was trained on intent"):
        found(SOUNDS[8], task="asr")
    with pytest.raises(InputError, match="without --int8"):
        export.main([str(model), "--onnx", "--int8", "--out", str(tmp_path / "small")])
    labels = Labels(words=(EMPTY, "lamp"))
    frames = LugoschPacked(Lugosch(labels), ("frames",), labels=labels)
    with pytest.raises(InputError, match="finetuned on intents"):
        lugosch.export(frames, tmp_path, "float32")  # type: ignore[attr-defined]
    assert not any(tmp_path.iterdir())
