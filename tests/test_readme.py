"""The README names every room of the house, and none that is not there."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import tiny
import yaml

from atat.base import config
from atat.engine.settings import ModelSettings, TrainSettings
from atat.systems.joint.model import build_model

ROOT = Path(__file__).parent.parent


def test_the_table_of_where_things_are_names_every_module_and_nothing_else() -> None:
    rows = re.findall(r"^\| — .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    modules = [path.stem for path in (ROOT / "atat").glob("*.py") if path.stem != "__init__"]
    unnamed = [m for m in modules if not any(fnmatch(m, pattern) for pattern in named)]
    empty = [pattern for pattern in named if not any(fnmatch(m, pattern) for m in modules)]
    assert (unnamed, empty) == ([], [])


def test_the_conf_for_ones_own_data_is_one_for_a_laptop() -> None:
    """A newcomer's first training may not take days: a tenth of the paper's parameters."""
    block = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    settings = config.from_dict(yaml.safe_load(block[1]), TrainSettings, "README.md")
    model, _ = build_model(settings.model_of_mix(), tiny.make_tokenizer(), pretrained=False)
    paper, _ = build_model(ModelSettings(), tiny.make_tokenizer(), pretrained=False)
    count = [sum(p.numel() for p in each.parameters()) for each in (model, paper)]
    assert count[0] < 0.1 * count[1]
    assert settings.steps * settings.batch.examples < 50_000
