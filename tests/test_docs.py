"""The documentation: what its hooks take from the repository, its drawings, its licences.

`utils/docs.sh` builds it, in .ci/run; there a dead link, or whatever is loaded from elsewhere, is
an error.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
import xml.etree.ElementTree as xml
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from atat.__main__ import COMMANDS
from atat.base.encoder_files import PUBLISHED
from atat.engine import settings
from atat.engine.model_card import SYNTHESISERS
from atat.systems.joint.settings import TrainSettings

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs/pages"
CONCEPTS = sorted(path for path in (PAGES / "concepts").glob("*.md") if path.stem != "index")
DRAWINGS = sorted((PAGES / "drawings").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def hook() -> Iterator[Any]:
    """Imports a module of docs/hooks; needs mkdocs only for those that it calls."""
    sys.path.insert(0, str(ROOT / "docs/hooks"))
    known = set(sys.modules)
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(ROOT / "docs/hooks"))
        for name in set(sys.modules) - known:
            if getattr(sys.modules[name], "__file__", None) and "docs/hooks" in str(
                sys.modules[name].__file__
            ):
                del sys.modules[name]


# --- what pages are made of


def test_a_section_ends_where_the_next_of_its_level_begins(hook: Any, tmp_path: Path) -> None:
    source = tmp_path / "README.md"
    source.write_text(
        "# A\n\n## One\n\ntext\n\n```sh\n# no heading\n```\n\n### In it\n\n## Two\n\nend\n"
    )
    sections: ModuleType = hook("sections")
    name, text = sections.section(source, "On")
    assert (name, text) == ("One", "text\n\n```sh\n# no heading\n```\n\n### In it")
    assert sections.section(source, "Two") == ("Two", "end")
    with pytest.raises(sections.MissingSection, match="no heading begins with 'Three'"):
        sections.section(source, "Three")


def test_links_of_a_section_lead_to_the_same_files(hook: Any) -> None:
    page = PAGES / "how-to" / "recipe.md"
    made = hook("sections").expand('<!-- section CONTRIBUTING.md "Documentation" -->', page)
    assert "](../index.md)" in made  # docs/pages/index.md, from CONTRIBUTING.md
    assert "<!--" not in made


def test_code_has_no_links(hook: Any) -> None:
    text = "[a](b.md) `[c](d.md)`\n\n```\n[e](f.md)\n```\n"
    sections = hook("sections")
    assert sections.links(text) == ["b.md"]
    assert sections.with_links("[a](b.md#x)\n```\n[e](f.md)\n```", str.upper) == (
        "[a](B.MD#x)\n```\n[e](f.md)\n```"
    )


def test_every_deviation_is_on_the_page(hook: Any) -> None:
    page = PAGES / "systems" / "deviations.md"
    sections = hook("sections")

    def words(text: str) -> str:
        return re.sub(r"\]\([^)]*\)", "]", text)  # links lead elsewhere from another page

    made = words(sections.expand(page.read_text(), page))
    for source in [*ROOT.glob("egs/*/README.md"), *PAGES.glob("systems/*.md")]:
        if source != page:
            _, text = sections.section(source, "Deviations")
            assert text and words(text) in made, source


@pytest.mark.parametrize("name", [name for group in COMMANDS.values() for name in group])
def test_the_page_of_a_command_has_all_of_its_help(hook: Any, name: str) -> None:
    commands = hook("commands")
    page = commands.page(name)
    parsers = commands.parsers(name)
    assert page.startswith(f"# atat {name}\n") and page.count("**Reads:**") == len(parsers)
    for parser in parsers:
        options = [option for action in parser._actions for option in action.option_strings]
        assert all(option in page for option in options)
    # What a terminal is like changes nothing.
    assert "\x1b" not in page and page.count("```") % 2 == 0


def test_every_key_of_a_conf_is_explained(hook: Any) -> None:
    made = hook("keys").tables(ROOT / "atat/engine/settings.py")
    for kind in (settings.BatchSettings, settings.ValidSettings, settings.RunSettings):
        for field in dataclasses.fields(kind):
            assert f"| `{field.name}` |" in made, field.name
    row = next(line for line in made.split("\n") if line.startswith("| `block` |"))
    assert row == (
        "| `block` | `int` | `50` | steps whose examples are drawn together and sorted by length |"
    )
    joint = hook("keys").tables(ROOT / "atat/systems/joint/settings.py")
    inherited = {field.name for field in dataclasses.fields(settings.RunSettings)}
    for field in dataclasses.fields(TrainSettings):
        assert field.name in inherited or f"| `{field.name}` |" in joint, field.name


def test_the_navigation_names_every_page_that_is_written() -> None:
    nav = yaml.safe_load((ROOT / "docs/mkdocs.yml").read_text())["nav"]
    named = set(re.findall(r"[\w/.-]+\.md", str(nav)))
    commands = "reference/commands.md"  # docs/hooks/reference.py puts it in the place of COMMANDS
    assert {str(path.relative_to(PAGES)) for path in PAGES.rglob("*.md")} - {commands} <= named


def test_what_is_loaded_from_elsewhere_is_noticed(hook: Any) -> None:
    outside = hook("repository")._OUTSIDE
    for html in (
        '<script src="https://example.org/a.js">',
        '<link rel="stylesheet" href="//example.org/a.css">',
        '<img alt="" src="http://example.org/a.png">',
    ):
        assert outside.search(html), html
    assert not outside.search('<a href="https://example.org">a</a><img src="../a.png">')


# --- drawings


@pytest.mark.parametrize("page", CONCEPTS, ids=lambda path: path.stem)
def test_a_concept_has_one_picture(page: Path) -> None:
    shown = re.findall(r"!\[[^\]]+\]\(\.\./drawings/([\w-]+\.svg)\)", page.read_text())
    assert len(shown) == 1 and (PAGES / "drawings" / shown[0]).is_file()


@pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.stem)
def test_a_drawing_is_light_and_dark_within_its_frame_and_says_what_it_shows(path: Path) -> None:
    drawing = xml.parse(path).getroot()
    title, description = drawing.find(f"{SVG}title"), drawing.find(f"{SVG}desc")
    assert title is not None and title.text and description is not None and description.text
    assert drawing.get("aria-labelledby") == title.get("id") and drawing.get("role") == "img"
    width, height = map(float, drawing.get("viewBox", "").split()[2:])
    for part in drawing:
        x, y = float(part.get("x", 0)), float(part.get("y", 0))
        assert 0 <= x <= width and 0 <= y <= height
        assert not {"fill", "stroke", "style"} & set(part.attrib), "colours are of the style"
    style = drawing.find(f"{SVG}style")
    assert style is not None and style.text
    # Of the whole set alike, so that pages look alike; two values for each colour.
    first = xml.parse(DRAWINGS[0]).getroot().find(f"{SVG}style")
    assert first is not None and style.text == first.text
    assert not re.search(r"(?<!light-dark\()#[0-9a-f]{6}(?!, #|\))", style.text)
    # In a page, a selector without the drawing's class would paint the page.
    rules = re.findall(r"^ *([^{}\n]+) \{", style.text, re.MULTILINE)
    assert all(rule.startswith((".atat-drawing", "svg:root")) for rule in rules)


# --- licences


def test_the_licences_are_those_of_the_code() -> None:
    page = (PAGES / "start/licences.md").read_text()
    rows = dict(re.findall(r"^\| `([\w-]+)`[^|]*\|(?: [^|]*\|)? ([^|]+) \|$", page, re.MULTILINE))
    for name, published in PUBLISHED.items():
        assert rows[name].startswith(published.licence), name
    for name, licence in SYNTHESISERS.items():
        assert rows[name] == licence, name
