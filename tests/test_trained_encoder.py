"""A pretrained speech encoder that trains with the model, and one that is read at all layers: rates
and freezing, resuming, packing, decoding, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from encoders import save_wav2vec2

from atat.apps.recognizer import Recognizer
from atat.base.errors import InputError
from atat.datadir import ark, cmvn, feats_type, features, kaldi_dir, tables
from atat.engine import checkpoint, decode, model_folder, quantize
from atat.engine.settings import BatchSettings, SourceSettings, ValidSettings
from atat.engine.train import train
from atat.nn.audio_encoder import AudioEncoder
from atat.nn.settings import AudioEncoderSettings
from atat.prepare import encoder_command
from atat.prepare.align_model import ModelAligner
from atat.speech import audio, frontend
from atat.speech.frontend import Lfb
from atat.speech.settings import AugmentSettings
from atat.systems.joint import start
from atat.systems.joint.build import build
from atat.systems.joint.settings import InitSettings, ModelSettings, OptimSettings, TrainSettings

transformers = pytest.importorskip("transformers")
ENCODER = "audio_encoder.pretrained."


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its features are normed over the whole recording, so that padding would change them."""
    folder = tmp_path_factory.mktemp("encoders") / "w2v"
    return str(save_wav2vec2(folder, num_hidden_layers=2))


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("spoken")
    tiny.make_spoken(root)
    return root


def settings(spoken: Path, encoder: str, *, audio: Any = (), **changes: Any) -> TrainSettings:
    """Steps of all tasks; the encoder trains unless `audio` says otherwise."""
    sizes: dict[str, Any] = {"stack": 2, "layers": 1, "heads": 2, "feed_forward": 48}
    sizes |= {"kind": "pretrained", "pretrained": encoder, "trained": True} | dict(audio)
    mix = tuple(SourceSettings(str(spoken / "train"), task) for task in ("slu", "nlu", "mlm"))
    run = tiny.training(
        spoken,
        cmvn=None,
        features="wav",
        model=replace(tiny.MODEL, audio_encoder=AudioEncoderSettings(**sizes)),
        train=mix,
        valid=ValidSettings(sources=(SourceSettings(str(spoken / "test"), "slu"),), every=100),
        batch=BatchSettings(examples=6),
        optim=OptimSettings(schedule="constant", peak=1e-3, warmup=0),
        init=InitSettings(unfreeze=((1, 0.0),)),
        steps=4,
        checkpoint_every=1,
    )
    return replace(run, **changes)


@pytest.fixture(scope="module")
def run(spoken: Path, encoder: str) -> Path:
    """A run of four steps, the first with the encoder frozen, that has kept every checkpoint."""
    valid = replace(settings(spoken, encoder).valid, keep_last=9)
    train(settings(spoken, encoder, valid=valid), spoken / "exp")
    return spoken / "exp"


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = checkpoint.load(checkpoint.path_of(run, step))["model"]
    return found


def of_encoder(encoder: str) -> dict[str, torch.Tensor]:
    """The weights as transformers gives them, under the model's names."""
    found = transformers.AutoModel.from_pretrained(encoder).state_dict()
    return {f"{ENCODER}encoder.{name}": value for name, value in found.items()}


# ------------------------------------------------------------------ all layers


def test_layers_are_weighted_and_the_last_alone_is_what_it_was() -> None:
    sizes = AudioEncoderSettings(
        kind="pretrained", pretrained="x", mel_bins=12, layers=1, heads=2, feed_forward=24
    )
    every = replace(sizes, mel_bins=36, layers_read="all", pretrained_layers=3)
    old, new = AudioEncoder(sizes, 16).eval(), AudioEncoder(every, 16).eval()
    missing, unexpected = new.load_state_dict(old.state_dict(), strict=False)
    assert missing == ["front_end.sum.scalars"] and not unexpected
    states, lengths = torch.randn(2, 9, 36) * torch.arange(1, 37), torch.tensor([9, 4])
    layers = new.front_end.sum
    torch.testing.assert_close(layers.weights(), torch.full((3,), 1 / 3))
    mean = states.unflatten(2, (3, 12)).mean(2)
    torch.testing.assert_close(new(states, lengths)[0], old(mean, lengths)[0])
    with torch.no_grad():
        layers.scalars.copy_(torch.tensor([-1e4, -1e4, 0.0]))
    torch.testing.assert_close(new(states, lengths)[0], old(states[..., 24:], lengths)[0])
    with torch.no_grad():
        layers.scalars.copy_(torch.tensor([0.3, -0.2, 0.9]))
    assert float(layers.weights().sum().detach()) == pytest.approx(1)
    normed = AudioEncoder(replace(every, layer_norm=True), 16).front_end.sum
    torch.testing.assert_close(normed(states), normed(states * 7), rtol=1e-3, atol=1e-4)


def test_all_layers_in_arks_are_read_and_weighted(
    spoken: Path, encoder: str, tmp_path: Path
) -> None:
    for part in ("train", "test"):
        shutil.copytree(spoken / part, tmp_path / part)
        arguments = ["--data", str(tmp_path / part), "--arks", str(tmp_path / "arks")]
        features.main([*arguments, "--encoder", encoder, "--layers", "all"])
    assert feats_type.read(tmp_path / "test") == f"{frontend.find(encoder).kind}+all"
    shutil.copytree(spoken / "tokenizer", tmp_path / "tokenizer")
    every = {"trained": False, "layers_read": "all"}
    wanted = settings(tmp_path, encoder, audio=every, features="ark", steps=2)
    train(wanted, tmp_path / "exp")
    scalars = weights(tmp_path / "exp", 2)["audio_encoder.front_end.sum.scalars"]
    assert len(scalars) == 3 and bool((scalars != 0).all())
    recognizer = Recognizer.load(tmp_path / "exp" / "model", precision="fp32")
    one = kaldi_dir.load(tmp_path / "test")[0]
    of_ark, of_wav = (
        recognizer.engine.recognize([ark.read(one.feats)], "slu")[0],
        recognizer(one.wav),
    )
    assert of_ark.text == of_wav.text and of_ark.score == pytest.approx(of_wav.score, abs=1e-4)
    every_layer = ["--layers", "all", "--model", str(tmp_path / "exp/model")]
    encoder_command.main(["check", encoder, *every_layer, "--data", str(tmp_path / "test")])
    last = settings(tmp_path, encoder, audio={"trained": False}, features="ark")
    with pytest.raises(InputError, match="its features are w2v@.*all, the model reads w2v@"):
        train(last, tmp_path / "other")
    features.main([*arguments, "--encoder", encoder])
    with pytest.raises(InputError, match="the model reads w2v@.* --layers all --data"):
        train(replace(wanted, steps=3), tmp_path / "third")


# ------------------------------------------------------------------ an encoder that trains


def test_the_encoder_trains_at_its_own_rate_once_it_is_unfrozen(
    spoken: Path, encoder: str, run: Path
) -> None:
    begun, frozen, thawed = of_encoder(encoder), weights(run, 1), weights(run, 2)
    assert begun.keys() == {name for name in frozen if name.startswith(ENCODER)}
    for name, value in begun.items():
        assert torch.equal(frozen[name], value), name
    assert not torch.equal(
        frozen["decoder.embedding.base"], weights(run, 4)["decoder.embedding.base"]
    )
    moved = {name: (thawed[name] - value).abs().max() for name, value in begun.items()}
    for name, most in moved.items():
        fixed = "feature_extractor" in name or "masked_spec_embed" in name
        assert (most == 0) == fixed, name
    # Adam's first step is the rate wherever the gradient is not tiny.
    multiplier = settings(spoken, encoder).optim.encoder_multiplier
    assert float(max(moved.values())) == pytest.approx(1e-3 * multiplier, rel=0.02)


def test_a_run_with_such_an_encoder_resumes_as_if_uninterrupted(
    spoken: Path, encoder: str, run: Path, tmp_path: Path
) -> None:
    train(settings(spoken, encoder, steps=2), tmp_path / "exp")
    train(settings(spoken, encoder, steps=4), tmp_path / "exp")
    straight, broken = weights(run, 4), weights(tmp_path / "exp", 4)
    assert all(torch.equal(broken[name], value) for name, value in straight.items())


def test_a_batch_of_recordings_is_encoded_as_each_alone(run: Path) -> None:
    model = model_folder.load(run / "model").model
    rng = np.random.default_rng(0)
    alone = [
        torch.from_numpy(rng.normal(0, 0.1, size).astype(np.float32)) for size in (16000, 7000)
    ]
    sizes = torch.tensor([16000, 7000])
    with torch.inference_mode():
        padded = torch.nn.utils.rnn.pad_sequence(alone, batch_first=True)
        memory, lengths = model.encode(True, padded, sizes)
        for row, samples in enumerate(alone):
            one, _ = model.encode(True, samples[None], sizes[row : row + 1])
            torch.testing.assert_close(memory[row, : lengths[row]], one[0], atol=1e-5, rtol=1e-4)


def test_a_packed_model_contains_the_encoder_that_it_has_trained(
    spoken: Path, encoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own"
    shutil.copytree(encoder, own)
    train(settings(spoken, str(own), audio={"layers_read": "all"}, steps=2), tmp_path / "exp")
    model, one = tmp_path / "exp" / "model", kaldi_dir.load(spoken / "test")[0]
    shutil.rmtree(own)
    facts = json.loads((model / "frontend.json").read_text())
    assert facts["trained"] and facts["origin"]["source"] == str(own) and facts["num_layers"] == 3
    assert sorted(path.name for path in (model / "encoder").iterdir()) == [
        "config.json",
        "preprocessor_config.json",
    ]
    recognizer = Recognizer.load(model, precision="fp32")
    trained = weights(tmp_path / "exp", 2)
    packed = recognizer.packed.model.state_dict()
    assert all(torch.equal(packed[n], v) for n, v in trained.items() if n.startswith(ENCODER))
    found = recognizer(one.wav)
    assert found == recognizer(audio.load(one.wav))
    with pytest.raises(InputError, match="shorter than one frame"):
        recognizer(np.zeros(100, np.float32))
    with pytest.raises(InputError, match="the encoder was trained with the model and is in its w"):
        encoder_command.main(["put", str(model)])
    quantize.quantize(model, tmp_path / "int8")
    assert Recognizer.load(tmp_path / "int8")(one.wav).score == pytest.approx(found.score, rel=0.05)
    assert Recognizer.load(model, precision="bf16")(one.wav).score == pytest.approx(
        found.score, rel=0.05
    )
    (words,) = ModelAligner(model).align([audio.load(one.wav)], [one.text or ""])
    assert [word.text for word in words] == (one.text or "").split()
    config = model / "encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"auto_map": {"AutoModel": "x"}}))
    (model / "SHA256SUMS").unlink()
    with pytest.raises(InputError, match="config.json: not a speech encoder that atat has written"):
        Recognizer.load(model)


def test_decoding_reads_recordings_whatever_features_there_are(
    spoken: Path, run: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(spoken / "test", data)
    arguments = ["--model", str(run / "model"), "--data", str(data), "--task", "slu", "--nj", "1"]
    decode.main([*arguments, "--out", str(tmp_path / "without")])
    features.main(["--data", str(data), "--arks", str(tmp_path / "arks"), "--num_mels", "40"])
    decode.main([*arguments, "--out", str(tmp_path / "with")])
    hyps = [tables.read_table(tmp_path / name / "hyp") for name in ("without", "with")]
    assert hyps[0] == hyps[1] and len(hyps[0]) == 6
    recognizer = Recognizer.load(run / "model")
    both = kaldi_dir.load(data)
    assert hyps[0] == {one.id: recognizer(one.wav).text for one in both}
    assert both[0].feats is not None and both[0].num_frames is not None
    np.testing.assert_array_equal(recognizer.engine.read(both[0], "slu"), audio.load(both[0].wav))
    assert abs(recognizer.engine.measure(both[0], "slu")[0] - 50) < 2  # states of 20 ms, not frames
    inputs = json.loads((tmp_path / "with" / "decode.json").read_text())["inputs"]
    assert f"what {data}/wav.scp names" in inputs
    (data / "wav.scp").unlink()
    with pytest.raises(InputError, match="no recording of spk0-test00, but the model reads rec"):
        decode.main([*arguments, "--out", str(tmp_path / "third")])


def test_what_is_learned_from_text_leaves_the_encoder_as_it_is(
    spoken: Path, encoder: str, run: Path, tmp_path: Path
) -> None:
    init = InitSettings(model=str(run / "model"), unfreeze=())
    text = (SourceSettings(str(spoken / "train"), "nlu"),)
    valid = ValidSettings()
    again = settings(spoken, encoder, train=text, valid=valid, features="ark", init=init, steps=2)
    train(again, tmp_path / "exp")
    before = model_folder.load(run / "model").model.state_dict()
    after = model_folder.load(tmp_path / "exp" / "model").model.state_dict()
    assert all(torch.equal(after[n], v) for n, v in before.items() if n.startswith("audio_encoder"))
    assert not torch.equal(after["decoder.embedding.base"], before["decoder.embedding.base"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": "ark"}, "features: ark: a model that trains its speech .* `features: wav`"),
        ({"augment": AugmentSettings(time_masks=1)}, "time_masks and freq_masks change stored"),
        ({"cmvn": "cmvn.ark"}, "cmvn: cmvn.ark is of stored frames"),
    ],
)
def test_settings_of_frames_are_refused(
    spoken: Path, encoder: str, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(settings(spoken, encoder, **changes), tmp_path / "exp")


def test_another_speed_makes_no_recording_too_short_or_too_long(spoken: Path, encoder: str) -> None:
    frozen = settings(spoken, encoder, audio={"trained": False})
    slu = build(frozen).train[0]
    plain = slu.example(0).source

    class Faster:
        """Makes every recording so many samples long."""

        def __init__(self, samples: int) -> None:
            self.samples = samples

        def waveform(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            return np.resize(samples, self.samples)

        def features(self, found: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            return found

    shortest = slu.frontend.shortest
    for samples, frames in ((shortest - 1, len(plain)), (shortest, 1)):
        slu.reader.augmenter = Faster(samples)  # type: ignore[assignment]
        assert len(slu.example(0, np.random.default_rng(0)).source) == frames


@pytest.mark.parametrize("form", ["ark", "wav"])
def test_recordings_whose_words_are_masked_must_stay_what_they_are(
    spoken: Path, encoder: str, form: Any
) -> None:
    """Words are masked before the encoder, so that mlm reads recordings, whatever others read."""
    mlm = (SourceSettings(str(spoken / "train"), "mlm"),)
    run = settings(spoken, encoder, audio={"trained": False}, features=form, train=mlm)
    assert f"what {spoken}/train/wav.scp names" in run.digests()
    of_frames = tiny.training(spoken, features=form, train=mlm)
    assert (f"what {spoken}/train/wav.scp names" in of_frames.digests()) == (form == "wav")


def test_frames_are_not_counted_in_features_of_another_kind(
    spoken: Path, encoder: str, tmp_path: Path
) -> None:
    """Filterbanks made of recordings, in a data dir that has states of an encoder."""
    lengths = []
    for name, options in (("plain", []), ("states", ["--encoder", encoder])):
        shutil.copytree(spoken, tmp_path / name)
        for part in ("train", "test"):
            data = ["--data", str(tmp_path / name / part), "--arks", str(tmp_path / name / "arks")]
            features.main([*data, *options])
        if name == "plain":
            cmvn.main(["--data", str(tmp_path / "plain/train"), "--out", str(tmp_path / "cmvn")])
        slu = (SourceSettings(str(tmp_path / name / "train"), "slu"),)
        run = tiny.training(tmp_path / name, features="wav", train=slu, cmvn=str(tmp_path / "cmvn"))
        valid = replace(run.valid, sources=(SourceSettings(str(tmp_path / name / "test"), "slu"),))
        sizes = replace(run.model.audio_encoder, mel_bins=80)
        model = replace(run.model, audio_encoder=sizes)
        lengths.append(build(replace(run, valid=valid, model=model)).train[0].lengths.tolist())
    assert lengths[0] == lengths[1]


def test_a_folder_is_found_from_everywhere_and_never_taken_for_a_published_encoder(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(encoder, tmp_path / "moonshine-tiny"))
    monkeypatch.chdir(tmp_path)
    found = frontend.find("./moonshine-tiny").origin
    assert found is not None
    assert (found.name, found.source) == ("moonshine-tiny-folder", str(folder))
    assert found.argument == str(folder)
    with pytest.raises(InputError, match="this name means the published one; name another folder"):
        encoder_command.main(["torch", "moonshine-tiny", "--out", "moonshine-tiny"])


def test_a_model_whose_encoder_is_gone_says_which_it_wants(
    spoken: Path, encoder: str, tmp_path: Path
) -> None:
    folder = str(shutil.copytree(encoder, tmp_path / "w2v"))
    frozen = settings(spoken, folder, audio={"trained": False}, steps=1)
    train(frozen, tmp_path / "exp")
    shutil.rmtree(folder)
    frontend.load.cache_clear()
    one = kaldi_dir.load(spoken / "test")[0]
    with pytest.raises(InputError, match=f"reads the states of w2v@.*, from {folder}, which can"):
        Recognizer.load(tmp_path / "exp/model")(one.wav)


def test_only_a_pretrained_encoder_trains_or_has_layers() -> None:
    with pytest.raises(InputError, match="layer_norm is for the sum of all layers, layers_read is"):
        AudioEncoderSettings(kind="pretrained", pretrained="x", layer_norm=True)
    changes: tuple[dict[str, Any], ...] = (
        {"trained": True},
        {"pretrained": "x"},
        {"kind": "espnet", "espnet_name": "conformer", "layers_read": "all"},
    )
    for one in changes:
        with pytest.raises(InputError, match="layers_read are of a pretrained speech encoder, kin"):
            AudioEncoderSettings(**one)


@pytest.mark.parametrize(
    "given", [{"espnet_name": "x"}, {"espnet_options": {"a": 1}}, {"espnet_weights": "x.pth"}]
)
def test_only_an_encoder_of_espnet_has_its_options(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="are of an encoder of ESPnet, kind is pretrained; set"):
        AudioEncoderSettings(kind="pretrained", pretrained="x", **given)


def test_encoders_of_two_kinds_do_not_hear_alike() -> None:
    kinds = (AudioEncoderSettings(), AudioEncoderSettings(kind="pretrained", pretrained="x"))
    one, other = (
        SimpleNamespace(settings=ModelSettings(audio_encoder=kind), frontend=Lfb(80))
        for kind in kinds
    )
    assert start._hears_alike(one, one) and start._hears_alike(other, other)  # type: ignore
    assert not start._hears_alike(one, other)  # type: ignore[arg-type]
    assert not start._hears_alike(other, one)  # type: ignore[arg-type]
