"""A folder is one process' at a time, and nobody's once that process is gone."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from atat.base import lock
from atat.base.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
HOLD = """
import os, sys, time
from atat.base import lock
with lock.hold(sys.argv[1], "a long work"):
    if "fork" in sys.argv and os.fork() == 0:
        os.write(1, b"%d\\n" % os.getpid())  # at once: both write into one pipe
    else:
        os.write(1, b"held\\n")
    time.sleep(600)
"""


def holder(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *words],
        text=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_a_second_is_told_who_holds_the_folder_and_a_killed_holder_does_not_block(tmp_path):
    with holder(tmp_path) as other:
        try:
            assert other.stdout.readline() == "held\n"
            words = rf"a long work \(process {other.pid} on .*, since 20\d\d-.*\) is at work"
            with pytest.raises(InputError, match=words):
                with lock.hold(tmp_path, "mine"):
                    pass
        finally:
            other.kill()
    with lock.hold(tmp_path, "mine"):
        assert json.loads((tmp_path / lock.NAME).read_text())["what"] == "mine"
    assert (tmp_path / lock.NAME).read_text() == ""


def test_a_fork_that_outlives_the_holder_does_not_keep_the_lock(tmp_path):
    with holder(tmp_path, "fork") as other:
        lines = [other.stdout.readline() for _ in range(2)]
        orphan = next(int(line) for line in lines if line != "held\n")
        try:
            other.kill()
            other.wait(60)
            os.kill(orphan, 0)  # it lives
            with lock.hold(tmp_path, "mine"):
                pass
        finally:
            os.kill(orphan, signal.SIGKILL)


def test_the_lock_ends_with_its_block_and_holds_within_one_process_too(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError):
            with lock.hold(tmp_path / "new" / "folder", "a"):
                with pytest.raises(InputError, match="a .process"):
                    with lock.hold(tmp_path / "new" / "folder", "b"):
                        pass
                with lock.hold(tmp_path / "another", "c"):
                    pass
                raise KeyError


def test_a_file_half_written_by_the_holder_is_no_reason_to_fail(tmp_path):
    with lock.hold(tmp_path, "a"):
        (tmp_path / lock.NAME).write_text('{"what": "a", "ho')
        with pytest.raises(InputError, match="another process is at work"):
            with lock.hold(tmp_path, "b"):
                pass


def test_a_lock_unknown_to_the_file_system_is_a_warning(tmp_path, monkeypatch, caplog):
    def unknown(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", unknown)
    with lock.hold(tmp_path, "a"):
        pass
    assert "its file system has no locks (No locks available)" in caplog.text


def test_a_name_is_held_by_a_file_that_goes_and_many_take_turns(tmp_path):
    """Whoever waits on a file that its holder has removed must not hold a lock beside the next."""
    turns = """
import sys
from contextlib import ExitStack
from pathlib import Path
from atat.base import lock
count = Path(sys.argv[1]) / "count"
for _ in range(40):
    with lock.hold_name(sys.argv[1] + "/out", "a turn", wait=True):
        count.write_text(str(int(count.read_text()) + 1))
"""
    (tmp_path / "count").write_text("0")
    line = [sys.executable, "-c", turns, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    others = [subprocess.Popen(line, env=environment) for _ in range(3)]
    assert [other.wait(60) for other in others] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "120"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


def test_work_that_fails_before_it_has_begun_leaves_no_folder(tmp_path):
    (tmp_path / "old").mkdir()
    for name, left in (("old", True), ("new", False), ("begun", True)):
        with pytest.raises(KeyError):
            with lock.hold(tmp_path / name, "a"):
                if name == "begun":
                    (tmp_path / name / "file").touch()
                raise KeyError
        assert (tmp_path / name).exists() == left


def test_the_lock_of_another_machine_is_waited_for_and_that_of_this_one_is_not(
    tmp_path, monkeypatch, caplog
):
    with ExitStack() as other:
        other.enter_context(lock.hold(tmp_path, "theirs"))
        monkeypatch.setattr(lock.time, "sleep", lambda seconds: other.close())
        with pytest.raises(InputError, match="theirs .* is at work"):
            with lock.hold(tmp_path, "mine", patience=1000):
                pass
        assert "waiting" not in caplog.text
        monkeypatch.setattr(lock.socket, "gethostname", lambda: "another")
        with lock.hold(tmp_path, "mine", patience=1000):
            assert "held by theirs (process" in caplog.text and "at most 1000 s" in caplog.text
            assert json.loads((tmp_path / lock.NAME).read_text())["host"] == "another"


def test_a_machine_that_lives_keeps_its_lock(tmp_path, monkeypatch):
    with lock.hold(tmp_path, "theirs"):
        monkeypatch.setattr(lock.socket, "gethostname", lambda: "another")
        monkeypatch.setattr(lock, "POLL", 0.01)
        with pytest.raises(InputError, match="theirs .* is at work .* try again later"):
            with lock.hold(tmp_path, "mine", patience=0.05):
                pass
        assert json.loads((tmp_path / lock.NAME).read_text())["what"] == "theirs"
