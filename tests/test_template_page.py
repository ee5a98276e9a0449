"""egs/template/README.md: every command of the page runs, on a small example and for few steps."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from encoders import save_wav2vec2

from atat.prepare import synthesis

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "egs" / "template" / "README.md").read_text()


def commands() -> str:
    """All sh blocks of the page; shortened by its own options, nothing else is changed."""
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    script, examples = re.subn(r"--recordings 1000\b", "--recordings 60", script)
    script, rehearsals = re.subn(r"--steps 20\b", "--steps 2 --no_report", script)
    training = r"^(egs/template/run\.sh --corpus \S+)$"
    script, trainings = re.subn(training, r"\1 --steps 4", script, flags=re.MULTILINE)
    # No network is asked for an encoder, and a page that is served would never end.
    script, fetched = re.subn(r"^atat encoder get \S+$", "", script, flags=re.MULTILINE)
    small = "--sentences 40 --spoken 20 --steps 2 --no_report --exp egs/template/exp_grammar"
    grammar = r"(--grammar \S+) --encoder moonshine-tiny$"
    script, grammars = re.subn(grammar, rf"\1 {small}", script, flags=re.MULTILINE)
    served = r"^atat serve egs/template/exp_moonshine-tiny(\S+)$"
    script, pages = re.subn(
        served, r"test -f egs/template/exp_grammar\1/model.safetensors", script, flags=re.MULTILINE
    )
    assert (examples, rehearsals, trainings, fetched, grammars, pages) == (1,) * 6
    return script


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of what the page uses, without anything that has been made in it."""
    root = tmp_path / "clone"
    (root / "egs").mkdir(parents=True)
    for name in ("atat", "utils", "tools", "egs/synthetic_tts"):
        (root / name).symlink_to(ROOT / name)
    made = shutil.ignore_patterns("data*", "exp*", "__pycache__")
    shutil.copytree(ROOT / "egs" / "template", root / "egs" / "template", ignore=made)
    return root


@pytest.mark.skipif(
    synthesis.available("espeak") is not None, reason="espeakng-loader is not installed"
)
def test_every_command_of_the_page_runs(clone: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    environment = {
        **os.environ,
        "HOME": str(tmp_path / "home"),
        "ATAT_VENV": sys.prefix,
        "TQDM_DISABLE": "1",
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(clone),
    }
    found = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands()],
        cwd=clone,
        text=True,
        env=environment,
        capture_output=True,
    )
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    header = re.search(r"^path,.*$", PAGE, re.MULTILINE)
    assert header and f"\n{header[0]}\nrecordings/" in found.stdout
    exp = clone / "egs" / "template" / "exp"
    table = (exp / "RESULTS.md").read_text()
    assert table in found.stdout  # cat
    # No recordings without meaning, no sentences alone, and no synthetic voices of any task.
    assert table.count("| not run") == (4 + 2) + (4 + 2 + 4)
    grammar = clone / "egs" / "template" / "exp_grammar" / "joint" / "seed1"
    assert (grammar / "decode_spoken_test_slu" / "score.json").is_file()
    assert not (grammar / "decode_test_slu").exists()  # of the recordings of before
    for folder in (exp, clone / "egs" / "template" / "exp_rehearsal"):
        assert (folder / "joint" / "seed1" / "decode_test_slu" / "score.json").is_file()
    spoken = tmp_path / "home" / "commands" / "recordings" / "test00"
    understood = re.findall(rf"^({spoken}/\S+\.wav) \[IN:.* \]$", found.stdout, re.MULTILINE)
    # Well-formed, whatever was learned.
    assert understood == sorted(map(str, spoken.glob("*.wav")))[:3] != []


@pytest.mark.skipif(
    synthesis.available("espeak") is not None, reason="espeakng-loader is not installed"
)
def test_the_recipe_reads_the_states_of_an_encoder(clone: Path, tmp_path: Path) -> None:
    encoder = save_wav2vec2(tmp_path / "w2v")
    run = clone / "egs" / "template" / "run.sh"
    found = subprocess.run(
        [run, "--mini", "--encoder", str(encoder), "--ngpu", "0", "--no_report"],
        text=True,
        env={**os.environ, "ATAT_VENV": sys.prefix, "TQDM_DISABLE": "1", "PYTHONPATH": str(clone)},
        capture_output=True,
    )
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    made = clone / "egs" / "template"
    assert (made / "data_mini_w2v" / "train" / "feats_type").read_text().startswith("w2v@")
    (facts,) = made.glob("exp_mini_w2v/joint/seed1/model/frontend.json")
    assert json.loads(facts.read_text())["origin"]["source"] == str(encoder)
    exp = made / "exp_mini_w2v"
    assert (exp / "joint" / "seed1" / "decode_test_slu" / "score.json").is_file()
    assert "states of the speech encoder w2v" in (exp / "RESULTS.md").read_text()


def test_what_the_page_names_is_there() -> None:
    """Files, options and columns."""
    run = (ROOT / "egs" / "template" / "run.sh").read_text()
    kinds = "(?:path_|number_|model_|mini_)?(?:option|flag)"
    declared = set(re.findall(rf"^{kinds} (\w+)", run, re.MULTILINE)) | {"mini", "encoder"}
    shared = {"exp", "stop_stage", "recordings", "out"}
    assert set(re.findall(r"--([a-z_]+)", PAGE)) <= declared | shared
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "egs" / "template" / link).exists(), link
