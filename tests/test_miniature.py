"""What `--mini` runs share: shrunk confs keep their switches; miniature sentences and speech."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from encoders import save_wav2vec2

from atat.base import config
from atat.base.errors import InputError
from atat.datadir import kaldi_dir, tables
from atat.nn.settings import AudioEncoderSettings, CtcSettings
from atat.prepare import conf_copy, miniature_bert, miniature_standin, synthesis
from atat.prepare.miniature_speech import VARIANTS, Line, speak, voice
from atat.prepare.miniature_text import draw
from atat.speech import audio
from atat.systems.joint import miniature_conf
from atat.systems.joint.settings import TrainSettings
from atat.text import bert_files

EGS = Path(__file__).parent.parent / "egs"
PAPER = EGS / "synthetic_tts" / "conf" / "paper.yaml"
# Confs of LFB with time masks.
AUGMENTED = [
    EGS / name
    for name in (
        "librispeech/conf/asr.yaml",
        "top/conf/cpu/pretrain.yaml",
        "top/conf/cpu/replay.yaml",
        "synthetic_tts/conf/tiny/e2e.yaml",
        "template/conf/cpu.yaml",
    )
]


def test_a_shrunk_conf_keeps_sources_tasks_and_switches(tmp_path: Path) -> None:
    miniature_conf.main([str(PAPER), "--out", str(tmp_path), "--move", "data", "data_mini"])
    before = config.load(PAPER, TrainSettings)
    after = config.load(tmp_path / "paper.yaml", TrainSettings)
    assert after.steps < 10 and after.model.width < before.model.width
    assert [(s.task, s.weight, s.loss_weight) for s in after.train] == [
        (s.task, s.weight, s.loss_weight) for s in before.train
    ]
    assert [s.data for s in after.train] == [
        s.data.replace("data/", "data_mini/", 1) for s in before.train
    ]
    assert after.tokenizer.startswith("data_mini/") and after.augment == before.augment
    assert after.optim.schedule == before.optim.schedule
    assert after.model.text_encoder is not None and after.model.text_encoder.kind == "small"


def test_a_shrunk_model_keeps_its_speech_encoder_its_units_and_its_bridge(tmp_path: Path) -> None:
    conf = EGS / "barista" / "conf" / "encoder" / "pretrain.yaml"
    keys = [
        f"model.audio_encoder.{key}"
        for key in ("pretrained=another", "trained=true", "layers_read=all", "layer_norm=true")
    ]
    set_to = [word for key in keys for word in ("--set", key)]
    miniature_conf.main([str(conf), "--out", str(tmp_path), *set_to])
    before = config.load(conf, TrainSettings, keys).model
    after = config.load(tmp_path / "pretrain.yaml", TrainSettings).model
    assert after.width < before.width
    assert before.bridge.share > 0 and after.bridge == before.bridge and after.ctc == before.ctc
    assert before.text_encoder is not None and after.text_encoder is not None
    assert after.text_encoder.units == before.text_encoder.units == "phones"
    assert before.audio_encoder is not None and after.audio_encoder is not None
    assert after.audio_encoder.kind == "pretrained" and after.audio_encoder.pretrained == "another"
    assert after.audio_encoder.stack == before.audio_encoder.stack
    assert after.audio_encoder.trained and after.audio_encoder.layer_norm
    assert after.audio_encoder.layers_read == "all"


def test_a_miniature_over_an_encoder_keeps_it(tmp_path: Path) -> None:
    encoder = save_wav2vec2(tmp_path / "w2v")
    for program, out in ((miniature_conf, "mini"), (conf_copy, "copy")):
        program.main([str(PAPER), "--out", str(tmp_path / out), "--encoder", str(encoder)])
    copy, mini = (config.load(tmp_path / o / "paper.yaml", TrainSettings) for o in ("copy", "mini"))
    for made in (copy, mini):
        audio_encoder = made.model.audio_encoder
        assert audio_encoder is not None and audio_encoder.kind == "pretrained"
        assert audio_encoder.pretrained == str(encoder)
        assert audio_encoder.stack == AudioEncoderSettings.stack
    assert mini.model.width < copy.model.width
    again = tmp_path / "copy" / "paper.yaml"
    miniature_conf.main([str(again), "--out", str(tmp_path / "again")])
    assert config.load(tmp_path / "again" / "paper.yaml", TrainSettings) == mini


def test_what_is_set_in_a_miniature_is_not_shrunk(tmp_path: Path) -> None:
    change = ["--set", "steps=777", "--set", "model.audio_encoder.layers=2"]
    miniature_conf.main([str(PAPER), "--out", str(tmp_path), *change])
    made = config.load(tmp_path / "paper.yaml", TrainSettings)
    assert made.steps == 777 and made.model.audio_encoder is not None
    assert made.model.audio_encoder.layers == 2 and made.model.decoder.layers == 1


@pytest.mark.parametrize("path", AUGMENTED, ids=lambda path: str(path.relative_to(EGS)))
def test_time_masks_last_as_long_over_an_encoder(path: Path, tmp_path: Path) -> None:
    """A frame lasts 10 ms, a state of this encoder 20."""
    encoder = save_wav2vec2(tmp_path / "w2v")
    conf_copy.main([str(path), "--out", str(tmp_path), "--encoder", str(encoder)])
    before = config.load(path, TrainSettings)
    after = config.load(tmp_path / path.name, TrainSettings)
    seconds = 0.010 * before.augment.time_mask_width, 0.020 * after.augment.time_mask_width
    assert abs(seconds[0] - seconds[1]) < 0.011 and after.augment.time_mask_width >= 1
    assert after.augment.freq_mask_width == before.augment.freq_mask_width
    assert after.model.ctc == CtcSettings(before.model.ctc.weight, "pieces")
    conf_copy.main(
        [str(path), "--out", str(tmp_path), "--encoder", str(encoder)]
        + ["--set", "augment.time_mask_width=5"]
    )
    assert config.load(tmp_path / path.name, TrainSettings).augment.time_mask_width == 5


def test_both_sides_of_a_bridge_get_the_same_units_over_an_encoder(tmp_path: Path) -> None:
    encoder, path = save_wav2vec2(tmp_path / "w2v"), tmp_path / "letters.yaml"
    path.write_text(
        f"base: {PAPER}\nmodel:\n  text_encoder: {{kind: small, units: characters}}\n"
        "  ctc: {weight: 1.0, units: characters}\n  bridge: {share: 0.4}\n"
    )
    conf_copy.main([str(path), "--out", str(tmp_path / "out"), "--encoder", str(encoder)])
    made = config.load(tmp_path / "out/letters.yaml", TrainSettings).model
    assert made.text_encoder is not None and made.text_encoder.units == made.ctc.units == "pieces"


def test_a_model_that_only_reads_gets_no_encoder(tmp_path: Path) -> None:
    path = EGS / "fluentspeech" / "conf" / "nlu.yaml"
    conf_copy.main([str(path), "--out", str(tmp_path), "--encoder", "nowhere"])
    assert config.load(tmp_path / "nlu.yaml", TrainSettings) == config.load(path, TrainSettings)


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ("model: 3", "key `model` is 3; expected further keys"),
        ("model: {ctc: [1]}", "key `model.ctc` is .1.; expected further keys"),
        ("augment: {time_masks: 1, time_mask_width: wide}", "key `augment.time_mask_width` is 'w"),
    ],
)
def test_keys_of_a_conf_that_no_encoder_fits_are_named(
    tmp_path: Path, conf: str, message: str
) -> None:
    (tmp_path / "a.yaml").write_text(conf)
    with pytest.raises(InputError, match=f"a.yaml: {message}"):
        conf_copy.main([f"{tmp_path}/a.yaml", "--out", f"{tmp_path}/out", "--encoder", "nowhere"])


def test_a_conf_is_not_overwritten_by_its_miniature(tmp_path: Path) -> None:
    copy = tmp_path / "paper.yaml"
    copy.write_bytes(PAPER.read_bytes())
    with pytest.raises(InputError, match="name another one"):
        miniature_conf.main([str(copy), "--out", str(tmp_path)])
    assert copy.read_bytes() == PAPER.read_bytes()


def test_the_stand_in_shares_words_with_the_corpus_and_no_tag(tmp_path: Path) -> None:
    tree = "[IN:PLAY play [SL:SONG [IN:GET \\[IN:X river ] ] ]"  # an escaped bracket is a word
    kaldi_dir.write(
        tmp_path / "train",
        [
            kaldi_dir.Utterance(id=f"a-{n}", speaker="a", text="play [IN:X river", semantics=tree)
            for n in range(6)
        ],
    )
    miniature_standin.main(
        ["--data", str(tmp_path / "train"), "--out", str(tmp_path / "standin"), "--utterances", "3"]
    )
    found = kaldi_dir.load(tmp_path / "standin")
    assert len(found) == 3 and {one.text for one in found} == {"play [IN:X river"}
    assert {one.semantics for one in found} == {
        "[IN:STANDIN_PLAY play [SL:STANDIN_SONG [IN:STANDIN_GET \\[IN:X river ] ] ]"
    }


def test_a_miniature_bert_reads_frequent_words_whole_and_others_by_letters(tmp_path: Path) -> None:
    tables.write_table(tmp_path / "text", {"a-1": "play silver river", "a-2": "stop"})
    for name in ("one", "two"):
        miniature_bert.main(["--data", str(tmp_path), "--out", str(tmp_path / name)])
    tokenizer = bert_files.pretrained_tokenizer(str(tmp_path / "one"))
    assert tokenizer.encode("play Stop pot").tokens == "[CLS] play stop p ##o ##t [SEP]".split()
    models = [bert_files.pretrained(str(tmp_path / name)).state_dict() for name in ("one", "two")]
    for name, value in models[0].items():  # a pooler is none of its parts
        assert name.startswith("pooler.") or torch.equal(value, models[1][name]), name
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").iterdir()]
    one, two = ([(tmp_path / name / f).read_bytes() for f in files] for name in ("one", "two"))
    assert one == two
    (tmp_path / "text").write_text("")
    with pytest.raises(InputError, match="text: empty"):
        miniature_bert.main(["--data", str(tmp_path), "--out", str(tmp_path / "three")])


@pytest.mark.skipif(
    synthesis.available("espeak") is not None, reason="espeakng-loader is not installed"
)
def test_miniature_speech_is_as_long_as_its_words(tmp_path: Path) -> None:
    lines = [
        Line(tmp_path / "a" / "1.flac", "Turn it to 5", 0),
        Line(tmp_path / "2.wav", "stop", 1),
    ]
    times = speak(lines)
    assert [[word.text for word in words] for words in times] == [
        ["turn", "it", "to", "five"],
        ["stop"],
    ]
    for line, words in zip(lines, times):
        samples = audio.load(str(line.path))
        assert 0 < words[-1].end <= len(samples) / 16000
    first = lines[0].path.read_bytes()
    speak(lines[:1])
    assert lines[0].path.read_bytes() == first


def test_drawn_sentences_differ_and_every_template_is_among_them() -> None:
    templates = ("play {song}", "stop", "play {song} in the {room}")
    fillers = {"song": ("moon", "river"), "room": ("kitchen", "garden")}
    found = draw(templates, fillers, 7, random.Random(1))
    assert len(set(found)) == len(found) == 7  # all there are
    assert {"stop", "play moon in the garden"} <= set(found)
    assert found == draw(templates, fillers, 7, random.Random(1))
    assert [text.split()[0] for text in found[:2]] == ["play", "stop"]
    with pytest.raises(AssertionError, match="have no 8 texts"):
        draw(templates, fillers, 8, random.Random(1))


def test_neighbouring_speakers_have_different_voices() -> None:
    assert len({voice(number) for number in range(4 * len(VARIANTS))}) == 4 * len(VARIANTS)
