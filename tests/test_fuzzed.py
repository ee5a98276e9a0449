"""Laws of the readers of arks, wav headers, trees and TextGrids, for files that nobody would write.

What utils/fuzz.py has found is in tests/fuzzed, a folder a reader; around it and around whole files
some bytes are changed at random, the same in every run.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
LOCAL = ROOT / "utils"
FUZZED = Path(__file__).parent / "fuzzed"
READERS = ("ark", "wav", "tree", "textgrid")
CHANGED = 25  # variants of each file


@pytest.fixture(scope="module")
def fuzz(local: Any) -> Any:
    return local("fuzz")


def variants(content: bytes, tokens: list[bytes], rng: np.random.Generator) -> Iterator[bytes]:
    """The file itself, then some with bytes changed, cut out, put in."""
    yield content
    for _ in range(CHANGED):
        changed = bytearray(content)
        for _ in range(int(rng.integers(1, 5))):
            at = int(rng.integers(0, len(changed) + 1))
            match int(rng.integers(4)):
                case 0:
                    changed[at : at + 1] = bytes([int(rng.integers(256))])
                case 1:
                    del changed[at : at + int(rng.integers(1, 9))]
                case 2:
                    token = tokens[int(rng.integers(len(tokens)))]
                    changed[at : at + len(token)] = token
                case 3:
                    del changed[at:]
        yield bytes(changed)


@pytest.mark.parametrize("reader", READERS)
def test_whatever_a_file_holds_is_read_or_refused(fuzz: Any, reader: str, tmp_path: Path) -> None:
    rng, law = np.random.default_rng(7), fuzz.LAWS[reader]
    kept = [path.read_bytes() for path in sorted((FUZZED / reader).glob("*"))]
    for content in [*fuzz.seeds(reader, tmp_path), *kept]:
        for number, variant in enumerate(variants(content, fuzz.TOKENS[reader], rng)):
            try:
                law(tmp_path / "file", variant)
            except Exception as error:
                raise AssertionError(f"variant {number}: {variant!r}") from error


def test_findings_are_of_a_reader() -> None:
    assert {path.name for path in FUZZED.iterdir()} <= set(READERS)


def test_a_law_can_be_broken(fuzz: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz.trees, "unescape", lambda token: token)
    with pytest.raises(AssertionError):
        for seed in fuzz.seeds("tree", tmp_path):
            fuzz.tree_law(tmp_path / "file", seed)


def test_the_fuzzer_runs_where_atheris_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    command = [sys.executable, "utils/fuzz.py", "tree", "--minutes", "0.02"]
    done = subprocess.run(
        [*command, "--findings", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and "Done" in done.stderr, done.stderr
    assert not list(tmp_path.glob("*.bin"))
