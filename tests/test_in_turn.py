"""Commands in one process write what each writes alone; the first that fails ends it."""

from __future__ import annotations

import io
import json
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
    (folder / "text").write_text("a play the blue song\nb stop the music\n")
    (folder / "utt2spk").write_text("a a\nb b\n")
    return folder


def line(*words: object) -> str:
    return shlex.join(["atat", *map(str, words)])


def decoding(data: Path, out: Path, beam: int = 2) -> str:
    return line(
        "decode", "demo:music", "--data", data, "--task", "nlu", "--beam", beam, "--out", out
    )


def test_decodings_in_turn_are_those_of_processes_of_their_own(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outs = [tmp_path / "first", tmp_path / "second"]
    lines = [decoding(data, out, beam) for beam, out in enumerate(outs, start=1)]
    called = sys.argv
    monkeypatch.setattr("sys.stdin", io.StringIO("\0".join(lines) + "\0"))
    in_turn.main([])
    assert sys.argv is called
    for beam, out in enumerate(outs, start=1):
        alone = tmp_path / f"alone{beam}"
        command = shlex.split(decoding(data, alone, beam))[1:]
        subprocess.run([sys.executable, "-m", "atat", *command], check=True, capture_output=True)
        for name in ("hyp", "nbest.jsonl"):
            assert (out / name).read_bytes() == (alone / name).read_bytes(), name
        noted = json.loads((out / "decode.json").read_text())["provenance"]["command"]
        assert f"--beam {beam}" in noted and out.name in noted


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
