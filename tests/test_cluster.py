"""Work on a cluster: nothing is done twice, nothing is lost, and what failed is said.

With submitit's processes of this machine; with a real Slurm, too, where one answers (SLURM_CONF,
utils/slurm_here.sh).
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from pathlib import Path

import cluster_work
import pytest

from atat.base import cluster, cluster_command, config, parallel
from atat.base.cluster import ClusterSettings, Share, TaskFailed
from atat.base.errors import InputError

SLURM_HERE = Path(__file__).parent.parent / "utils" / "slurm_here.sh"


def test_the_slurm_of_this_machine_removes_nothing_but_its_own(tmp_path: Path) -> None:
    def stopped() -> int:
        environment = {**os.environ, "ATAT_SLURM": str(tmp_path)}
        return subprocess.run(
            [SLURM_HERE, "stop"], env=environment, stderr=subprocess.DEVNULL
        ).returncode

    for name in ("log/messages", "thesis.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert stopped() == 2 and (tmp_path / "log/messages").exists()
    (tmp_path / "slurm.conf").write_text("ClusterName=here\n")
    assert stopped() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def has_slurm() -> bool:
    if shutil.which("sinfo") is None:
        return False
    return subprocess.run(["sinfo", "--noheader"], capture_output=True).returncode == 0


KINDS = [
    "local",
    pytest.param("slurm", marks=pytest.mark.skipif(not has_slurm(), reason="no Slurm answers")),
]


@pytest.fixture(params=KINDS)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> ClusterSettings:
    two = Share(minutes=2, processes=2)
    return ClusterSettings(
        kind=request.param, folder=str(tmp_path / "logs"), data=Share(minutes=2), train=two
    )


def test_all_work_is_done_once_where_the_environment_says_so(
    settings: ClusterSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.save(tmp_path / "cluster.yaml", settings)
    monkeypatch.setenv(cluster.VARIABLE, str(tmp_path / "cluster.yaml"))
    found = list(parallel.run(cluster_work.square, range(7), nj=2))
    assert sorted(found) == [number * number for number in range(7)]
    assert list((tmp_path / "logs" / "data").glob("*_log.out"))
    assert list(parallel.run(cluster_work.square, [], nj=2)) == []


def test_an_error_comes_after_all_other_results(settings: ClusterSettings) -> None:
    found = []
    with pytest.raises(InputError, match="5 is odd; give even ones"):
        for result in cluster.run(settings, "data", cluster_work.even, [0, 2, 4, 5, 6], nj=2):
            found.append(result)
    assert sorted(found) == [0, 2, 4, 6]


def test_a_task_that_dies_is_named_with_its_last_words(tmp_path: Path) -> None:
    settings = ClusterSettings(kind="local", folder=str(tmp_path))
    found = []
    with pytest.raises(TaskFailed, match="1 of 4 tasks failed(.|\n)*last words"):
        for result in cluster.run(settings, "data", cluster_work.mortal, [1, 2, 3, 4], nj=2):
            found.append(result)
    assert sorted(found) == [1, 2, 4]


def test_commands_are_ranks_and_their_status_counts(
    settings: ClusterSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUT", str(tmp_path))
    lines = ['echo "$WORLD_SIZE" > "$OUT/rank$RANK"', 'echo "no such lamp"; exit 3']
    with pytest.raises(
        TaskFailed, match="1 of 2 tasks failed(.|\n)*exit status 3(.|\n)*no such lamp"
    ):
        cluster.run_commands(settings, "train", lines)
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == ["2\n", "2\n"]


def test_the_command_reads_lines_ended_by_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config.save(tmp_path / "c.yaml", ClusterSettings(kind="local", folder=str(tmp_path / "logs")))
    one, two = (tmp_path / name for name in ("one", "two lines"))
    monkeypatch.setattr("sys.stdin", io.StringIO(f"touch {one}\0touch '{two}'\n\0"))
    cluster_command.main(["run", str(tmp_path / "c.yaml"), "--kind", "decode"])
    assert one.exists() and two.exists()
    assert "decode 2 of 2 done" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("exit 4\0"))
    with pytest.raises(TaskFailed, match="exit status 4"):
        cluster_command.main(["run", str(tmp_path / "c.yaml"), "--kind", "decode"])
    (tmp_path / "empty").write_text("\n")
    options = ["run", str(tmp_path / "c.yaml"), "--kind", "decode", "--commands"]
    with pytest.raises(InputError, match="no command lines"):
        cluster_command.main([*options, str(tmp_path / "empty")])
    (tmp_path / "lines").write_text(f"touch {one}3\n\n")
    cluster_command.main([*options, str(tmp_path / "lines")])
    assert Path(f"{one}3").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {machines: 0}", "`machines` is 0; expected 1 or more"),
        ("train: {gpus: -1}", "`gpus` is below 0"),
        ("kind: pbs", "kind"),
        ("trian: {}", "trian"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        cluster.read(tmp_path / "c.yaml")


def test_slurm_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = ClusterSettings(folder=str(tmp_path / "logs"))
    with pytest.raises(InputError, match="could not be submitted to slurm"):
        list(cluster.run(settings, "data", cluster_work.square, [1], nj=1))
