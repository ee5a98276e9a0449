"""atat.prepare.sphinx: what pocketsphinx hears."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from atat.prepare import sphinx

pytest.importorskip("pocketsphinx")


def test_hearing_does_not_depend_on_the_order(data_root: Path) -> None:
    folder = data_root / "librispeech" / "LibriSpeech" / "test-other"
    model = sphinx.default_language_model()
    jobs = [
        sphinx.Job(path.stem, str(path), language_model=model)
        for path in sorted(folder.rglob("*.flac"))[:2]
    ]
    heard, backwards = sphinx.hear(jobs), sphinx.hear(jobs[::-1])
    for one, again in zip(heard, backwards[::-1]):
        assert one.text and replace(one, wall_seconds=0) == replace(again, wall_seconds=0)
