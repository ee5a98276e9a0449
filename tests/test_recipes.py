"""Every configuration in the recipes is read and builds a model; so do the paper's own sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch

from atat import config
from atat.batch import Example, collate
from atat.generate import generate
from atat.model import build_model
from atat.optim import Optimizer, partition
from atat.results import Report
from atat.search import SearchOptions
from atat.settings import TextEncoderSettings, TrainSettings

EGS = Path(__file__).parent.parent / "egs"
CONFS = sorted(
    path for path in EGS.glob("*/conf/**/*.yaml") if "steps" in config.read_yaml(path)
)
RESULTS = sorted(EGS.glob("*/conf/**/results*.yaml"))


def name_of(path: Path) -> str:
    return str(path.relative_to(EGS))


def test_there_are_recipes():
    assert len(CONFS) >= 14 and len(RESULTS) >= 2


@pytest.mark.parametrize("path", CONFS, ids=name_of)
def test_every_configuration_builds_a_model(path):
    settings = config.load(path, TrainSettings)
    if "model" not in config.read_yaml(path) or path.name == "paper.yaml":
        return  # its model is the one it starts from, which is in CONFS, too; paper: see below
    sizes = settings.model_of_mix()
    if sizes.text_encoder is not None and sizes.text_encoder.kind == "bert":
        sizes = replace(sizes, text_encoder=replace(sizes.text_encoder, kind="small", bert=None))
    model, _ = build_model(sizes, tiny.make_tokenizer(), pretrained=False)
    for source in settings.train:
        assert model.accepts(source.task)


@pytest.mark.parametrize("path", RESULTS, ids=name_of)
def test_every_table_is_read(path, tmp_path):
    filled = tmp_path / path.name
    filled.write_text(path.read_text().replace("{folds}", "5"))  # by the recipe
    assert config.load(filled, Report).tables


def test_the_papers_sizes_train_a_step_and_decode(tmp_path):
    """AT-AT, "Experimental Details"; BERT-base with random weights."""
    from transformers import BertConfig

    BertConfig().save_pretrained(tmp_path / "bert")
    text = TextEncoderSettings(kind="bert", bert=str(tmp_path / "bert"))
    paper = config.load(EGS / "synthetic_tts" / "conf" / "paper.yaml", TrainSettings)
    settings = replace(paper.model, text_encoder=text)
    tokenizer = tiny.make_tokenizer()
    model, _ = build_model(settings, tokenizer, pretrained=False)
    audio = sum(p.numel() for p in model.audio_encoder.encoder.layers.parameters())
    decoder = sum(p.numel() for p in model.decoder.layers.parameters())
    assert round(audio / 1e6, 1) == 15.8 and round(decoder / 1e6, 1) == 9.5
    optimizer = Optimizer(
        model, partition(model, (), True, True), paper.optim, width=256, total=10
    )
    target = [tokenizer.task_id("slu"), *tokenizer.encode_text("play the song"), tokenizer.eos_id]
    speech = torch.randn(60, 80).numpy()
    words = torch.randint(5, 1000, (7,)).numpy()
    before = model.decoder.embedding.base.detach().clone()
    optimizer.prepare(1)
    for source in (speech, words):
        sums = model.losses(collate([Example("u", "slu", source, target, [])]), smoothing=0.1)
        (sums["ce"] / len(target)).backward()
    optimizer.step()
    assert not torch.equal(before, model.decoder.embedding.base)
    found = generate(
        model.eval(), tokenizer, True, torch.from_numpy(speech)[None], torch.tensor([60]), ["slu"],
        SearchOptions(beam=4, nbest=4, max_length=6),
    )
    assert len(found[0]) == 4
