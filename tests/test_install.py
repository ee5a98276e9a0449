"""The environment's builder: Pythons it refuses, and checkouts that share one environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def install(
    root: Path, venv: Path | str, python: str | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ATAT_VENV": str(venv)}
    environment.pop("PYTHONPATH", None)
    environment.pop("PYTHON", None)
    if python is not None:
        environment["PYTHON"] = python
    return subprocess.run(
        [root / "tools" / "install.sh"], env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("end", ["", "/"])
def test_an_old_python_is_refused(tmp_path: Path, end: str) -> None:
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\necho 3.9.18\n")
    old.chmod(0o755)
    result = install(ROOT, f"{tmp_path}/venv{end}", str(old))
    assert result.returncode == 1
    assert "is Python 3.9.18, but atat needs 3.10 or newer" in result.stderr
    assert "PYTHON=/path/to/python3.11" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_a_python_that_does_not_run_is_refused(tmp_path: Path) -> None:
    result = install(ROOT, tmp_path / "venv", str(tmp_path / "nowhere"))
    assert result.returncode == 1 and "does not run as a Python" in result.stderr


def checkout(folder: Path) -> Path:
    """A checkout whose environment needs no packages, so that it is built in seconds."""
    (folder / "tools").mkdir(parents=True)
    (folder / "atat").mkdir()
    (folder / "setup.cfg").touch()
    for name in ("install.sh", "atat"):
        shutil.copy(ROOT / "tools" / name, folder / "tools")
    for name in ("requirements.txt", "requirements-nodeps.txt", "constraints.txt"):
        (folder / "tools" / name).write_text("# nothing\n")
    (folder / "tools" / "check_environment.py").touch()
    (folder / "atat" / "__init__.py").touch()
    return folder


def imported_from(venv: Path) -> Path:
    """Whose code the environment's python runs by itself."""
    command = [venv / "bin" / "python", "-c", "import atat; print(atat.__file__)"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run(
        command, cwd=venv, env=environment, capture_output=True, text=True, check=True
    )
    return Path(found.stdout.strip()).parent.parent


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Two checkouts, and an environment that the first of them built."""
    folder = tmp_path_factory.mktemp("shared")
    first, second = checkout(folder / "first"), checkout(folder / "second")
    result = install(first, folder / "venv", sys.executable)
    assert result.returncode == 0, result.stderr
    return first, second, folder / "venv"


def test_a_second_checkout_shares_an_environment_and_leaves_it_as_it_is(
    shared: tuple[Path, Path, Path],
) -> None:
    first, second, venv = shared
    stamp = (venv / ".installed").stat().st_mtime_ns
    result = install(second, venv)
    assert result.returncode == 0 and "installing" not in result.stdout
    assert (venv / ".installed").stat().st_mtime_ns == stamp
    assert imported_from(venv) == first


def test_a_checkout_is_found_whatever_cdpath_says(
    shared: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    first, _, venv = shared
    (tmp_path / "tools").mkdir()
    environment = {**os.environ, "ATAT_VENV": str(venv), "CDPATH": str(tmp_path)}
    environment.pop("PYTHON", None)
    done = subprocess.run(["tools/install.sh"], cwd=first, env=environment, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_checkout_with_other_packages_is_refused_the_environment_of_another(
    shared: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    first, _, venv = shared
    other = checkout(tmp_path / "other")
    (other / "tools" / "constraints.txt").write_text("torch==1.0\n")
    result = install(other, venv)
    assert result.returncode == 1
    assert f"belongs to the checkout {first}" in result.stderr and "ATAT_VENV=" in result.stderr
    assert imported_from(venv) == first


def test_the_environment_of_a_removed_checkout_is_taken_over(tmp_path: Path) -> None:
    first, second = checkout(tmp_path / "first"), checkout(tmp_path / "second")
    venv = tmp_path / "venv"
    assert install(first, venv, sys.executable).returncode == 0
    shutil.rmtree(first)
    assert install(second, venv).returncode == 0
    assert imported_from(venv) == second


def test_code_of_another_checkout_than_the_one_around_is_announced(tmp_path: Path) -> None:
    """A bare `python -m atat...` inside a checkout may not silently run another's code."""
    inside = checkout(tmp_path / "mine") / "egs" / "toy"
    inside.mkdir(parents=True)
    command = [sys.executable, "-m", "atat", "score", "--data", "a", "--decoded", "b"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=inside, env=environment, capture_output=True, text=True)
    assert f"runs {ROOT}/atat, not the code of {tmp_path / 'mine'}" in result.stderr
    result = subprocess.run(
        command, cwd=ROOT / "tests", env=environment, capture_output=True, text=True
    )
    assert "not the code of" not in result.stderr
