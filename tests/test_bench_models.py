"""The benchmark's tables of front ends and of trained models measure what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from atat.base.errors import InputError
from atat.datadir import kaldi_dir
from atat.datadir.kaldi_dir import Utterance
from atat.engine import model_folder
from atat.speech import audio
from atat.speech.frontend import Lfb
from atat.systems.joint.model import build_model
from atat.systems.joint.packed import Packed
from atat.systems.lugosch.model import Lugosch
from atat.systems.lugosch.packed import LugoschPacked
from atat.systems.lugosch.settings import INTENT
from atat.text.encoder_ids import build_encoder_ids
from atat.text.labels import Labels, fields_of

LOCAL = Path(__file__).parent.parent / "utils" / "bench"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    tokenizer = tiny.make_tokenizer()
    built, units = build_model(tiny.MODEL, tokenizer)
    source = build_encoder_ids(None, tokenizer)
    folder = tmp_path_factory.mktemp("bench") / "model"
    model_folder.save(
        folder, Packed(built, tokenizer, tiny.MODEL, units, source, set(), ("asr", "slu", "nlu"))
    )
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two recordings whose features, were they read, are not there."""
    utterances = []
    for number in range(2):
        path = tmp_path / f"{number}.wav"
        audio.save(path, np.sin(np.arange(16000, dtype=np.float32) / (9 + number)))
        one = {"feats": f"{tmp_path}/none.ark:1", "num_frames": 98, "duration": 1.0}
        said = {"text": "play the red song", "semantics": "[IN:PLAY play the red song ]"}
        utterances.append(
            Utterance(id=f"one-{number}", speaker="one", wav=str(path), **one, **said)
        )
    kaldi_dir.write(tmp_path / "data", utterances)
    return tmp_path / "data"


def test_models_are_measured_from_audio_and_after_a_recogniser(
    local: Any, monkeypatch, model: Path, data: Path
) -> None:
    rows = local("rows_devices")
    both = {"alone": rows.System(model), "two": rows.System(model, "nlu", recogniser="ours")}
    monkeypatch.setattr(rows, "_systems", lambda *_: both)
    table = rows.devices({"tiny": model}, data, 1, None, ["--max_length=5"])
    assert [row[0] for row in table.rows] == ["alone", "two"]
    for _, _, size, figure, seconds, memory in table.rows:
        assert float(size) == pytest.approx(
            (model / "model.safetensors").stat().st_size / 2**20, abs=0.06
        )
        assert figure.startswith("0.00 [") and seconds.endswith("s") and float(memory) > 50
    assert "2 recordings" in table.note and "--max_length=5" in table.note


def test_rows_are_precisions_and_recognisers(local: Any, monkeypatch, model, tmp_path) -> None:
    rows = local("rows_devices")
    monkeypatch.setattr(rows, "is_here", lambda name: False)
    found = rows._systems({"tiny": model}, tmp_path, False)
    assert list(found) == [
        "tiny, fp32",
        "tiny, int8",
        "tiny, its asr, then its nlu",
        "pocketsphinx, then nlu of tiny",
    ]
    monkeypatch.setattr(rows, "is_here", lambda name: True)
    more = rows._systems({"tiny": model}, tmp_path, True)
    assert set(more) - set(found) == {"tiny, bf16", "Moonshine's recogniser, then nlu of tiny"}
    # Eight bits are smaller than 32, and a recogniser is not for nothing.
    size = {row: rows._size(system) for row, system in found.items()}
    assert size["tiny, int8"] < size["tiny, fp32"] < size["pocketsphinx, then nlu of tiny"]


def test_a_model_of_another_system_has_the_rows_of_its_tasks(
    local: Any, monkeypatch, tmp_path: Path, data: Path
) -> None:
    """A classifier hears and does nothing else; it is decoded with its own task."""
    rows = local("rows_devices")
    fields = fields_of(["[IN:PLAY [SL:SONG red ] ]", "[IN:STOP ]"])
    labels = Labels(fields=fields)
    packed = LugoschPacked(Lugosch(labels), (INTENT,), labels=labels)
    model_folder.save(tmp_path / "model", packed)
    found = rows._systems({"classifier": tmp_path / "model"}, tmp_path, False)
    assert list(found) == ["classifier, fp32", "classifier, int8"]
    sizes = {sum(one.numel() for one in packed.model.parameters())}
    assert {(one.task, one.parameters) for one in found.values()} == {(INTENT, *sizes)}
    table = rows.devices({"classifier": tmp_path / "model"}, data, 1)
    assert [row[0] for row in table.rows] == list(found)
    assert all(row[3].startswith(("0.00 [", "100.00 [")) for row in table.rows)


def test_the_table_of_models_can_be_measured_alone(
    local: Any, monkeypatch, model: Path, data: Path, tmp_path: Path
) -> None:
    run, table = local("run"), local("table")
    alone = table.Table("On one core", "note", ["", "x"], [["tiny", "1"]])
    monkeypatch.setattr(run.rows_devices, "devices", lambda *_: alone)
    monkeypatch.setattr(run, "ROWS", {})
    arguments = ["--model", f"tiny={model}", "--data", str(data), "--cost", str(tmp_path / "c.md")]
    monkeypatch.setattr("sys.argv", ["run.py", *arguments])
    run.main()
    assert (tmp_path / "c.md").read_text() == alone.text()


def test_a_classifier_that_is_exported_in_floats_alone_has_that_row(
    local: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    rows = local("rows_runtime")

    def export(model: Path, out: Path, weights: str) -> None:
        if weights == "int8":
            raise InputError("32 bits alone")

    monkeypatch.setattr(rows.export, "export", export)
    monkeypatch.setattr(rows.transcribe, "search_of", lambda *_: {})
    found = rows._systems({"one": model}, tmp_path, None, {})
    assert "one, atat.runtime, fp32" in found and "one, atat.runtime, int8" not in found


def test_rows_that_the_device_has_not_are_named(local: Any, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # where the page would be written
    monkeypatch.setattr("sys.argv", ["run.py", "--device", "cuda", "--rows", "lfb"])
    with pytest.raises(InputError, match="--rows lfb: unknown on cuda; there are training, sea"):
        local("run").main()


def test_what_fails_says_why(local: Any, model: Path, data: Path, tmp_path: Path) -> None:
    rows = local("rows_devices")
    broken = rows.System(tmp_path / "none")
    with pytest.raises(RuntimeError, match="no such|not a packed model|expected"):
        rows._decode(broken, data, tmp_path / "out", None, [])


def test_every_process_has_its_share_of_the_recordings(local: Any, monkeypatch) -> None:
    work, inputs = local("work"), local("inputs")
    short = [np.zeros(length, np.float32) for length in (4000, 1600, 8000)]
    monkeypatch.setattr(inputs, "recordings", lambda: short)
    threads = torch.get_num_threads()
    try:
        alone = work.frames("cpu", "", 1)()
        shared = sum(work.frames("cpu", "", 1, part, 2)() for part in (0, 1))
    finally:
        torch.set_num_threads(threads)
    assert alone == shared == sum(Lfb().num_frames(len(samples)) for samples in short)


def test_front_ends_that_are_not_here_are_named(local: Any, monkeypatch) -> None:
    rows, clock = local("rows_encoders"), local("clock")
    monkeypatch.setattr(rows, "is_here", lambda name: False)
    monkeypatch.setattr(rows.os, "sched_getaffinity", lambda _: {0})
    table = rows.encoders(clock.Rounds(1, 0.1), torch.device("cpu"))
    assert [row[0] for row in table.rows] == [rows.BASELINE]
    assert "moonshine-tiny, which is not here (atat encoder get moonshine-tiny)" in table.note
    assert float(table.rows[0][3]) > 1


@pytest.mark.parametrize("argument", ["model", "lfb=nowhere"])
def test_models_have_names(local: Any, argument: str) -> None:
    with pytest.raises(InputError, match="expected NAME=MODEL"):
        local("run")._named(argument)


def test_a_program_on_a_device_is_looked_at_from_outside(
    local: Any, monkeypatch, model: Path, data: Path
) -> None:
    rows = local("rows_runtime")
    system = rows.System("torch", str(model), {"max_length": 5})
    monkeypatch.setattr(rows, "_systems", lambda *_: {"in torch": system})
    table = rows.runtime({"tiny": model}, data, 1)
    (row,) = table.rows
    assert row[0] == "in torch" and len(row) == len(table.header)
    installed, size, right, first, waited, memory, speed = row[1:]
    assert float(size) == pytest.approx(rows._files(model), abs=0.06)
    assert float(installed) > rows._installed(["torch"]) > rows._installed(["numpy"]) > 1
    assert right == "0.00" and float(memory) > 50
    assert all(text.endswith("s") for text in (first, waited, speed))
    assert "2 recordings" in table.note


def test_what_fails_on_a_device_says_why(local: Any, tmp_path: Path) -> None:
    rows = local("rows_runtime")
    with pytest.raises(RuntimeError, match="not an exported model"):
        rows._run(rows.System("runtime", str(tmp_path), {}), [tmp_path / "a.wav"])
