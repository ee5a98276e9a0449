"""Work on many machines of a cluster with a shared disk: Slurm, by way of submitit.

    settings = cluster.read("cluster.yaml")
    for result in cluster.run(settings, "data", function, jobs, nj=100): ...
    cluster.run_commands(settings, "train", ["atat train ...", "atat train ..."])

cluster.yaml has a share of the cluster for each kind of work; docs and `atat cluster run --help`
have an example. Everything is submitted as one array of tasks; a task that Slurm stops (preemption,
end of its time) is queued again, and the commands of atat continue where they were stopped. Where
`kind: local` stands, tasks are processes of this machine: a rehearsal, and the tests.

Knows nothing of the work. `atat.base.parallel` calls it in place of its own processes if the
environment variable ATAT_CLUSTER names a file of settings.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Optional, TypeVar

from atat.base import config, environment, extras
from atat.base.errors import InputError, WorkFailed

Item = TypeVar("Item")
Result = TypeVar("Result")
Kind = Literal["data", "train", "decode"]

VARIABLE = "ATAT_CLUSTER"
TASKS_PER_PROCESS = 4  # of an array: few enough for Slurm, enough to share out uneven work
POLL = 1.0  # s between two looks at the results
ASK_SLURM = 30.0  # s between two questions to Slurm, which serves others, too
LATE = 60.0  # s that a result may take to appear on the shared disk once its task has ended
LINES = 20  # of a log that are shown of a task that failed


@dataclass(frozen=True)
class Share:
    """What one task of an array gets. Times are minutes, memory is GB of a machine."""

    partition: Optional[str] = None
    account: Optional[str] = None
    minutes: int = 240
    memory_gb: Optional[float] = None
    cpus: int = 1  # of each process
    machines: int = 1
    gpus: int = 0  # of each machine, with a process each
    processes: Optional[int] = None  # of each machine; null: one a GPU, or one
    at_once: int = 100  # tasks of an array at a time
    options: dict[str, Any] = field(default_factory=dict)  # of sbatch: {constraint: a100}

    def __post_init__(self) -> None:
        for name in ("minutes", "cpus", "machines", "at_once"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name}` is {getattr(self, name)}; expected 1 or more")
        if self.gpus < 0 or (self.processes is not None and self.processes < 1):
            raise InputError("`gpus` is below 0, or `processes` below 1")

    @property
    def per_machine(self) -> int:
        """Processes on a machine."""
        return self.processes or max(1, self.gpus)


@dataclass(frozen=True)
class ClusterSettings:
    """cluster.yaml."""

    kind: Literal["slurm", "local"] = "slurm"
    folder: str = "cluster"  # of logs, on the shared disk
    setup: tuple[str, ...] = ()  # lines of shell before each task: module load cuda
    data: Share = field(default_factory=Share)  # features, alignments, synthesis
    train: Share = field(default_factory=Share)
    decode: Share = field(default_factory=Share)

    def share(self, kind: Kind) -> Share:
        """The share for a kind of work."""
        found: Share = getattr(self, kind)
        return found


class TaskFailed(WorkFailed):
    """Tasks of an array failed; the message has the end of the first one's log."""


def read(path: str | Path) -> ClusterSettings:
    """Read the settings of a cluster; raises InputError with the key that is wrong."""
    return config.load(path, ClusterSettings)


def of_environment() -> ClusterSettings | None:
    """The settings that ATAT_CLUSTER names; None if work is done on this machine."""
    path = os.environ.get(VARIABLE)
    return read(path) if path else None


class Task:
    """What a task does; pickled, and called on another machine."""

    def __call__(self) -> Any:
        """Do it."""
        raise NotImplementedError

    def checkpoint(self) -> Any:
        """What submitit queues if the task has to go: all of it, which continues what it finds."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


class Work(Task):
    """Jobs of one task, done one after the other."""

    def __init__(self, function: Callable[[Any], Any], items: Sequence[Any]) -> None:
        self.function, self.items = function, items

    def __call__(self) -> list[Any]:
        """The results, up to the first InputError, which stands in the place of its result."""
        os.environ.pop(VARIABLE, None)
        found: list[Any] = []
        for item in self.items:
            try:
                found.append(self.function(item))
            except InputError as error:
                return [*found, error]
        return found


class Command(Task):
    """A line of shell as a task; with several processes each runs it, as a rank of torch's."""

    def __init__(self, line: str, share: Share) -> None:
        self.line, self.share = line, share

    def __call__(self) -> int:
        """Run it; the exit status."""
        os.environ.pop(VARIABLE, None)
        os.environ["OMP_NUM_THREADS"] = str(self.share.cpus)
        if self.share.machines * self.share.per_machine > 1:
            from submitit.helpers import TorchDistributedEnvironment

            # Each process sees all GPUs of its machine and takes the one of its LOCAL_RANK.
            TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        return subprocess.run(["bash", "-c", self.line]).returncode


def run(
    settings: ClusterSettings,
    kind: Kind,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    nj: int,
) -> Iterator[Result]:
    """Results of `function` for each item, in the order in which tasks end.

    nj: tasks at a time. All tasks end before an error is raised, so that no result is lost. Raises
    InputError that a function raised, TaskFailed for a task that died.
    """
    share = settings.share(kind)
    groups = _groups(items, TASKS_PER_PROCESS * nj)
    works = [Work(function, group) for group in groups]
    failed: InputError | None = None
    for _, results in _outcomes(settings, share, kind, works, at_once=min(nj, share.at_once)):
        for result in results:
            if isinstance(result, InputError):
                failed = failed or result
            else:
                yield result
    if failed is not None:
        raise failed


def run_commands(settings: ClusterSettings, kind: Kind, lines: Sequence[str]) -> None:
    """Run lines of shell as the tasks of one array, and wait for them.

    Says of each when it has ended. Raises TaskFailed when all have ended and some have failed.
    """
    share = settings.share(kind)
    started, done = time.monotonic(), 0
    works = [Command(line, share) for line in lines]
    for number, _ in _outcomes(settings, share, kind, works, at_once=share.at_once):
        done += 1
        minutes = (time.monotonic() - started) / 60
        print(f"{kind} {done} of {len(lines)} done after {minutes:.1f} min: {lines[number]}")


def _groups(items: Sequence[Item], most: int) -> list[Sequence[Item]]:
    """The items in at most so many groups, every n-th in one: neighbours are alike in length."""
    count = min(len(items), max(1, most))
    return [items[start::count] for start in range(count)]


def _outcomes(
    settings: ClusterSettings,
    share: Share,
    kind: str,
    works: Sequence[Task],
    at_once: int,
) -> Iterator[tuple[int, list[Any]]]:
    """(number of a task, what it returned) of each, as they end; Ctrl-C cancels what is left.

    Processes of this machine, which all start at once, are started so many at a time.
    """
    wave = at_once if settings.kind == "local" else max(1, len(works))
    failures: list[str] = []
    for first in range(0, len(works), wave):
        part = works[first : first + wave]
        left = dict(enumerate(_submit(settings, share, kind, part, at_once), first))
        lost = _Lost(settings)
        try:
            while left:
                for number in [n for n, job in left.items() if _has_ended(job) or lost.has(job)]:
                    job = left.pop(number)
                    found, why = _outcome(job)
                    if why:
                        failures.append(why)
                        print(f"{kind}: {why.splitlines()[0]}", file=sys.stderr)
                    else:
                        yield number, found
                if left:
                    time.sleep(POLL)
                    lost.ask(left.values())
        finally:
            for job in left.values():
                job.cancel()
    if failures:
        raise TaskFailed(f"{len(failures)} of {len(works)} tasks failed. {failures[0]}")


def _submit(
    settings: ClusterSettings,
    share: Share,
    kind: str,
    works: Sequence[Task],
    at_once: int,
) -> list[Any]:
    with extras.needed("slurm", by=f"{VARIABLE} (--cluster)"):
        import submitit

    folder = Path(settings.folder).absolute() / kind
    values: dict[str, Any] = {
        "name": f"atat-{kind}",
        "timeout_min": share.minutes,
        "nodes": share.machines,
        "tasks_per_node": share.per_machine,
        "cpus_per_task": share.cpus,
        "gpus_per_node": share.gpus,
        "slurm_array_parallelism": at_once,
        "slurm_setup": list(settings.setup),
        "slurm_additional_parameters": dict(share.options),
        "slurm_partition": share.partition,
        "slurm_account": share.account,
        "mem_gb": share.memory_gb,
        "stderr_to_stdout": True,
    }
    given = {name: value for name, value in values.items() if value not in (None, 0, [], {})}
    try:
        executor = submitit.AutoExecutor(folder, cluster=settings.kind)
        executor.update_parameters(**given)
        # Tasks find the modules that this program finds, those beside a recipe's script included.
        with environment.changed(PYTHONPATH=os.pathsep.join(filter(None, sys.path))):
            jobs: list[Any] = executor.submit_array([*works])
    except (FileNotFoundError, subprocess.SubprocessError, RuntimeError) as error:
        detail = (getattr(error, "stderr", None) or str(error)).strip()
        raise InputError(
            f"the tasks could not be submitted to {settings.kind}: {detail}; correct the file that "
            f"{VARIABLE} names, or leave it out to work on this machine"
        ) from None
    print(f"{kind}: {len(jobs)} tasks, at most {at_once} at a time; logs: {folder}")
    return jobs


def _processes(job: Any) -> list[Any]:
    """A task's processes, each with a result of its own."""
    return [job.task(number) for number in range(job.num_tasks)] if job.num_tasks > 1 else [job]


def _has_ended(job: Any) -> bool:
    """Whether there are results, or, on this machine, no process any more."""
    if not hasattr(job, "_process"):
        return all(one.paths.result_pickle.exists() for one in _processes(job))
    return bool(job.done())


def _outcome(job: Any) -> tuple[list[Any], str]:
    """The results of a task, those of its first process; and why it failed, if it did."""
    reason = "it ended without a result: killed, or out of time or memory"
    if all(one.paths.result_pickle.exists() for one in _processes(job)):
        try:
            results = job.results()
            if not any(isinstance(one, int) and one for one in results):
                return results[0] or [], ""
            reason = f"exit status {next(one for one in results if one)}"  # below 0: a signal
        except Exception as error:  # submitit's, of many kinds, with the traceback of the task
            lines = [line for line in str(error).splitlines() if line.strip(" -")]
            reason = next((x for x in reversed(lines) if "Error: " in x), repr(error)).strip()
    log = job.paths.stdout
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    last = [line for line in lines if not line.startswith("submitit INFO")][-LINES:]
    return [], "\n".join([f"task {job.job_id} failed: {reason}; its log is {log}", *last])


class _Lost:
    """Finds tasks that Slurm does not know any more and that left no result.

    Asks squeue, since sacct, which submitit asks, needs accounting, which not every Slurm has.
    """

    def __init__(self, settings: ClusterSettings) -> None:
        self._asks = settings.kind == "slurm"
        self._asked = time.monotonic()
        self._missed: dict[str, float] = {}  # task -> when it was first missed

    def has(self, job: Any) -> bool:
        """Whether a task has been missed for long enough."""
        return self._asked - self._missed.get(job.job_id, self._asked) > LATE

    def ask(self, jobs: Iterable[Any]) -> None:
        """Ask Slurm, if it has not been asked for a while."""
        if not self._asks or time.monotonic() - self._asked < ASK_SLURM:
            return
        self._asked = time.monotonic()
        command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
        try:
            known = set(subprocess.check_output(command, text=True).split())
        except (OSError, subprocess.SubprocessError):
            return  # it is busy; ask again later
        for job in jobs:
            if job.job_id in known:
                self._missed.pop(job.job_id, None)
            else:
                self._missed.setdefault(job.job_id, self._asked)
