"""Commands in one process write what each writes alone; the first that fails ends it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from atat.apps import in_turn
from atat.base.errors import InputError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data dir of sentences, in a folder whose name wants quotes."""
    folder = tmp_path / "it's my data"
    folder.mkdir()
    texts = [
        f"{name} {'play the blue song by anna'[: 9 + 4 * n]}" for n, name in enumerate("abcde")
    ]
    (folder / "text").write_text("\n".join([*texts, ""]))
    (folder / "utt2spk").write_text("".join(f"{name} {name}\n" for name in "abcde"))
    return folder


def line(*words: object) -> str:
    return shlex.join(["atat", *map(str, words)])


def decoding(data: Path, out: Path, nj: int) -> str:
    """Of batches of a sentence or two, so that there is work for two processes."""
    options = ["--task", "nlu", "--max_tokens", 20, "--nj", nj, "--out", out]
    return line("decode", "demo:music", "--data", data, *options)


def run(words: list[str], given: str = "") -> None:
    """A process of atat that may use two threads."""
    command = [sys.executable, "-m", "atat", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    subprocess.run(
        command, input=given, text=True, env=environment, check=True, capture_output=True
    )


def test_decodings_in_turn_are_those_of_processes_of_their_own(data: Path, tmp_path: Path) -> None:
    """The second has forked processes beside the threads that the first has used."""
    run(["in_turn"], "".join(f"{decoding(data, tmp_path / f'out{nj}', nj)}\0" for nj in (1, 2)))
    for nj in (1, 2):
        out, alone = tmp_path / f"out{nj}", tmp_path / f"alone{nj}"
        run(shlex.split(decoding(data, alone, nj))[1:])
        for name in ("hyp", "nbest.jsonl"):
            assert (out / name).read_bytes() == (alone / name).read_bytes(), name
        noted = json.loads((out / "decode.json").read_text())["provenance"]["command"]
        assert noted.startswith("atat decode demo:music") and f"--nj {nj}" in noted


def test_the_first_that_fails_ends_it_with_its_code_and_is_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = line("datadir", "validate", data / "missing")
    commands = tmp_path / "commands.txt"
    after = line("tokenizer", "train", "--data", data, "--out", tmp_path / "tokenizer")
    before = line("datadir", "subset", "--utterances", 1, data, tmp_path / "one")
    commands.write_text(f"{before}\n\n{wrong}\n{after}\n")
    with pytest.raises(SystemExit) as end:
        in_turn.main(["--commands", str(commands)])
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert "error: " in told and f"in: {wrong}\n" in told
    assert (tmp_path / "one" / "utt2spk").is_file() and not (tmp_path / "tokenizer").exists()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("rm -r data", "expected a command line of atat"),
        ("atat", "expected a command line of atat"),
        ("atat decode 'exp", "No closing quotation"),
    ],
)
def test_what_is_no_command_of_atat_is_refused_before_anything_is_done(
    data: Path, tmp_path: Path, wrong: str, told: str
) -> None:
    commands = tmp_path / "commands.txt"
    first = line("datadir", "subset", "--utterances", 1, data, tmp_path / "one")
    commands.write_text(f"{first}\n{wrong}\n")
    with pytest.raises(InputError, match=told):
        in_turn.main(["--commands", str(commands)])
    assert not (tmp_path / "one").exists()
    commands.write_text("\n")
    with pytest.raises(InputError, match="no command lines"):
        in_turn.main(["--commands", str(commands)])
