"""What stands beside the code says the same as the code, and points to what is there."""

from __future__ import annotations

import configparser
import hashlib
import re
from pathlib import Path

import pytest
import yaml

import atat

ROOT = Path(__file__).parent.parent
PLACES = ("*.md", "*/README.md", "egs/*/README.md", "atat/*/README.md", "docs/pages/**/*.md")
DOCUMENTS = sorted(path for place in PLACES for path in ROOT.glob(place))
APACHE = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"  # apache.org's text


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
    dead = [
        link
        for link in links
        if not re.match(r"[a-z]+:", link) and not (path.parent / link).exists()
    ]
    assert not dead


def test_there_is_one_version_and_one_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg", encoding="utf-8")
    assert str(citation["version"]) == atat.__version__
    assert f"`atat.__version__` is {atat.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert citation["license"] == metadata["metadata"]["license"] == "Apache-2.0"
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE


def test_the_changelog_names_no_version_that_was_never_released() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
    days = sections[1:]
    assert sections[0] == "[Unreleased]" and days == sorted(days, reverse=True)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", day) for day in days)
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_hooks_and_ci_call_the_same_linters() -> None:
    runner = "utils/in_environment.sh "
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    hooks = [hook for repo in repos for hook in repo["hooks"]]
    # Nothing is fetched, and versions are those of the environment.
    assert {repo["repo"] for repo in repos} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}
    assert all(hook["entry"].startswith(runner) and not hook["pass_filenames"] for hook in hooks)
    called = [hook["entry"].removeprefix(runner) for hook in hooks]
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert re.findall(r"^((?!grep).*) \|\| failed=1$", script, re.MULTILINE) == called
    assert {command.split()[0] for command in called} == {"ruff", "mypy", "utils/types.sh"}
    pins = (ROOT / "tools/requirements.txt").read_text(encoding="utf-8")
    assert all(re.search(rf"^{tool}==", pins, re.MULTILINE) for tool in ("ruff", "mypy"))


def test_every_module_that_security_speaks_of_is_there() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:atat|tools)/[\w./]+)`", text)
    assert len(named) >= 4 and all((ROOT / name).exists() for name in named)
