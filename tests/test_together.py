"""Files are whole or not there, several of them all new or all old, wherever a writer is killed."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from killed import KILLED, run_killed_at

from atat.base import files, folders, lock, together
from atat.base.errors import InputError
from atat.base.files import atomic_write, remove_leftovers, scratch_folder
from atat.datadir import features, kaldi_dir, tables
from atat.prepare import align, synthesis
from atat.speech import audio

OLD = {"utt2spk": {"a-1": "a"}, "text": {"a-1": "old words"}, "utt2dur": {"a-1": "1"}}
NEW = {
    "utt2spk": {"a-1": "a", "a-2": "a"},
    "text": {"a-1": "new", "a-2": "words"},
    "semantics": {"a-1": "[IN:X ]", "a-2": "[IN:X ]"},
}


def tables_of(folder: Path) -> dict[str, dict[str, str]]:
    """The tables as `load` sees them."""
    kaldi_dir.load(folder)
    names = (*OLD, *NEW)
    return {name: tables.read_table(folder / name) for name in names if (folder / name).exists()}


def test_tables_are_all_new_or_all_old_wherever_their_writer_is_killed(tmp_path: Path) -> None:
    seen, number = [], 0
    while True:
        folder = tmp_path / str(number)
        tables.write_tables(folder, OLD)
        (folder / "README").write_text("mine")
        gone = ["utt2dur", "text", "gone"]  # of these NEW has the text: that one stays
        killed = run_killed_at(number, lambda: tables.write_tables(folder, NEW, remove=gone))
        found = tables_of(folder)
        assert found in (OLD, NEW), f"a mixture after {number} steps: {found}"
        seen.append(found == NEW)
        # The next writer finds nothing in its way and leaves nothing behind.
        tables.write_tables(folder, OLD, remove=["semantics"])
        assert sorted(path.name for path in folder.iterdir()) == ["README", *sorted(OLD)]
        assert tables_of(folder) == OLD
        if not killed:
            break
        number += 1
    assert number > 10 and seen == sorted(seen) and seen[0] is False and seen[-1] is True


def test_nothing_is_renamed_before_the_moment_that_counts(tmp_path: Path) -> None:
    """Programs that know nothing of us see the old files until the step that commits."""
    for number in range(100):
        folder = tmp_path / str(number)
        tables.write_tables(folder, OLD)
        before = {name: (folder / name).read_bytes() for name in OLD}
        run_killed_at(number, lambda: tables.write_tables(folder, NEW, remove=["utt2dur"]))
        if (folder / together.COMMITTED).exists() or not (folder / "utt2dur").exists():
            break
        assert {name: (folder / name).read_bytes() for name in OLD} == before
    else:
        raise AssertionError("it never counted")


def test_readers_never_see_a_mixture_while_a_living_process_writes(tmp_path: Path) -> None:
    folder, done = tmp_path / "data", threading.Event()
    tables.write_tables(folder, OLD)
    found = []

    def read() -> None:
        while not done.is_set():
            utterances = kaldi_dir.load(folder)
            found.append([(u.id, u.text, u.semantics, u.duration) for u in utterances])

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(15):
        tables.write_tables(folder, NEW, remove=["utt2dur"])
        tables.write_tables(folder, OLD, remove=["semantics"])
    done.set()
    reader.join(60)
    old, new = (
        [("a-1", "old words", None, 1.0)],
        [("a-1", "new", "[IN:X ]", None), ("a-2", "words", "[IN:X ]", None)],
    )
    assert found and all(rows in (old, new) for rows in found)


def test_a_reader_that_may_not_finish_a_change_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables.write_tables(tmp_path, OLD)
    (tmp_path / together.COMMITTED).mkdir()
    tables.write_table(tmp_path / together.COMMITTED / "text", NEW["text"])

    def read_only(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(together.os, "replace", read_only)
        with pytest.raises(InputError, match=r"was killed, .*Read-only file system.*allow writing"):
            kaldi_dir.load(tmp_path)
    assert tables.read_table(tmp_path / "text") == NEW["text"]


# --- single files


def test_a_file_that_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    def killed() -> None:
        with atomic_write(tmp_path / "table") as stream:
            stream.write("half of a longer file\n" * 100)
            stream.flush()
            os._exit(KILLED)

    assert run_killed_at(100, killed)
    assert [path.name for path in tmp_path.iterdir()] == ["table.tmp"]
    with atomic_write(tmp_path / "table") as stream:
        stream.write("whole\n")
    assert [path.name for path in tmp_path.iterdir()] == ["table"]
    assert (tmp_path / "table").read_text() == "whole\n"
    assert stat.S_IMODE((tmp_path / "table").stat().st_mode) == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_two_that_write_the_same_file_do_not_mix(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "table") as one:
        one.write("one")
        with atomic_write(tmp_path / "table") as other:
            other.write("other")
        assert (tmp_path / "table").read_text() == "other"
        one.write(" and all of it")
    assert (tmp_path / "table").read_text() == "one and all of it"
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


@pytest.mark.parametrize("number", files.NO_LOCKS)
def test_where_there_are_no_locks_nothing_but_the_files_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.fcntl, "flock", flock)
    (tmp_path / "alive.wav.tmp").touch()
    for text in ("old", "new"):
        with atomic_write(tmp_path / "table") as stream:
            stream.write(text)
            remove_leftovers(tmp_path)
    assert (tmp_path / "table").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alive.wav.tmp", "table"]
    with atomic_write(tmp_path / "alive.wav") as stream:  # its .tmp may be a machine's with locks
        stream.write("new")
    names = ["alive.wav", "alive.wav.tmp", "table"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_leftovers_go_and_what_is_being_written_stays(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("left.wav.tmp", "deep/left.7.wav.123.tmp", "deep/mine.txt", "other.tmp.wav"):
        (tmp_path / name).touch()
    with atomic_write(tmp_path / "deep/alive.wav") as stream:
        stream.write("alive")
        remove_leftovers(tmp_path)
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert names == ["deep/alive.wav", "deep/mine.txt", "other.tmp.wav"]


def test_leftovers_may_take_their_place_while_they_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files._hold

    def finished(descriptor: int) -> bool:  # by its writer, and another has begun a new one
        os.replace(tmp_path / "a.tmp", tmp_path / "a")
        (tmp_path / "a.tmp").write_text("new")
        return real(descriptor)

    (tmp_path / "a.tmp").write_text("old")
    monkeypatch.setattr(files, "_hold", finished)
    remove_leftovers(tmp_path)
    assert (tmp_path / "a").read_text() == "old" and (tmp_path / "a.tmp").read_text() == "new"
    gone = tmp_path / "gone.tmp"
    monkeypatch.setattr(Path, "rglob", lambda folder, pattern: [gone])
    monkeypatch.setattr(Path, "is_file", lambda path: True)
    remove_leftovers(tmp_path)


@pytest.mark.parametrize("leads", [True, False])
@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_takes_the_place_of_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool, leads: bool
) -> None:
    """leads: to a folder, which stays as it is; else nowhere."""
    if not exchanges:
        monkeypatch.setattr(folders, "exchange", lambda one, other: False)
    others = ["elsewhere"] if leads else []
    for name in (*others, "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "model").symlink_to(tmp_path / "elsewhere")
    folders.replace(tmp_path / "new", tmp_path / "model")
    assert (tmp_path / "model" / "file").read_text() == "new"
    assert not (tmp_path / "model").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == [*others, "model"]
    assert all((tmp_path / name / "file").read_text() == name for name in others)


def test_what_is_promised_is_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real_sync(descriptor)

    def replace(*paths: str) -> None:
        order.append("replace")
        real_replace(*paths)

    monkeypatch.setattr(files.os, "fsync", fsync)
    monkeypatch.setattr(files.os, "replace", replace)
    with atomic_write(tmp_path / "a") as stream:
        stream.write("a")
    assert order == ["file", "replace", "folder"]
    order.clear()
    with atomic_write(tmp_path / "b", durable=False) as stream:
        stream.write("b")
    assert order == ["replace"]


def test_scratch_folders_of_killed_processes_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.tempfile, "tempdir", str(tmp_path))
    dead, young = tmp_path / "atat-test-dead", tmp_path / "atat-test-young"
    for path in (dead, young):
        path.mkdir()
        (path / "speech.wav").touch()
    os.utime(dead, (time.time() - 3600,) * 2)
    with scratch_folder("test") as alive:
        os.utime(alive, (time.time() - 3600,) * 2)
        files._remove_scratch.cache_clear()
        with scratch_folder("test"):
            assert alive.exists() and young.exists() and not dead.exists()
    assert not alive.exists()


# --- stages


def test_a_second_run_in_the_same_folder_is_told_who_is_at_work_there(tmp_path: Path) -> None:
    data = tmp_path / "data"
    tables.write_tables(
        data,
        {
            "utt2spk": {"a-1": "a"},
            "text": {"a-1": "hello"},
            "wav.scp": {"a-1": "/none.wav"},
            "utt2dur": {"a-1": "1"},
            "spk2voice": {"a": "espeak:en"},
        },
    )
    (tmp_path / "grids").mkdir()
    (tmp_path / "grids/a-1.TextGrid").touch()
    stages = {
        tmp_path / "lfb": lambda: features.make(data, tmp_path / "lfb"),
        tmp_path / "wavs": lambda: synthesis.synthesise(data, tmp_path / "wavs"),
        data / "ctm.parts": lambda: align.main(
            ["--backend", "textgrid", "--data", str(data), "--textgrids", str(tmp_path / "grids")]
        ),
    }
    for folder, stage in stages.items():
        with lock.hold(folder, "the first run"):
            with pytest.raises(InputError, match=r"the first run \(process \d+ on .* is at work"):
                stage()


def test_two_extractions_at_once_end_in_one_result_and_one_sentence(tmp_path: Path) -> None:
    """The second is started while the first waits for its audio, and killing it changes nothing."""
    data, gate = tmp_path / "data", tmp_path / "gate"
    wavs = {}
    for number in range(4):
        path = tmp_path / f"{number}.wav"
        audio.save(path, np.random.default_rng(number).normal(0, 0.1, 8000))
        wavs[f"a-{number}"] = f"while [ ! -e {gate} ]; do sleep 0.05; done; cat {path} |"
    tables.write_tables(data, {"utt2spk": dict.fromkeys(wavs, "a"), "wav.scp": wavs})
    command = [
        sys.executable,
        "-m",
        "atat",
        "features",
        "--data",
        str(data),
        "--arks",
        str(tmp_path / "lfb"),
        "--allow_pipes",
    ]
    root = Path(features.__file__).parents[1]
    first = subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + 60
        while not list((tmp_path / "lfb").glob("*.tmp")) and time.monotonic() < limit:
            time.sleep(0.05)
        second = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
        assert second.returncode == 2 and "Traceback" not in second.stderr
        assert f"feature extraction of {data} (process {first.pid} on " in second.stderr
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait(60)
        gate.touch()
    assert list((tmp_path / "lfb").glob("*.tmp"))
    again = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr
    assert not list((tmp_path / "lfb").glob("*.tmp"))
    assert len(kaldi_dir.load(data)) == 4
