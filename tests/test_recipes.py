"""Every configuration in the recipes is read and builds a model; so do the paper's own sizes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch

from atat.base import config
from atat.engine import registry
from atat.engine.optim import Optimizer
from atat.nn.beam_search import SearchOptions
from atat.nn.settings import TextEncoderSettings
from atat.scoring.results import write_report
from atat.scoring.results_settings import Report
from atat.systems.joint.batch import Example, collate
from atat.systems.joint.build import groups
from atat.systems.joint.generate import generate
from atat.systems.joint.model import build_model
from atat.systems.joint.settings import TrainSettings

EGS = Path(__file__).parent.parent / "egs"
TRAININGS = sorted(
    path for path in EGS.glob("*/conf/**/*.yaml") if "steps" in config.read_yaml(path)
)
CONFS = [path for path in TRAININGS if config.read_yaml(path).get("system", "joint") == "joint"]
RECIPES = sorted({path.relative_to(EGS).parts[0] for path in CONFS})
# Confs whose models stand in one table, and the conf of the model that they are compared with or
# continue.
TABLES = [
    ("pretrain/conf/two_tasks.yaml", "fluentspeech/conf/{e2e,atat,e2e_subset,atat_subset}.yaml"),
    (
        "fluentspeech/conf/cpu/e2e.yaml",
        "fluentspeech/conf/cpu/{atat,e2e_subset,atat_subset}.yaml",
    ),
    ("pretrain/conf/two_tasks.yaml", "snips/conf/{e2e,e2e_encoder,atat}.yaml"),
    ("pretrain/conf/two_tasks.yaml", "snips_nlu/conf/{e2e,atat}.yaml"),
    ("snips_nlu/conf/cpu/e2e.yaml", "snips_nlu/conf/cpu/{atat}.yaml"),
    ("pretrain/conf/four_tasks.yaml", "top/conf/{e2e,tts}.yaml"),
    ("top/conf/cpu/pretrain.yaml", "top/conf/cpu/{e2e,tts,replay}.yaml"),
    (
        "synthetic_tts/conf/tiny/pretrain.yaml",
        "synthetic_tts/conf/tiny/{e2e,finetune,books_e2e,books_tts,books_replay}.yaml",
    ),
    (
        "synthetic_tts/conf/full/pretrain.yaml",
        "synthetic_tts/conf/full/{e2e,finetune,books_e2e,books_tts,books_replay}.yaml",
    ),
    ("barista/conf/pretrain.yaml", "barista/conf/{replay,tts,fold}.yaml"),
]
RESULTS = sorted(EGS.glob("*/conf/**/results*.yaml"))


RUNS = sorted(EGS.glob("*/run.sh"))
# Recipes whose models read recordings and tell frames: without features, tokenizers, hypotheses.
OF_FRAMES = ("acoustic",)


def name_of(path: Path) -> str:
    return str(path.relative_to(EGS))


def test_there_are_recipes():
    assert len(CONFS) >= 14 and len(RESULTS) >= 2


@pytest.mark.parametrize("path", RUNS, ids=name_of)
def test_a_recipe_soon_begins_and_numbers_its_stages_like_the_others(path):
    lines = path.read_text().splitlines()
    stages = [
        (number, int(found[1]))
        for number, line in enumerate(lines, 1)
        if (found := re.match(r'if .*\bstage (\d+) "', line))
    ]
    assert stages[0][0] <= 60
    numbers = [stage for _, stage in stages]
    assert numbers == sorted(set(numbers))
    # Every recipe has these; which others there are is said in utils/recipe.sh.
    assert {0, 2, 5, 6, 8, 9} <= set(numbers) <= set(range(11))
    body = dict(zip(numbers, "\n".join(lines).split("\nif ")[-len(numbers) :]))
    assert re.search("datadir|validate", body[2]) and "table" in body[9]
    if path.parent.name in OF_FRAMES:
        assert 4 not in body and "frames" in body[8]
        return
    assert "atat features" in body[4] and "tokenizer" in body[5] and "score" in body[9]


def test_options_of_recipes_are_spelt_alike():
    """No --seed beside --seeds, no data dir `valid` beside `dev`."""
    for path in RUNS:
        text = path.read_text()
        assert not re.search(r"option seeds?\b", text), path
        assert '. "$atat_root/utils/models.sh"' in text, path  # which declares --seeds
    for path in CONFS:
        assert not re.search(r"/valid\b", path.read_text()), path


@pytest.mark.parametrize(
    "path", [path for path in RUNS if path.parent.name not in OF_FRAMES], ids=name_of
)
def test_every_recipe_of_features_takes_an_encoder(path):
    """And gives it to every command that makes features or copies confs."""
    lines = path.read_text().replace("\\\n", " ").splitlines()
    for word in ("encoder_option", "use_encoder"):
        assert lines.count(word) == 1, word
    # Asked for before the marks, and so before stage 0.
    checked = [n for n, line in enumerate(lines) if line.startswith("check_encoder")]
    assert len(checked) == 1 and checked[0] == lines.index("activate") + 1
    named = next(n for n, line in enumerate(lines) if line.startswith("keep_marks"))
    assert lines.index("use_encoder") < checked[0] < named
    declared = "model_option init" in path.read_text()
    assert ('check_encoder "$init"' in lines[checked[0]]) == declared
    for line in lines:
        if re.match(r"\s*atat features ", line):
            assert '${features_options[@]+"${features_options[@]}"}' in line, line
        if re.match(r"\s*atat (conf_copy|miniature_conf) ", line):
            assert '"${conf_options[@]}"' in line, line


@pytest.mark.parametrize("path", CONFS, ids=name_of)
def test_every_configuration_builds_a_model(path):
    settings = config.load(path, TrainSettings)
    if "model" not in config.read_yaml(path) or path.name == "paper.yaml":
        return  # its model is the one it starts from, which is in CONFS, too; paper: see below
    sizes = settings.model_of_mix()
    if sizes.text_encoder is not None and sizes.text_encoder.kind == "bert":
        sizes = replace(sizes, text_encoder=replace(sizes.text_encoder, kind="small", bert=None))
    if sizes.audio_encoder is not None and sizes.audio_encoder.trained:  # its files are not here
        sizes = replace(sizes, audio_encoder=replace(sizes.audio_encoder, trained=False))
    model, _ = build_model(sizes, tiny.make_tokenizer(), pretrained=False)
    for source in settings.train:
        assert model.accepts(source.task)


@pytest.mark.parametrize("path", [path for path in TRAININGS if path not in CONFS], ids=name_of)
def test_every_configuration_of_another_system_is_read(path):
    system, settings = registry.load_settings(path)
    assert system.name == settings.system != "joint"


@pytest.mark.parametrize("start, rows", TABLES, ids=lambda value: str(value).split("/")[0])
def test_rows_of_a_table_learn_from_the_same_losses_with_the_same_schedule(start, rows):
    """A row may not be ahead for what another was not given."""
    base = config.load(EGS / start, TrainSettings)
    prefix, rest = rows.split("{")
    names, suffix = rest.split("}")
    for name in names.split(","):
        path = EGS / f"{prefix}{name}{suffix}"
        settings = config.load(path, TrainSettings)
        continued = "model" not in config.read_yaml(path)  # its model is the one it starts from
        model = base.model if continued else settings.model
        assert model.ctc == base.model.ctc, path
        assert settings.optim.schedule == base.optim.schedule, path
        assert settings.optim.label_smoothing == base.optim.label_smoothing, path
        assert settings.augment == base.augment, path
        assert settings.precision == base.precision, path


def departures(settings: TrainSettings, has_model: bool) -> dict[str, bool]:
    """What a conf does that the paper does not, by a word that names it in the README."""
    model, augment = settings.model_of_mix(), settings.augment
    audio, text = model.audio_encoder, model.text_encoder
    if not has_model:
        audio = text = None
    return {
        "CTC": model.ctc.weight > 0,
        "SpecAugment": bool(augment.time_masks or augment.freq_masks),
        "schedule instead of noam": settings.optim.schedule != "noam",
        "strided": audio is not None and max(audio.time_stride) > 1,
        "256 final units": audio is not None and model.width == 256,
        "curriculum": settings.batch.short_first_steps > 0,
        "mean of the last": settings.valid.average > 0,
        "BERT learns at": text is not None and text.kind == "bert" and model.width == 256,
    }


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_departure_from_the_paper_is_said(recipe):
    readme = (EGS / recipe / "README.md").read_text()
    section = readme.split("## Deviations")[1].split("\n## ")[0]
    section = " ".join(section.split())
    assert "on a GPU" in section
    for path in CONFS:
        if path.relative_to(EGS).parts[0] == recipe:
            # Without the key it is the model that the run starts from, whose conf is in CONFS, too.
            has_model = "model" in config.read_yaml(path)
            for word, done in departures(config.load(path, TrainSettings), has_model).items():
                assert not done or word in section, (path, word)


@pytest.mark.parametrize("path", RESULTS, ids=name_of)
def test_every_table_is_read(path, tmp_path):
    filled = tmp_path / path.name
    filled.write_text(path.read_text().replace("{folds}", "5"))  # by the recipe
    assert config.load(filled, Report).tables


@pytest.mark.parametrize(
    "recipe", ["fluentspeech", "snips", "snips_nlu", "librispeech", "pretrain"]
)
def test_a_table_of_which_nothing_was_run_is_what_its_conf_says(recipe, tmp_path, monkeypatch):
    """The figures of others in it are those of the conf, and none of ours is in it."""
    committed = (EGS / recipe / "RESULTS.md").read_text()
    if "<details>" in committed:
        pytest.skip("it has been run: its figures are those of runs that are not committed")
    text = (EGS / recipe / "conf" / "results.yaml").read_text()
    for name, value in (("folds", "5"), ("exp", "exp"), ("data", "data"), ("split", "original")):
        text = text.replace(f"{{{name}}}", value)
    (tmp_path / "results.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    write_report(config.load("results.yaml", Report), "RESULTS.md")
    made = (tmp_path / "RESULTS.md").read_text()
    assert made.split("\nWritten by ")[0] == committed.split("\nWritten by ")[0]


def test_the_papers_sizes_are_the_same_in_every_conf():
    """ "2-layer 2D CNN with 256 final units" can be read in two ways."""
    paper = config.load(EGS / "synthetic_tts" / "conf" / "paper.yaml", TrainSettings).model
    for path in CONFS:
        model = config.load(path, TrainSettings).model
        if model.width == paper.width:
            assert model.audio_encoder == paper.audio_encoder, path
            assert model.decoder == paper.decoder, path


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
    optimizer = Optimizer(model, groups(model, (), True, True), paper.optim, width=256, total=10)
    target = [tokenizer.task_id("slu"), *tokenizer.encode_text("play the song"), tokenizer.eos_id]
    speech = torch.randn(60, 80).numpy()
    words = torch.randint(5, 1000, (7,)).numpy()
    before = model.decoder.embedding.base.detach().clone()
    optimizer.prepare(1)
    for source in (speech, words):
        terms = model.losses(collate([Example("u", "slu", source, target, [])]))
        (terms["ce"].total / len(target)).backward()
    optimizer.step()
    assert not torch.equal(before, model.decoder.embedding.base)
    found = generate(
        model.eval(),
        tokenizer,
        True,
        torch.from_numpy(speech)[None],
        torch.tensor([60]),
        ["slu"],
        SearchOptions(beam=4, nbest=4, max_length=6),
    )
    assert len(found[0]) == 4


@pytest.mark.parametrize("path", sorted(EGS.glob("*/conf/**/*.yaml")), ids=name_of)
def test_what_a_recipe_fills_in_stands_between_quotes(path):
    """So that any path can take its place (`fill` in utils/recipe.sh)."""
    if path.name == "grammar.yaml":
        return  # its braces are its own
    for line in path.read_text().splitlines():
        outside = re.sub(r'"[^"]*"', "", line.split(" # ")[0])
        if not line.lstrip().startswith("#"):
            assert not re.search(r"\{(?!folds\})[a-z_]+\}", outside), line
