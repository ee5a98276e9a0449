"""What can be wrong with a user's files ends in one line that names the file and a way out."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import features, kaldi_dir, tables
from atat.datadir.ctm import Word, read_ctm
from atat.prepare import align, synthesis
from atat.prepare.synthesis import JOURNAL, Spoken
from atat.prepare.textgrid import write_textgrid
from atat.speech import audio

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data dir of two recordings of noise."""
    wavs = {}
    for number in range(2):
        wavs[f"a-{number}"] = str(tmp_path / f"{number}.wav")
        audio.save(wavs[f"a-{number}"], np.random.default_rng(number).normal(0, 0.1, 8000))
    tables.write_tables(
        tmp_path / "data",
        {
            "utt2spk": dict.fromkeys(wavs, "a"),
            "wav.scp": wavs,
            "utt2dur": dict.fromkeys(wavs, "0.5"),
            "text": dict.fromkeys(wavs, "hello"),
        },
    )
    return tmp_path / "data"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "atat", *map(str, arguments)],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=120,
    )


Break = Callable[[Path], object]
# What is done to the data dir, and what its error must say.
BROKEN: dict[str, tuple[Break, str]] = {
    "a folder for a table": (
        lambda data: (data / "text").unlink() or (data / "text").mkdir(),
        "data/text: is a folder, a file was expected",
    ),
    "an empty table": (lambda data: (data / "utt2spk").write_bytes(b""), "utt2spk"),
    "bytes": (lambda data: (data / "text").write_bytes(b"a-0 caf\xe9\na-1 x\n"), "data/text:1"),
    "no-break space in an id": (
        lambda data: (data / "utt2spk").write_text("a-0\u0085x a\na-1 a\n"),
        "utt2spk:1: the id",
    ),
    "endless segment": (
        lambda data: (data / "segments").write_text("a-0 a-0 0 inf\na-1 a-1 0 1\n"),
        "segments:1",
    ),
}


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (kind, command)
        for kind, (_, message) in BROKEN.items()
        for command in ("datadir info", "features", "cmvn")
        if not (command == "features" and "text" in message)  # which it does not read
    ],
)
def test_broken_tables_are_named(data: Path, tmp_path: Path, kind: str, command: str) -> None:
    spoil, message = BROKEN[kind]
    spoil(data)
    name, *words = command.split()
    options = {
        "datadir": [*words, data],
        "features": ["--data", data, "--arks", tmp_path / "lfb"],
        "cmvn": ["--data", data, "--out", tmp_path / "cmvn.ark"],
    }[name]
    done = run(name, *options)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ") and message in done.stderr


def test_paths_that_cannot_be_written_are_named(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path, message in (
        (file, "a file, a folder was expected"),
        (file / "lfb", "a part of this path is a file, not a folder"),
        (tmp_path / ("x" * 300), "this name is too long"),
    ):
        done = run("features", "--data", data, "--arks", path)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert f"error: {path}" in done.stderr and message in done.stderr


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EROFS, "is on a read-only file system; give a path"),
        (errno.EACCES, "permission denied"),
    ],
)
def test_what_may_not_be_written_is_a_sentence(
    number: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise OSError(number, "as the system says it", "/cdrom/lfb")

    with pytest.raises(SystemExit) as stopped:
        cli.run(main)
    assert stopped.value.code == 2
    assert f"error: /cdrom/lfb: {words}" in capsys.readouterr().err


def test_a_table_that_may_not_be_read_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(InputError, match="utt2spk: cannot be read; allow it with: chmod u.r"):
        kaldi_dir.load(data)
    with pytest.raises(InputError, match="ctm: cannot be read"):
        read_ctm(data / "ctm")


# --- what stages keep for their next run: damaged, it is made again


def test_a_damaged_list_of_what_was_extracted_is_made_again(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for damage in ("a-0 48", "a-0 4x 0.5 f\n", "", "a-1 1 1 f\na-0 1 1 f\n", "\udcff"):
        features.make(data, tmp_path / "lfb")
        made = min((tmp_path / "lfb").glob("*.made"))  # of one utterance
        made.write_bytes(damage.encode("utf-8", "surrogateescape"))
        features.make(data, tmp_path / "lfb")
        said = capsys.readouterr()
        assert "1 made now" in said.out.splitlines()[-1]
        assert not damage or f"warning: {made}" in said.err
        assert all(utterance.num_frames == 48 for utterance in kaldi_dir.load(data))
        for path in (tmp_path / "lfb").iterdir():
            path.unlink()


def test_a_damaged_part_is_aligned_again(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for utt in ("a-0", "a-1"):
        write_textgrid(tmp_path / f"grids/{utt}.TextGrid", [Word("hello", 0.1, 0.3)], 0.5)
    command = ["--backend", "textgrid", "--data", str(data), "--textgrids", str(tmp_path / "grids")]
    parts = data / "ctm.parts"
    for damage in (b'{"a-0": {"finger', b"[]", b'{"a-0": 3}', b'{"a-0": {}}', b"\xff", b""):
        parts.mkdir(exist_ok=True)
        (parts / "left.json").write_bytes(damage)
        (data / "ctm.json").write_bytes(damage)
        align.main(command)
        assert f"warning: {parts}/left.json is damaged and not used" in capsys.readouterr().err
        assert list(read_ctm(data / "ctm")) == ["a-0", "a-1"]


def test_a_damaged_line_of_the_journal_is_spoken_again_and_others_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [Spoken("a-1", "f1", 0.5), Spoken("a-2", "f2", error="no sound for 'x\u2028y\u0085z'")]
    lines = [json.dumps(one.__dict__, ensure_ascii=False).encode() for one in kept]
    journal = tmp_path / JOURNAL
    damaged = [b'{"utterance": "a-', b"[1]", b'{"other": 1}', b"\xff"]
    journal.write_bytes(b"\n".join([lines[0], *damaged, lines[1]]) + b"\n" + lines[0][:20])
    assert synthesis._read_journal(journal) == {one.utterance: one for one in kept}
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[2] for line in said] == ["2", "3", "4", "5"]
