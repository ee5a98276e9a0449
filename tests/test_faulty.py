"""Spoilt corpora: each fault is named, no stage crashes, no model reads it, and the rest stays."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

LOCAL = Path(__file__).parent.parent / "utils"


@pytest.fixture(scope="module")
def faulty(local: Any) -> Any:
    """utils/faulty.py, which by hand does the same with thousands of utterances."""
    return local("faulty")


def test_each_fault_alone_is_named_and_none_is_read_by_a_training(
    faulty: Any, tmp_path: Path
) -> None:
    complaints: list[str] = []
    some = faulty.FAULTS[::3]
    caught = faulty.one_by_one(tmp_path, some, complaints.append)
    assert complaints == []
    assert caught == len(some) > 30


def test_of_all_faults_in_one_corpus_each_is_named_and_the_rest_survives_repair(
    faulty: Any, tmp_path: Path
) -> None:
    complaints: list[str] = []
    found = faulty.at_once(tmp_path, 1000, complaints.append)
    assert complaints == []
    assert found.named == found.spoilt == 100 and found.kept == found.good == 900


def test_a_fault_that_nothing_finds_is_told(faulty: Any, tmp_path: Path) -> None:
    other = lambda value: value.replace("the", "a")  # noqa: E731  # words like any other
    faults = sys.modules["faults"]
    quiet = faults.Fault("other words", "text", faults.rest("text", other))
    loud = faults.Fault("no words", "text", faults.rest("text", lambda _: ""))
    complaints: list[str] = []
    assert faulty.one_by_one(tmp_path, (quiet, loud), complaints.append) == 1
    assert all(line.startswith("text: other words: ") for line in complaints)
    assert any("a training reads ('ark', 'asr'" in line for line in complaints)
