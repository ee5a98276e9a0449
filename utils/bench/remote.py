"""Systems in processes of their own, each with the settings that it has when used alone.

How threads wait and where memory comes from is settled when a process starts: atat tunes its own
(atat/base/machine.py), its peers run as they come. A process of several has one thread, as in
ESPnet's recipes (--inference_nj) and in atat decode (--nj).

    python utils/bench/remote.py '{"work": "search", "system": "atat", ...}'

does that work once for each line that it reads, and answers with what came out, as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Remote:
    """Some work, done by as many processes as there are descriptions of it."""

    def __init__(self, works: Sequence[dict[str, Any]]) -> None:
        environment = dict(os.environ)
        if len(works) > 1:
            environment["OMP_NUM_THREADS"] = "1"
        program = [sys.executable, str(Path(__file__))]
        self.processes = [
            subprocess.Popen(
                [*program, json.dumps(work)],
                env=environment,
                text=True,
                bufsize=1,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for work in works
        ]
        for process in self.processes:
            self._answer(process)  # it is ready

    def __call__(self) -> list[Any]:
        """Do the work once; what each process answers."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("\n")
        return [self._answer(process) for process in self.processes]

    def close(self) -> None:
        for process in self.processes:
            process.communicate()

    @staticmethod
    def _answer(process: subprocess.Popen[str]) -> Any:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{process.args!r} ended with {process.wait()}; its error is above")
        return json.loads(line)


def once(**work: Any) -> Any:
    """Do some work once, in a process of its own."""
    remote = Remote([work])
    try:
        return remote()[0]
    finally:
        remote.close()


def main() -> None:
    described = json.loads(sys.argv[1])
    # What libraries print must not stand between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    if described.get("system", "atat") == "atat":
        from atat.base import machine

        machine.tune()
    import torch
    import work

    do = getattr(work, described.pop("work"))(**described)
    print("null", file=answers)
    for _ in sys.stdin:
        result = do()
        if described["device"] != "cpu":
            torch.cuda.synchronize()
        print(json.dumps(result), file=answers)


if __name__ == "__main__":
    main()
