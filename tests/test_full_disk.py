"""A real full disk and a real read-only one: no good file is lost, and one sentence says why.

They are mounted where this process may mount (root in most containers); elsewhere this is skipped.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from atat.base import cli
from atat.datadir import ark, tables
from atat.engine import checkpoint, model_folder, pack, quantize
from atat.engine.settings import ValidSettings
from atat.engine.train import train
from atat.speech import audio

SIZE = 3 * 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip(f"this process may not mount: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model"
    model_folder.save(path, tiny.packed())
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_corpus(tmp_path_factory.mktemp("corpus"))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def fill(disk: Path, left: int) -> None:
    """Let only so many bytes be free."""
    free = int(subprocess.check_output(["stat", "-f", "-c", "%f", str(disk)])) * 4096
    with open(disk / "filling", "wb") as stream:
        stream.write(bytes(max(free - left, 0)))


def writers(disk: Path, model: Path, corpus: Path) -> dict[str, Callable[[int], None]]:
    """What is written to a disk; the number makes it another content."""

    def arks(number: int) -> None:
        with ark.Writer(disk / "a.ark", disk / "a.scp") as write:
            write("a-1", np.full((2000, 40), number, np.float32))

    def table(number: int) -> None:
        rows = {f"a-{one:05}": f"words {number} " * 5 for one in range(4000)}
        tables.write_tables(disk / "data", {"text": rows, "utt2spk": dict.fromkeys(rows, "a")})

    def recording(number: int) -> None:
        rng = np.random.default_rng(number)
        audio.save(disk / "a.wav", rng.normal(0, 0.1, 160000).astype(np.float32))

    def state(number: int) -> None:
        values = {"model": {"weight": torch.full((60000,), float(number))}, "step": number}
        checkpoint.save(disk / "checkpoint-00000001.pt", values)

    def training(number: int) -> None:
        # As a run that goes on: more steps each time, its folder on the disk.
        run = tiny.training(corpus, steps=number, valid=ValidSettings(), checkpoint_every=1)
        train(run, disk / "exp")

    return {
        "arks": arks,
        "tables": table,
        "recording": recording,
        "checkpoint": state,
        "quantized": lambda number: quantize.quantize(model, disk / "model"),
        "training": training,
    }


@pytest.mark.parametrize(
    "name", ["arks", "tables", "recording", "checkpoint", "quantized", "training"]
)
@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_what_was_good_stays_and_one_sentence_says_why(
    disk: Path,
    model: Path,
    corpus: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    kind: str,
) -> None:
    write = writers(disk, model, corpus)[name]
    write(1)
    before = digests(disk)
    if kind == "full":
        fill(disk, left=8192)
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(SystemExit) as ended:
        cli.run(lambda: write(2))
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ") and str(disk) in said
    assert ended.value.code == (1 if kind == "full" else 2), said
    assert ("disk is full" if kind == "full" else "ead-only") in said
    after = digests(disk)
    after.pop("filling", None)
    # What a run says of itself may have changed before the disk was full.
    said_of_itself = (".log", ".json", "config.yaml")
    kept = {path for path in before if not path.endswith(said_of_itself) and "events" not in path}
    assert {path: after.get(path) for path in kept} == {path: before[path] for path in kept}
    # With room again the same command does its work.
    if kind == "full":
        (disk / "filling").unlink()
    else:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    write(2)
    if name == "training":
        pack.main([str(disk / "exp")])
        assert model_folder.load(disk / "exp" / "model")
