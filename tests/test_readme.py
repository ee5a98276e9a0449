"""What is written names what is there: every module, every part of the contract, nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import tiny
import yaml

from atat.__main__ import COMMANDS
from atat.base import config
from atat.systems.joint.model import build_model
from atat.systems.joint.settings import ModelSettings, TrainSettings

ROOT = Path(__file__).parent.parent


def test_the_table_of_rooms_names_every_module_and_nothing_else() -> None:
    rows = re.findall(
        r"^\| `(atat/[a-z/]+)` \| (.*) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.M
    )
    named = {room: set(re.findall(r"`([^`]+)`", text)) for room, text in rows}
    there: dict[str, set[str]] = {}
    for path in (ROOT / "atat").rglob("*.py"):
        if path.stem[:2] != "__":
            there.setdefault(str(path.parent.relative_to(ROOT)), set()).add(path.stem)
    assert named == there


def test_the_conf_for_ones_own_data_is_one_for_a_laptop() -> None:
    """A newcomer's first training may not take days: a tenth of the paper's parameters."""
    page = ROOT / "docs/pages/how-to/own-data.md"
    block = re.search(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    settings = config.from_dict(yaml.safe_load(block[1]), TrainSettings, str(page))
    model, _ = build_model(settings.model_of_mix(), tiny.make_tokenizer(), pretrained=False)
    paper, _ = build_model(ModelSettings(), tiny.make_tokenizer(), pretrained=False)
    count = [sum(p.numel() for p in each.parameters()) for each in (model, paper)]
    assert count[0] < 0.1 * count[1]
    assert settings.steps * settings.batch.examples < 50_000


def test_the_page_on_a_system_of_your_own_names_every_part_of_the_contract() -> None:
    page = (ROOT / "atat/systems/README.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|", page, re.M))
    for node in ast.parse((ROOT / "atat/engine/contract.py").read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name not in ("Term", "Budget"):
            there = {
                part.name if isinstance(part, ast.FunctionDef) else part.target.id
                for part in node.body
                if isinstance(part, ast.FunctionDef | ast.AnnAssign)
            }
            named = set(re.findall(r"\w+", rows[node.name]))
            assert {name for name in there if name[:2] != "__"} <= named, node.name


def test_the_commands_that_readmes_name_are_there() -> None:
    known = {name for group in COMMANDS.values() for name in group}
    for path in [ROOT / "README.md", *ROOT.glob("*/*/README.md"), *ROOT.glob("docs/pages/**/*.md")]:
        text = path.read_text()
        blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
        lines = re.findall(r"^ *atat ([a-z_]+)", blocks, re.MULTILINE)
        for name in [*lines, *re.findall(r"`atat ([a-z_]+)", text)]:
            assert name in known, (path, name)
