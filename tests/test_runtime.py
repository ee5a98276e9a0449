"""An exported model hears, searches and answers as the model does in torch, and needs no torch."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from atat import Recognizer as WithTorch
from atat.base import checksums, encoder_files
from atat.base.calibration import Calibration, Fitted
from atat.base.errors import InputError
from atat.engine import export, model_folder, quantize
from atat.engine.model_folder import load
from atat.nn import int8
from atat.nn.beam_search import beam_search as search_with_torch
from atat.nn.bridge import heard as heard_with_torch
from atat.nn.settings import AudioEncoderSettings, BridgeSettings, CtcSettings
from atat.runtime import Recognizer, description
from atat.runtime import __main__ as runtime
from atat.runtime.graphs import Graphs
from atat.runtime.heard import heard
from atat.runtime.search import Mixed, beam_search
from atat.speech import audio, frontend
from atat.speech.frontend import Lfb
from atat.systems.joint.export import describe
from atat.systems.joint.model import build_model
from atat.systems.joint.packed import Packed
from atat.systems.joint.settings import ModelSettings
from atat.text.constraint import ROOT, TreeConstraint
from atat.text.encoder_ids import build_encoder_ids
from atat.text.search_options import SearchOptions

onnx = pytest.importorskip("onnx")
for needed in ("onnxscript", "onnxruntime"):
    pytest.importorskip(needed)

PAIRS = {(ROOT, "IN:PLAY"), (ROOT, "IN:STOP"), ("IN:PLAY", "SL:THING"), ("IN:STOP", "SL:THING")}
TASKS = ("asr", "slu", "nlu")
EOS = 1


def bridged() -> ModelSettings:
    """The tiny model with a bridge."""
    settings = tiny.without_dropout()
    assert settings.text_encoder is not None
    return replace(
        settings,
        text_encoder=replace(settings.text_encoder, units="characters"),
        ctc=CtcSettings(weight=0.3, units="characters"),
        bridge=BridgeSettings(0.5),
    )


def pack(folder: Path, settings: ModelSettings, **changes: Any) -> Path:
    """A packed model with random weights."""
    torch.manual_seed(0)
    tokenizer = tiny.make_tokenizer()
    model, units = build_model(settings, tokenizer)
    model.cmvn.mean.normal_()
    if model.ctc is not None:  # a head that hears something
        torch.nn.init.normal_(model.ctc.output.weight, std=0.5)
    text = settings.text_encoder
    source = None if text is None else build_encoder_ids(None, tokenizer, True, text.units)
    packed = Packed(model, tokenizer, settings, units, source, PAIRS, TASKS)
    model_folder.save(folder, replace(packed, **changes))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(tmp_path_factory.mktemp("runtime") / "model", bridged())


@pytest.fixture(scope="module")
def device(model: Path) -> Path:
    """The exported model."""
    out = model.parent / "device"
    export.main([str(model), "--onnx", "--out", str(out)])
    return out


@pytest.fixture(scope="module")
def packed(model: Path) -> Packed:
    found = load(model)
    assert isinstance(found, Packed)
    return found


@pytest.fixture(scope="module")
def graphs(device: Path) -> Graphs:
    return Graphs(device, description.Description.read(device))


def noise(seed: int, seconds: float = 1.0) -> np.ndarray:
    """Samples loud enough to be heard."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.1, int(seconds * audio.SAMPLE_RATE)).astype(np.float32)


# --- the graphs compute what the layers compute


@pytest.mark.parametrize("seed", range(4))
def test_states_of_recordings_are_those_of_torch_and_padding_changes_nothing(
    graphs: Graphs, packed: Packed, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 150, 3)
    frames = rng.normal(size=(3, lengths.max(), 16)).astype(np.float32)
    inputs = {"frames": frames, "lengths": lengths}
    memory, sizes, said = graphs._audio.run(None, inputs)
    with torch.inference_mode():
        wanted, wanted_sizes = packed.model.encode(True, *map(torch.from_numpy, inputs.values()))
        assert packed.model.ctc is not None
        wanted_said = packed.model.ctc.log_probs(wanted)
    assert sizes.tolist() == wanted_sizes.tolist()
    for row, size in enumerate(sizes):
        np.testing.assert_allclose(memory[row, :size], wanted[row, :size], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(said[row, :size], wanted_said[row, :size], rtol=1e-5, atol=1e-5)
        alone = graphs.audio(frames[row, : lengths[row]])
        np.testing.assert_allclose(alone[0], memory[row, :size], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("seed", "longest", "error"), [(0, 150, 1e-5), (1, 150, 1e-5), (2, 800, 3e-5)]
)
def test_states_of_texts_are_those_of_torch_and_padding_changes_nothing(
    graphs: Graphs, packed: Packed, seed: int, longest: int, error: float
) -> None:
    """The last is longer than torch's table of positions is at first."""
    rng = np.random.default_rng(seed)
    lengths = np.array([longest, rng.integers(1, longest)])
    ids = rng.integers(0, len(graphs.units), (2, lengths.max()))
    with torch.inference_mode():
        wanted, _ = packed.model.encode(False, torch.from_numpy(ids), torch.from_numpy(lengths))
    inputs = {"embedded": graphs.units[ids], "lengths": lengths}
    (memory,) = graphs._text.run(None, inputs)
    for row, size in enumerate(lengths):
        np.testing.assert_allclose(memory[row, :size], wanted[row, :size], rtol=error, atol=error)
        alone = graphs.text(graphs.units[ids[row, :size]])
        np.testing.assert_allclose(alone, wanted[row, :size], rtol=error, atol=error)


@pytest.mark.parametrize("beam", [1, 3])
def test_a_step_with_the_cache_says_what_the_whole_decoder_says(
    graphs: Graphs, packed: Packed, beam: int
) -> None:
    """Over more steps than the cache has room for at first, with hypotheses that change places."""
    rng = np.random.default_rng(beam)
    vocabulary = packed.tokenizer.vocab_size
    memory = rng.normal(size=(7, 32)).astype(np.float32)
    decoding = graphs.decoding(memory, beam)
    tokens = np.zeros((beam, 0), np.int64)
    for _ in range(40):
        tokens = np.concatenate([tokens, rng.integers(0, vocabulary, (beam, 1))], axis=1)
        found = decoding.step(tokens[:, -1])
        order = rng.integers(0, beam, beam)
        with torch.inference_mode():
            states = torch.from_numpy(memory).expand(beam, -1, -1)
            lengths = torch.full((beam,), len(memory))
            logits = packed.model.decoder(torch.from_numpy(tokens), states, lengths)
        np.testing.assert_allclose(found, logits[:, -1].log_softmax(-1), atol=2e-5)
        decoding.reorder(order)
        tokens = tokens[order]


@pytest.mark.parametrize("seed", range(4))
def test_what_is_heard_over_the_bridge_is_what_torch_hears(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    log_probs = (3 * torch.randn(40, 5, generator=generator)).log_softmax(-1)
    log_probs[:, 0] += 2 * seed  # up to nothing but blanks
    wanted, sizes = heard_with_torch(log_probs[None], torch.tensor([40]))
    np.testing.assert_allclose(heard(log_probs.numpy()), wanted[0, : int(sizes)], atol=1e-6)


# --- the search is that of torch


class Table:
    """A fixed random function of the prefix, with both scorers' interfaces."""

    def __init__(self, beam: int, vocabulary: int, seed: int) -> None:
        self.vocabulary, self.seed = vocabulary, seed
        self.prefixes: list[tuple[int, ...]] = [()] * beam

    def logits(self, tokens: Any) -> Tensor:
        self.prefixes = [(*p, int(t)) for p, t in zip(self.prefixes, tokens)]
        rows = []
        for prefix in self.prefixes:
            generator = torch.Generator().manual_seed(hash((self.seed, *prefix)) % 2**31)
            rows.append(2 * torch.randn(self.vocabulary, generator=generator))
        return torch.stack(rows)

    def reorder(self, hypotheses: Any) -> None:
        self.prefixes = [self.prefixes[int(place)] for place in hypotheses]


class TorchTable(Table):
    step = Table.logits

    def keep(self, utterances: Tensor) -> None: ...


class NumpyTable(Table):
    def step(self, tokens: np.ndarray) -> np.ndarray:
        return self.logits(tokens).log_softmax(-1).numpy()


@pytest.mark.parametrize("beam", [1, 3, 4])
@pytest.mark.parametrize("exponent", [0.0, 1.0, 0.6])
@pytest.mark.parametrize("formed", [False, True])
def test_the_search_finds_what_the_search_with_torch_finds(
    beam: int, exponent: float, formed: bool
) -> None:
    tokenizer = tiny.make_tokenizer()
    constraint = TreeConstraint(tokenizer, PAIRS) if formed else None
    vocabulary = tokenizer.vocab_size if formed else 6
    for seed in range(12):
        for nbest, limit in ((1, 9), (beam, 4 + seed)):
            options = SearchOptions(beam=beam, nbest=nbest, length_exponent=exponent)
            (wanted,) = search_with_torch(
                TorchTable(beam, vocabulary, seed),
                torch.tensor([2]),
                EOS,
                options,
                limits=[limit],
                constraint=constraint,
            )
            table = NumpyTable(beam, vocabulary, seed)
            found = beam_search(table, 2, EOS, options, limit=limit, constraint=constraint)
            assert [one.tokens for one in found] == [one.tokens for one in wanted]
            assert [one.at_limit for one in found] == [one.at_limit for one in wanted]
            np.testing.assert_allclose(
                [one.score for one in found], [one.score for one in wanted], rtol=1e-5
            )


def test_two_scorers_of_weights_one_and_zero_are_the_first() -> None:
    options = SearchOptions(beam=3, nbest=3)
    both = Mixed([NumpyTable(3, 6, 0), NumpyTable(3, 6, 1)], [1.0, 0.0])
    alone = beam_search(NumpyTable(3, 6, 0), 2, EOS, options, limit=9)
    found = beam_search(both, 2, EOS, options, limit=9)
    assert [one.tokens for one in found] == [one.tokens for one in alone]
    assert [one.score for one in found] == pytest.approx([one.score for one in alone], abs=1e-5)


# --- the whole


def answers(found: Any) -> list[tuple[str, int, bool]]:
    return [(one.text, one.length, one.at_limit) for one in found.nbest]


@pytest.mark.parametrize("task", ["slu", "asr"])
@pytest.mark.parametrize("well_formed", [False, True])
@pytest.mark.parametrize("bridge", [0.0, 0.5, 1.0])
def test_recordings_are_understood_as_with_torch(
    model: Path, device: Path, task: str, well_formed: bool, bridge: float
) -> None:
    options = SearchOptions(beam=3, nbest=3, max_length=20, bridge=bridge)
    with_torch = WithTorch.load(
        model, options=options, well_formed=well_formed, precision="fp32", transcribe=False
    )
    without = Recognizer.load(device, options=options, well_formed=well_formed)
    for seed in range(4):
        samples = noise(seed, 0.3 + 0.4 * seed)
        wanted, found = with_torch(samples, task=task), without(samples, task=task)
        assert answers(found) == answers(wanted)
        np.testing.assert_allclose(
            [one.score for one in found.nbest], [one.score for one in wanted.nbest], atol=1e-4
        )
        assert found.duration == len(samples) / audio.SAMPLE_RATE
        if well_formed and task == "slu" and not found.nbest[0].at_limit:
            assert found.intent in ("PLAY", "STOP")


def test_texts_are_understood_as_with_torch_and_slots_have_their_values(
    model: Path, device: Path
) -> None:
    values = {"SL:THING": ["red song", "lamp"]}
    options = SearchOptions(nbest=4, max_length=24)
    with_torch = WithTorch.load(
        model, options=options, well_formed=True, values=values, precision="fp32", transcribe=False
    )
    without = Recognizer.load(device, options=options, well_formed=True, values=values)
    for text in ("Play the red song!", "stop", "play tango blue lamp radio"):
        wanted, found = with_torch(text=text), without(text=text)
        assert answers(found) == answers(wanted)
        assert set(found.slots.values()) <= {*values["SL:THING"]}
        assert found.transcript == text.lower().strip("!")


def test_a_transcript_comes_beside_the_tree_where_it_is_asked_for(device: Path) -> None:
    recognizer = Recognizer.load(device, max_length=12)
    assert recognizer(noise(1)).transcript is None
    heard = recognizer(noise(1), task="asr").text
    assert Recognizer.load(device, max_length=12, transcribe=True)(noise(1)).transcript == heard


def test_a_calibrated_model_is_as_sure_as_with_torch(
    model: Path, device: Path, tmp_path: Path
) -> None:
    fitted = Fitted({"token": 1.0, "ahead": 0.5, "heard": 0.25}, bias=2.0, threshold=0.9)
    found = []
    for folder, kind in ((model, WithTorch), (device, Recognizer)):
        copy = tmp_path / folder.name
        shutil.copytree(folder, copy)
        Calibration({"beam": 3, "well_formed": True}, {"slu": fitted}).write(copy)
        checksums.write(copy)
        options = {"transcribe": True, "precision": "fp32"}
        found.append(kind.load(copy, **options)(noise(1)))
        assert kind.load(copy, precision="fp32", transcribe=False)(noise(1)).confidence is None
        for other in ({"beam": 2}, {"any_pair": True}, {"length_exponent": 0.5}):
            assert kind.load(copy, **other, **options)(noise(1)).confidence is None
    assert found[0].confidence == pytest.approx(found[1].confidence, abs=1e-4)
    assert found[0].understood == found[1].understood


def test_a_transcript_is_calibrated_by_its_own_words(
    model: Path, device: Path, tmp_path: Path
) -> None:
    fitted = Fitted({"token": 1.0, "agreed": 2.0, "used": 3.0}, bias=2.0, threshold=0.5)
    found = []
    for folder, kind in ((model, WithTorch), (device, Recognizer)):
        copy = tmp_path / folder.name
        shutil.copytree(folder, copy)
        Calibration({"beam": 3}, {"asr": fitted}).write(copy)
        checksums.write(copy)
        found.append(kind.load(copy, precision="fp32")(noise(1), task="asr"))
    assert found[1].confidence == pytest.approx(found[0].confidence, abs=1e-4)
    assert found[1].transcript == found[0].transcript == found[1].text


def trained_on(
    tasks: tuple[str, ...], device: Path, folder: Path
) -> list[tuple[Path, type[WithTorch] | type[Recognizer]]]:
    """The model of `device` with other tasks: packed, and exported, whose graphs are the same."""
    model, copy = pack(folder / "model", bridged(), tasks=tasks), folder / "device"
    shutil.copytree(device, copy)
    packed = load(model)
    assert isinstance(packed, Packed)
    describe(packed, "float32").write(copy)
    checksums.write(copy)
    return [(model, WithTorch), (copy, Recognizer)]


@pytest.mark.parametrize(
    ("tasks", "default", "transcribes"),
    [
        (("slu",), "slu", False),
        (("asr", "mlm"), "asr", False),
        (("slu", "asr"), "slu", True),
        ((), "slu", True),
    ],
)
def test_a_model_does_what_it_was_trained_on(
    device: Path, tmp_path: Path, tasks: tuple[str, ...], default: str, transcribes: bool
) -> None:
    options = {"max_length": 9, "transcribe": True}
    for folder, kind in trained_on(tasks, device, tmp_path):
        recognizer = kind.load(folder, **options)
        found = recognizer(noise(1))
        assert found.task == default
        assert (found.transcript is not None) == (transcribes or default == "asr")
        # What was learned of another task may do for this one: a model of texts over the bridge.
        assert recognizer(noise(1), task="slu").task == "slu"
        assert recognizer(text="play", task="nlu").task == "nlu"
        with pytest.raises(InputError, match="task mlm fills in what training has masked"):
            recognizer(noise(1), task="mlm")


def test_a_model_of_texts_has_no_task_for_recordings_of_its_own(
    device: Path, tmp_path: Path
) -> None:
    for folder, kind in trained_on(("nlu",), device, tmp_path):
        recognizer = kind.load(folder, max_length=9)
        with pytest.raises(InputError, match="the model reads no recordings; its tasks: nlu"):
            recognizer(noise(1))
        assert recognizer(noise(1), task="slu").task == "slu"


def test_threads_are_those_of_the_speech_encoder_too(
    device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Toy(Lfb):
        origin = encoder_files.Origin("toy", "nowhere", "abc", "none")

    asked = []

    def load(*given: Any) -> Toy:
        asked.append(given)
        return Toy(16)

    copy = tmp_path / "device"
    shutil.copytree(device, copy)
    frontend.write(Toy(16), copy)
    checksums.write(copy)
    monkeypatch.setattr(frontend, "load", load)
    Recognizer.load(copy, threads=3).frames(noise(1))
    (copy / frontend.CONTAINED).mkdir()
    Recognizer.load(copy, threads=3).frames(noise(1))
    contained = str(copy / frontend.CONTAINED)
    assert asked == [("nowhere", "nowhere", 3, "last"), ("toy", contained, 3, "last")]


def test_silence_and_texts_without_words_are_not_understood(device: Path) -> None:
    recognizer = Recognizer.load(device)
    silent = recognizer(np.zeros(8000, np.float32))
    assert (silent.understood, silent.cause, silent.text) == (False, "silence", "")
    assert recognizer(text=" ?! ").cause == "no words"


ALONE = """
import sys

class OnlyThese:
    allowed = {"numpy", "onnxruntime", "sentencepiece", "atat", *sys.stdlib_module_names}

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in self.allowed:
            raise ModuleNotFoundError(f"{name} is not on a device", name=name)

sys.meta_path.insert(0, OnlyThese())
from atat.runtime.__main__ import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    assert ended.code == 1  # a model of random weights need not come to an end
assert not {"torch", "scipy", "yaml", "soundfile"} & set(sys.modules)
"""


def test_a_process_without_torch_answers_in_json(device: Path, tmp_path: Path) -> None:
    wav = tmp_path / "noise.wav"
    audio.save(wav, noise(3))
    command = [sys.executable, "-c", ALONE, str(device), str(wav), "--text", "play the song"]
    root = str(Path(__file__).resolve().parent.parent)
    done = subprocess.run(
        [*command, "--well_formed", "--bridge", "0.5"],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    recognizer = Recognizer.load(device, nbest=1, bridge=0.5, well_formed=True)
    here = [recognizer(wav), recognizer(text="play the song")]
    names = [(str(wav), None), (None, "play the song")]
    for line, found in zip(done.stdout.splitlines(), here, strict=True):
        said, wanted = json.loads(line), found.to_dict()
        assert (said.pop("recording", None), said.pop("sentence", None)) in names
        for one, other in zip(said.pop("nbest"), wanted.pop("nbest"), strict=True):
            # numpy's FFT, in place of scipy's, rounds otherwise
            assert one.pop("score") == pytest.approx(other.pop("score"), abs=2e-3)
            assert one == other
        assert said == wanted


def test_eight_bits_are_close_and_a_model_of_audio_alone_reads_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = replace(tiny.without_dropout(), text_encoder=None, ctc=CtcSettings())
    model, out = pack(tmp_path / "model", settings), tmp_path / "small"
    Calibration({"beam": 3}, {"slu": Fitted({}, bias=0.0, threshold=0.5)}).write(model)
    checksums.write(model)
    export.main([str(model), "--onnx", "--int8", "--out", str(out)])
    assert "with those of 8 bits its threshold may" in capsys.readouterr().out
    assert {path.name for path in out.glob("*.onnx")} == {"audio.onnx", "memory.onnx", "step.onnx"}
    packed, about = load(model), description.Description.read(out)
    assert (about.weights, about.units, about.bridge) == ("int8", None, False)
    types = Counter(
        one.data_type for one in onnx.load(out / description.AUDIO).graph.initializer if one.dims
    )
    assert types[onnx.TensorProto.UINT8] >= 2 * 4  # of two layers, with their zeros
    frames = np.random.default_rng(0).normal(size=(90, 16)).astype(np.float32)
    with torch.inference_mode():
        wanted, _ = packed.model.encode(True, torch.from_numpy(frames)[None], torch.tensor([90]))
    found, heard = Graphs(out, about).audio(frames)
    error = np.abs(found - wanted[0].numpy()).mean()
    assert heard is None and 0 < error < 0.05 * float(wanted.abs().mean())
    recognizer = Recognizer.load(out, max_length=9)
    assert recognizer(noise(0)).nbest
    with pytest.raises(InputError, match="task nlu needs a model that reads text"):
        recognizer(text="play")
    with pytest.raises(InputError, match="bridge needs a model that was trained with one"):
        Recognizer.load(out, bridge=1.0)


def test_a_model_of_8_bits_is_exported_with_the_weights_that_it_has(
    model: Path, tmp_path: Path
) -> None:
    quantize.quantize(model, tmp_path / "int8")
    export.export(tmp_path / "int8", tmp_path / "device")
    about = description.Description.read(tmp_path / "device")
    small = load(tmp_path / "int8")
    floats = int8.restore(small.model)
    frames = np.random.default_rng(0).normal(size=(90, 16)).astype(np.float32)
    with torch.inference_mode():
        wanted, _ = floats.encode(True, torch.from_numpy(frames)[None], torch.tensor([90]))
    found, _ = Graphs(tmp_path / "device", about).audio(frames)
    assert about.weights == "float32"
    np.testing.assert_allclose(found, wanted[0], rtol=1e-5, atol=1e-5)


def test_the_speech_encoder_comes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where `atat encoder get moonshine-tiny` has been run."""
    try:
        encoder_files.folder_of("moonshine-tiny")
    except InputError as error:
        pytest.skip(str(error))
    found = frontend.find("moonshine-tiny")
    audio_encoder = AudioEncoderSettings(
        kind="pretrained", pretrained="moonshine-tiny", mel_bins=288, layers=1, feed_forward=48
    )
    settings = replace(tiny.without_dropout(), audio_encoder=audio_encoder, text_encoder=None)
    pack(tmp_path / "model", settings, pretrained=found)
    options = SearchOptions(nbest=4, max_length=9)
    wanted = WithTorch.load(
        tmp_path / "model", options=options, precision="fp32", transcribe=False
    )(noise(2))
    export.export(tmp_path / "model", tmp_path / "device")
    monkeypatch.setenv("ATAT_ENCODERS", str(tmp_path / "nothing"))
    assert answers(Recognizer.load(tmp_path / "device", options=options)(noise(2))) == answers(
        wanted
    )


# --- what cannot be is refused


def test_models_that_cannot_be_exported_are_refused_before_anything_is_written(
    tmp_path: Path, model: Path
) -> None:
    with_bert, of_espnet = load(model), load(model)
    with_bert.model.text_encoder = torch.nn.Identity()
    of_espnet.model.audio_encoder = torch.nn.Identity()
    refused = [
        (with_bert, "a model with BERT .* cannot be exported"),
        (of_espnet, "an encoder of ESPnet .* cannot be exported"),
    ]
    from atat.systems.joint.export import export as write

    for one, error in refused:
        (tmp_path / "out").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=error):
            write(one, tmp_path / "out", "float32")
        assert not any((tmp_path / "out").iterdir())


def test_an_export_replaces_an_export_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "runtime.json").touch()
    checksums.write(tmp_path)
    export.check_replaceable(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/order.wav").touch()
    with pytest.raises(InputError, match="holds notes/order.wav beside an earlier export"):
        export.check_replaceable(tmp_path)
    export.check_replaceable(tmp_path / "free")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--out", "free"], "give the kind of export: --onnx"),
        (["--onnx", "--out", "taken"], "taken: exists and is no earlier export"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path, arguments: list[str], error: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").touch()
    with pytest.raises(InputError, match=error):
        export.main([str(model), *arguments])
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_folder_that_is_no_export_or_damaged_is_refused(device: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not an exported model .*atat export MODEL --onnx"):
        Recognizer.load(tmp_path)
    copy = tmp_path / "device"
    shutil.copytree(device, copy)
    damaged = bytearray((copy / description.STEP).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (copy / description.STEP).write_bytes(damaged)
    with pytest.raises(InputError, match=r"step\.onnx: damaged or changed"):
        Recognizer.load(copy)
    (copy / description.STEP).write_bytes(b"no graph")
    checksums.write(copy)
    with pytest.raises(InputError, match=r"step\.onnx: onnxruntime cannot read it"):
        Recognizer.load(copy)(noise(0))
    newer = json.loads((copy / description.NAME).read_text()) | {"version": 2}
    (copy / description.NAME).write_text(json.dumps(newer))
    with pytest.raises(InputError, match="version 2, made by a newer atat"):
        Recognizer.load(copy)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"options": SearchOptions(ctc_weight=0.1)}, "ctc_weight is not for exported models"),
        ({"options": SearchOptions(bridge=2.0)}, "bridge is 2; expected 0 to 1"),
        ({"nbest": 0}, "nbest is 0; expected at least 1"),
        ({"threads": 0}, "threads is 0; expected at least 1"),
        ({"beams": 3}, "beams is no option of an exported model"),
        ({"values": {"SL:THING": ["lamp"]}}, "set well_formed"),
        ({"values": "data/all", "well_formed": True}, "give them by the slot's label"),
        ({"beam": 0}, "beam is 0; expected at least 1"),
        ({"max_length": 0}, "max_length is 0; expected at least 1"),
        ({"extra_length": -40}, "extra_length is -40; expected at least 3"),
        ({"max_length": 2, "well_formed": True}, "max_length is 2; expected at least 3"),
    ],
)
def test_options_that_it_cannot_do_are_refused(
    device: Path, options: dict[str, Any], error: str
) -> None:
    with pytest.raises(InputError, match=error):
        Recognizer.load(device, **options)


def test_calls_that_make_no_sense_are_refused(device: Path) -> None:
    recognizer = Recognizer.load(device)
    with pytest.raises(InputError, match="either a recording or text"):
        recognizer()
    with pytest.raises(InputError, match="task nlu reads text"):
        recognizer(noise(0), task="nlu")
    with pytest.raises(InputError, match="the recording: shorter than one frame"):
        recognizer(noise(0)[:100])
    with pytest.raises(InputError, match="It is an exported one: python -m atat.runtime"):
        load(device)
    with pytest.raises(InputError, match="longest is -1; expected seconds"):
        Recognizer.load(device, longest=-1)


def test_what_can_be_read_is_answered_and_the_code_tells_scripts(
    device: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wav, short, silent = tmp_path / "a.wav", tmp_path / "short.wav", tmp_path / "silent.wav"
    audio.save(wav, noise(1))
    audio.save(short, noise(1)[:100])
    audio.save(silent, np.zeros(8000, np.float32))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(wav.read_bytes())))

    def asked(*given: object) -> tuple[object, list[dict[str, Any]], str]:
        code: object = 0
        try:
            runtime.main([str(device), *map(str, given)])
        except SystemExit as ended:
            code = ended.code
        out, err = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], err

    code, lines, _ = asked(wav, "--threads", 1, "-")
    assert [one.pop("recording") for one in lines] == [str(wav), "-"] and lines[0] == lines[1]
    understood = lines[0]["understood"]  # of a model with random weights: may be either
    assert code == (0 if understood else 1)
    code, lines, _ = asked(silent, wav)
    assert code == 1 and [one["understood"] for one in lines] == [False, understood]
    code, lines, err = asked(short, "gone.wav", silent)
    assert code == 2 and [one["understood"] for one in lines] == [False]
    assert f"error: {short}: shorter than one frame" in err and "gone.wav: no such audio" in err
