"""Models packed by earlier versions, kept in tests/packed, load and answer as they did."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from atat.engine import registry

HERE = Path(__file__).resolve().parent / "packed"
sys.path.insert(0, str(HERE))
import make  # noqa: E402

KEPT = sorted(HERE.glob("*.zip"))


def test_a_model_of_each_system_is_kept() -> None:
    assert {path.name.split("-")[0] for path in KEPT} >= {*registry.names()}
    assert all(path.stat().st_size < make.LARGEST for path in KEPT)


@pytest.mark.parametrize("archive", KEPT, ids=lambda path: path.stem)
def test_a_kept_model_answers_as_on_the_day_it_was_packed(
    archive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ATAT_CACHE", str(tmp_path))
    before = json.loads(archive.with_suffix(".json").read_text())
    now = make.answers(archive)
    assert before["signal"] and now.keys() == before.keys()
    for name, hypotheses in before.items():
        assert [one["text"] for one in now[name]] == [one["text"] for one in hypotheses]
        assert [one["score"] for one in now[name]] == pytest.approx(
            [one["score"] for one in hypotheses], abs=1e-3
        )


def test_a_kept_model_is_never_made_again() -> None:
    with pytest.raises(SystemExit, match="an old model stays as it is"):
        make.make(KEPT[0].name.split("-")[0])
