"""Encoders of `transformers` as a torch module: padding changes nothing for any type, all layers
are those that transformers gives, and what is fixed stays so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from encoders import save_moonshine, save_waveform_encoder, save_whisper

from atat.base import encoder_files
from atat.base.errors import InputError
from atat.nn import int8
from atat.prepare import encoder_command
from atat.speech import frontend, hub_encoder
from atat.speech.moonshine_torch import fields

transformers = pytest.importorskip("transformers")

# Type, then over what its features are normalised: `group` a whole recording, `layer` a frame.
KINDS = [
    "wav2vec2 group",
    "wav2vec2 layer",
    "hubert layer",
    "wavlm group",
    "wavlm layer",
    "data2vec-audio layer",
    "unispeech layer",
    "unispeech-sat layer",
    "sew group",
    "whisper",
    "moonshine",
]
LENGTHS = (16000, 9000, 1300)  # samples


def save(folder: Path, kind: str) -> str:
    name, _, norm = kind.partition(" ")
    if name == "whisper":
        return str(save_whisper(folder, layers=2))
    if name == "moonshine":
        return str(save_moonshine(folder, layers=2))
    # Norm before the layers, as the large models have it: the last one's output is normed again.
    changes = {"feat_extract_norm": norm, "do_stable_layer_norm": norm == "layer"}
    return str(save_waveform_encoder(folder, name, num_hidden_layers=2, **changes))


def recordings() -> tuple[torch.Tensor, torch.Tensor]:
    """Three of different lengths, one in each row, zero beyond."""
    rng = np.random.default_rng(0)
    samples = torch.from_numpy(rng.normal(0.02, 0.1, (3, LENGTHS[0])).astype(np.float32))
    for row, length in zip(samples, LENGTHS):
        row[length:] = 0
    return samples, torch.tensor(LENGTHS)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_neighbours_change_no_state(tmp_path, kind) -> None:
    name = save(tmp_path / "encoder", kind)
    states, found = hub_encoder.load(name).eval(), frontend.find(name)
    samples, lengths = recordings()
    with torch.inference_mode():
        together, counted = states(samples, lengths)
    assert counted.tolist() == [found.num_frames(length) for length in LENGTHS]
    for row, length in enumerate(LENGTHS):
        alone = found(samples[row, :length].numpy())
        np.testing.assert_allclose(together[row, : counted[row]], alone, atol=2e-5)
    assert len(found(samples[0, : found.shortest].numpy())) > 0
    short = found.shortest - 1
    assert found.num_frames(short) == 0 and len(found(samples[0, :short].numpy())) == 0


@pytest.mark.parametrize("kind", ["wav2vec2 group", "wav2vec2 layer", "moonshine", "whisper"])
def test_a_batch_has_the_gradients_of_its_recordings(tmp_path, kind) -> None:
    """Whichever way attention is computed, with gradients and without."""
    states = hub_encoder.load(save(tmp_path / "encoder", kind)).eval()
    samples, lengths = recordings()
    found, counted = states(samples, lengths)
    with torch.inference_mode():
        plain, _ = states(samples, lengths)
    for one, other, count in zip(found, plain, counted):
        torch.testing.assert_close(one[:count], other[:count], atol=2e-5, rtol=1e-4)
    sum(one[:count].square().sum() for one, count in zip(found, counted)).backward()
    together = {n: p.grad.clone() for n, p in states.named_parameters() if p.grad is not None}
    states.zero_grad()
    for row, length in enumerate(LENGTHS):
        alone, _ = states(samples[row : row + 1, :length], lengths[row : row + 1])
        alone.square().sum().backward()
    norm = sum(float(grad.square().sum()) for grad in together.values()) ** 0.5
    for name, parameter in states.named_parameters():
        if name in together:
            error = float((parameter.grad - together[name]).norm())
            assert error < 1e-5 * norm, (name, error, norm)
    assert together


@pytest.mark.parametrize("kind", ["wav2vec2 group", "wav2vec2 layer", "moonshine", "whisper"])
def test_a_recording_too_short_for_a_state_has_none(tmp_path, kind) -> None:
    states = hub_encoder.load(save(tmp_path / "encoder", kind)).eval()
    samples, short = recordings()[0][:2], 0 if kind == "whisper" else 100
    samples[1, short:] = 0
    with torch.inference_mode():
        found, counted = states(samples, torch.tensor([16000, short]))
        alone, none = states(samples[1:, :short], torch.tensor([short]))
    assert counted[1] == none[0] == 0 and alone.shape[1] == 0
    assert found.shape[1] == counted[0] and bool(found.isfinite().all())


@pytest.mark.parametrize("kind", KINDS)
def test_what_never_trains_is_what_its_authors_keep(tmp_path, kind) -> None:
    """The convolutions over the waveform (wav2vec 2.0 and kin), and Whisper's positions."""
    states = hub_encoder.load(save(tmp_path / "encoder", kind))
    begins = {"whisper": "encoder.embed_positions.", "moonshine": "-"}
    begin = begins.get(kind, "encoder.feature_extractor.")
    named = {name for name, _ in states.named_parameters() if name.startswith(begin)}
    assert states.fixed == named and bool(named) == (kind != "moonshine")
    samples, lengths = recordings()
    found, _ = states.train()(samples, lengths)
    found.square().sum().backward()
    moved = {name for name, one in states.named_parameters() if one.grad is not None}
    assert moved and not moved & states.fixed


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("sew")])
def test_all_layers_are_those_of_transformers(tmp_path, kind) -> None:
    name = save(tmp_path / "encoder", kind)
    last, every = frontend.find(name), frontend.find(name, layers="all")
    assert (last.num_layers, every.num_layers) == (1, 3) and every.dim == 3 * last.dim
    assert every.kind == f"{last.kind}+all" and not frontend.alike(every.kind, last.kind)
    samples = recordings()[0][0].numpy()
    states = every(samples).reshape(-1, 3, last.dim)
    np.testing.assert_array_equal(states[:, 2], last(samples))
    module = hub_encoder.load(name).eval()
    with torch.inference_mode():
        inputs = torch.from_numpy(samples)[None]
        inputs = module._log_mel(inputs) if kind == "whisper" else module._ready(inputs)
        hidden = module.encoder(inputs, output_hidden_states=True).hidden_states
    for layer in (0, 1):
        wanted = hidden[layer][0, : len(states)].numpy()
        np.testing.assert_allclose(states[:, layer], wanted, atol=1e-6)


@pytest.mark.parametrize("kind", ["wav2vec2 layer", "whisper"])
def test_samples_are_prepared_as_transformers_does(tmp_path, kind) -> None:
    name = save(tmp_path / "encoder", kind)
    module = hub_encoder.load(name)
    samples = recordings()[0][0]
    made = module.extractor(samples.numpy(), sampling_rate=16000, return_tensors="pt")
    if kind == "whisper":
        mine, wanted = module._log_mel(samples[None]), made["input_features"]
    else:
        mine, wanted = module._ready(samples[None]), made["input_values"]
    torch.testing.assert_close(mine, wanted, atol=1e-4, rtol=1e-4)


def test_layers_that_are_not_side_by_side_are_refused(tmp_path) -> None:
    name = save(tmp_path / "encoder", "sew group")
    with pytest.raises(InputError, match="the inner layers of SEW have a state where its last one"):
        frontend.find(name, layers="all")


@pytest.mark.parametrize("what", ["all layers", "training"])
def test_moonshine_of_onnxruntime_says_what_to_take_instead(what, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(frontend, "folder_of", lambda name: tmp_path)
    with pytest.raises(InputError, match=f"for {what} take .* encoder torch moonshine-tiny --out"):
        if what == "training":
            frontend.find("moonshine-tiny", trained=True)
        else:
            frontend.find("moonshine-tiny", layers="all")


@pytest.mark.parametrize("kind", ["wav2vec2 layer", "wavlm layer", "whisper", "moonshine"])
def test_an_encoder_is_packed_and_brought_to_8_bits(tmp_path, kind) -> None:
    states = hub_encoder.load(save(tmp_path / "encoder", kind), "all").eval()
    hub_encoder.save(states, tmp_path)
    again = hub_encoder.packed(tmp_path, "all").eval()
    again.load_state_dict(states.state_dict())
    samples, lengths = recordings()
    with torch.inference_mode():
        wanted, counted = states(samples, lengths)
        found, _ = again(samples, lengths)
        assert torch.equal(found, wanted)
        close, _ = int8.convert(again)(samples, lengths)
    error = [(a - b)[:n].norm() / b[:n].norm() for a, b, n in zip(close, wanted, counted)]
    assert 0 < max(error) < 0.1


# ------------------------------------------------------------------ Moonshine's weights in torch


def test_moonshine_in_torch_gives_the_states_that_onnxruntime_gives(tmp_path, capsys) -> None:
    """Only where `atat encoder get moonshine-tiny` has been run; activations are 8-bit there."""
    pytest.importorskip("onnxruntime")
    if not encoder_files.is_here("moonshine-tiny"):
        pytest.skip("moonshine-tiny has not been fetched")
    out = str(tmp_path / "torch")
    (tmp_path / "torch.partial").mkdir()  # what an interrupted call has left
    (tmp_path / "torch.partial/half").touch()
    for name in (out, str(tmp_path / "again")):
        encoder_command.main(["torch", "moonshine-tiny", "--out", name])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "torch"]
    assert not (tmp_path / "torch/half").exists()
    made, published = frontend.find(out), frontend.find("moonshine-tiny")
    assert made.origin.sha256 == frontend.find(str(tmp_path / "again")).origin.sha256
    assert (made.dim, made.frame_shift, made.shortest) == (288, 0.024, 895)
    assert made.origin.licence == published.origin.licence and made.origin.source == out
    time = np.arange(24000) / 16000
    rng = np.random.default_rng(0)
    samples = np.sin(2 * np.pi * (200 + 300 * time) * time) * 0.2 + rng.normal(0, 0.01, len(time))
    mine, wanted = (one(samples.astype(np.float32)) for one in (made, published))
    assert mine.shape == wanted.shape
    assert np.linalg.norm(mine - wanted) < 0.1 * np.linalg.norm(wanted)
    assert frontend.find(out, layers="all").dim == 7 * 288
    with pytest.raises(InputError, match="exists already; name another folder"):
        encoder_command.main(["torch", "moonshine-tiny", "--out", out])


def test_fields_of_protobuf_are_read_as_they_are_written() -> None:
    """The bytes of the examples in protobuf's "Encoding", and the two widths that it fixes."""
    assert list(fields(b"\x08\x96\x01")) == [(1, 150)]
    (found,) = fields(b"\x12\x07testing")
    assert (found[0], bytes(found[1])) == (2, b"testing")
    message = b"\x1d\x01\x02\x03\x04" + b"\x21\x01\x02\x03\x04\x05\x06\x07\x08" + b"\x28\x05"
    numbers = [(number, value if number == 5 else len(value)) for number, value in fields(message)]
    assert numbers == [(3, 4), (4, 8), (5, 5)]
