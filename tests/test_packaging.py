"""The package: its core is enough to use a model, extras name the rest, a wheel holds it all."""

from __future__ import annotations

import configparser
import importlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import pytest
import tiny
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from atat.base import cli, extras
from atat.base.errors import InputError
from atat.engine import model_folder
from atat.nn.settings import AudioEncoderSettings
from atat.systems.joint.model import build_model
from atat.systems.joint.packed import Packed
from atat.systems.tagger import pipeline
from atat.text.encoder_ids import build_encoder_ids

ROOT = Path(__file__).resolve().parent.parent


def requirements() -> dict[str, list[Requirement]]:
    """What setup.cfg names: the core under "", the extras under their names."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lists = {"": parser["options"]["install_requires"], **parser["options.extras_require"]}
    return {
        extra: [Requirement(line) for line in text.splitlines() if line.strip()]
        for extra, text in lists.items()
    }


def pins() -> list[Requirement]:
    """What tools/install.sh installs."""
    lines = [
        line
        for name in ("requirements.txt", "requirements-nodeps.txt")
        for line in (ROOT / "tools" / name).read_text().splitlines()
    ]
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def versions(requirement: Requirement) -> list[str]:
    """The versions at which a package is pinned, one or one for each range of Pythons."""
    name = canonicalize_name(requirement.name)
    return [
        next(iter(pin.specifier)).version for pin in pins() if canonicalize_name(pin.name) == name
    ]


@lru_cache
def owners() -> Mapping[str, list[str]]:
    """The packages that each module that can be imported belongs to."""
    return metadata.packages_distributions()


# --- setup.cfg and tools/requirements*.txt agree


@pytest.mark.parametrize("extra", requirements())
def test_what_setup_cfg_names_is_installed_by_install_sh_at_a_version_it_allows(extra: str) -> None:
    for requirement in requirements()[extra]:
        found = versions(requirement)
        assert found, f"{requirement} is not in tools/requirements.txt"
        assert all(requirement.specifier.contains(version) for version in found), requirement
        # The bound is a version that was tested, not one that nobody tried.
        assert {next(iter(requirement.specifier)).version} & {*found}, requirement


def test_every_package_that_install_sh_installs_belongs_to_the_core_or_an_extra() -> None:
    named = {canonicalize_name(r.name) for found in requirements().values() for r in found}
    # What needs --no-deps cannot be in an extra: extras.FURTHER names it instead.
    further = {"espnet"} & {*extras.FURTHER}
    assert {canonicalize_name(pin.name) for pin in pins()} == named | further


def test_the_extras_told_to_users_install_what_they_import() -> None:
    found = requirements()
    for module, extra in extras.EXTRA_OF.items():
        names = {canonicalize_name(r.name) for r in found[extra]}
        if module == "espnet2":
            assert "pip install --no-deps espnet" in extras.how_to_install(extra)
            continue
        for distribution in owners().get(module, []):
            assert canonicalize_name(distribution) in names, (module, extra)


# --- what is missing is said


def hide(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Let a package look as if it were not installed, imported already or not."""
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)


def test_an_espnet_encoder_without_espnet_says_which_extra_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hide(monkeypatch, "espnet2")
    audio = AudioEncoderSettings(kind="espnet", espnet_name="conformer")
    settings = replace(tiny.MODEL, audio_encoder=audio)
    with pytest.raises(InputError) as error:
        build_model(settings, tiny.make_tokenizer())
    message = str(error.value)
    assert message.startswith("audio_encoder.kind espnet needs the extra `espnet` (")
    for part in ("tools/install.sh", "'atat[espnet]'", "pip install --no-deps espnet"):
        assert part in message
    assert "\n" not in message


def test_a_command_that_lacks_a_package_names_its_extra_and_passes_on_what_is_our_own_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hide(monkeypatch, "pycrfsuite")
    data = tiny.make_data(tmp_path / "data", count=4)
    command = ["train", "--kind", "crf", "--data", str(data), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        cli.run(lambda: pipeline.main(command))
    assert ended.value.code == 2
    assert re.search(r"error: .*pycrfsuite.*pip install 'atat\[taggers\]'", capsys.readouterr().err)
    with pytest.raises(ModuleNotFoundError):
        cli.run(lambda: importlib.import_module("atat.no_such_module"))


# --- the wheel

USE = """
import sys

hidden = set(sys.argv[3].split(","))

class OnlyTheCore:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}: not in the core", name=name)

sys.meta_path.insert(0, OnlyTheCore())
import numpy as np
import atat
from atat import Recognizer
from atat.engine import decode

model, data = sys.argv[1:3]
print(atat.__file__)
recognizer = Recognizer.load(model)
noise = np.random.default_rng(0).normal(0, 0.1, 44100).astype(np.float32)
print(len(recognizer(noise, sample_rate=44100).nbest))
decode.main(["--model", model, "--data", data, "--task", "slu", "--out", "decoded", "--beam", "1"])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, built from a copy so that setuptools leaves nothing in it."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "atat", folder / "atat", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests", "egs"):  # which are no part of the package
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder / "dist"),
        ".",
    ]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (found,) = (folder / "dist").glob("atat-*.whl")
    return found


def beyond_the_core() -> set[str]:
    """The modules of packages that neither the core names nor anything of it needs."""
    names = [requirement.name for requirement in requirements()[""]]
    closure: set[str] = set()
    while names:
        name = canonicalize_name(names.pop())
        if name in closure:
            continue
        closure.add(name)
        try:
            needed = [Requirement(line) for line in metadata.requires(name) or []]
        except metadata.PackageNotFoundError:  # for another platform
            continue
        names += [r.name for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})]
    return {
        module
        for module, found in owners().items()
        if not closure & {canonicalize_name(owner) for owner in found}
    } - {"atat"}


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "atat").rglob("*.py")}
    page = {str(path.relative_to(ROOT)) for path in (ROOT / "atat/apps/server/page").iterdir()}
    demo = {str(p.relative_to(ROOT)) for p in (ROOT / "atat/apps/demo").rglob("*") if p.is_file()}
    inside = {name for name in names if ".dist-info/" not in name}
    others = {"atat/py.typed", "atat/apps/report/page.html"}
    assert inside == code | page | demo | others and len(page) == 7
    assert sum((ROOT / name).stat().st_size for name in demo) <= 16 * 2**20
    with zipfile.ZipFile(wheel) as archive:
        (about,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(about).decode()
    provided = set(re.findall(r"^Provides-Extra: (\S+)$", text, re.MULTILINE))
    assert provided == {*requirements()} - {""}


def test_the_wheel_outside_the_repository_uses_a_model_with_nothing_but_the_core(
    wheel: Path, tmp_path: Path
) -> None:
    settings, tokenizer = tiny.without_dropout(), tiny.make_tokenizer()
    model, units = build_model(settings, tokenizer)
    source = build_encoder_ids(settings.text_encoder.bert_or_none, tokenizer)
    one = Packed(model.eval(), tokenizer, settings, units, source, set(), ("slu",))
    model_folder.save(tmp_path / "model", one)
    data = tiny.make_data(tmp_path / "data", count=3)
    assert {"transformers", "jiwer"} <= beyond_the_core()
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (tmp_path / "use.py").write_text(USE)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "use.py", "model", str(data), ",".join(sorted(beyond_the_core()))]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    where, hypotheses = result.stdout.split()[:2]
    assert Path(where) == tmp_path / "site/atat/__init__.py" and int(hypotheses) >= 1
    assert len((tmp_path / "decoded/hyp").read_text().splitlines()) == 3
