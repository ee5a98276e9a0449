"""What `--mini` runs share: shrunk confs keep their switches; miniature sentences and speech."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from atat.base import config
from atat.base.errors import InputError
from atat.datadir import kaldi_dir
from atat.prepare import miniature_standin, synthesis
from atat.prepare.miniature_speech import VARIANTS, Line, speak, voice
from atat.prepare.miniature_text import draw
from atat.speech import audio
from atat.systems.joint import miniature_conf
from atat.systems.joint.settings import TrainSettings

EGS = Path(__file__).parent.parent / "egs"
PAPER = EGS / "synthetic_tts" / "conf" / "paper.yaml"


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
