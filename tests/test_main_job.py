"""The main job, whole: `run.sh --size mini` in a copy of the recipe, then once more."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    """A copy of the recipe without anything that has been made in it."""
    root = tmp_path_factory.mktemp("clone")
    for name in ("atat", "utils", "tools"):
        (root / name).symlink_to(ROOT / name)
    folder = root / "egs" / "synthetic_tts"
    folder.mkdir(parents=True)
    for name in ("conf", "local"):
        shutil.copytree(ROOT / "egs" / "synthetic_tts" / name, folder / name)
    shutil.copy(ROOT / "egs" / "synthetic_tts" / "run.sh", folder)
    return folder


def run(recipe: Path, *arguments: str) -> str:
    environment = {**os.environ, "ATAT_VENV": sys.prefix, "TQDM_DISABLE": "1"}
    found = subprocess.run(
        [str(recipe / "run.sh"), "--size", "mini", "--nj", "2", "--no_report", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd="/",
    )
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    return found.stdout


def test_the_main_job_from_grammar_to_table(recipe):
    out = run(recipe)
    exp = recipe / "exp" / "mini"
    table = (exp / "RESULTS.md").read_text()
    assert "Mini (--size mini)" in table.splitlines()[2]
    assert "AT-AT pretrained" in table and "not run" in table and "pocketsphinx" in table
    assert str(recipe) not in table
    for name in ("e2e", "pretrain", "finetune", "books_e2e", "books_tts", "books_zeroshot"):
        about = json.loads((exp / name / "seed1" / "train.json").read_text())
        assert about["finished"] and about["steps"] == 6
    scored = exp / "books_zeroshot" / "seed1" / "decode_test_books_slu_well_formed" / "score.json"
    # Whatever the model has learned, well-formed decoding lets only trees out.
    assert json.loads(scored.read_text())["metrics"]["tree_validity"]["value"] == 100.0
    assert "understood" in out
    # The two-stage systems: every one of them has been trained, has read and is scored.
    two_stage = (exp / "RESULTS.full_music.md").read_text()
    rows = [line.split("|") for line in two_stage.splitlines() if line.startswith("| ")]
    figures = {cells[1].strip(): cells[4] for cells in rows if len(cells) > 5}
    for name in (
        "Our asr, linear-chain CRF",
        "Our asr, BiLSTM-CRF that knows its mistakes",
        "Our asr, our nlu",
        "pocketsphinx, BiLSTM-CRF",
        "Linear-chain CRF",
    ):
        assert "[" in figures[name], name
    again = run(recipe)
    assert "Nothing to do: all stages are up to date" in again
