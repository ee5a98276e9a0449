"""Puts a served model under load, and holds every answer against that of Python.

    utils/in_environment.sh python utils/load.py MODEL a.wav b.wav ... --clients 50 --seconds 300

Starts `atat serve MODEL`, and clients that ask all the time: for recordings and sentences, drawn at
random. An answer is right if it is, key by key, what `Recognizer` says in this process; a client
that is refused for want of a place (503) waits as long as it is told. Prints what was answered, how
long it took and how the server's memory grew; ends with 1 if an answer was wrong, mixed up or lost.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atat.apps.recognizer import Recognizer

WARM = 0.2  # share of the time after which memory should not grow any more
PERCENTILES = (50, 90, 95, 99, 100)


@dataclass(frozen=True)
class Question:
    """A request, and what is to come back."""

    path: str
    body: bytes
    answer: dict[str, Any]


@dataclass
class Tally:
    """What has happened so far; clients add to it."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)  # of right answers
    wrong: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)  # s, MB
    lock: threading.Lock = field(default_factory=threading.Lock)


def main() -> int:
    """Run and report."""
    options = _options()
    questions = _questions(options)
    server, port = _start(options)
    tally = Tally()
    try:
        _load(questions, port, server.pid, options.clients, options.seconds, tally)
    finally:
        server.terminate()
        server.wait(60)
    print(report(tally, len(questions), options.clients, options.seconds))
    for line in tally.wrong[:5]:
        print(line)
    return 1 if tally.wrong or not tally.seconds else 0


def _options() -> argparse.Namespace:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--text", action="append", default=[], help="a sentence to ask for, too")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--parallel", type=int, default=1, help="of the server")
    parser.add_argument(
        "--spoil", action="store_true", help="expect other answers: to see that this can fail"
    )
    return parser.parse_args()


def _questions(options: argparse.Namespace) -> list[Question]:
    recognizer = Recognizer.load(options.model)
    recordings = [path.read_bytes() for path in options.recordings]
    found = [Question("/recognize", one, recognizer(one).to_dict()) for one in recordings]
    found += [
        Question("/understand", text.encode(), recognizer(text=text).to_dict())
        for text in options.text
    ]
    if options.spoil:
        found = [Question(one.path, one.body, one.answer | {"text": "x"}) for one in found]
    return found


def _start(options: argparse.Namespace) -> tuple[subprocess.Popen[str], int]:
    """The server, ready, and its port."""
    command = [sys.executable, "-m", "atat", "serve", options.model, "--port", "0"]
    command += ["--parallel", str(options.parallel)]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    for line in server.stderr:
        if "is ready" in line:
            # Whoever does not read its lines stops it when the pipe is full.
            threading.Thread(target=server.stderr.read, daemon=True).start()
            return server, int(line.split(":")[2].split()[0])
    raise SystemExit("the server did not start")


def _load(
    questions: list[Question], port: int, pid: int, clients: int, seconds: float, tally: Tally
) -> None:
    started = time.monotonic()
    end = started + seconds
    threads = [
        threading.Thread(target=_client, args=(number, questions, port, end, tally))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        tally.memory.append((time.monotonic() - started, _memory(pid)))
        time.sleep(min(1.0, seconds / 20))
    tally.memory.append((time.monotonic() - started, _memory(pid)))


def _client(number: int, questions: list[Question], port: int, end: float, tally: Tally) -> None:
    rng = random.Random(number)
    while time.monotonic() < end:
        question = rng.choice(questions)
        began = time.monotonic()
        try:
            status, answer, retry = _ask(port, question)
        except (OSError, http.client.HTTPException, ValueError) as error:
            status, answer, retry = 0, {"error": repr(error)}, 0.0
        took = time.monotonic() - began
        with tally.lock:
            tally.statuses[status] += 1
            if status == 200 and answer == question.answer:
                tally.seconds.append(took)
            elif status != 503 or retry <= 0 or [*answer] != ["error"]:
                tally.wrong.append(f"{status} {json.dumps(answer)[:300]}")
        if status == 503:
            time.sleep(min(retry * rng.uniform(0.5, 1.0), max(0.0, end - time.monotonic())))


def _ask(port: int, question: Question) -> tuple[int, dict[str, Any], float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        headers = {"Content-Type": "application/octet-stream"}
        if question.path == "/understand":
            headers = {"Content-Type": "text/plain"}
        connection.request("POST", question.path, question.body, headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        return response.status, answer, float(response.headers.get("Retry-After", 0))
    finally:
        connection.close()


def _memory(pid: int) -> float:
    """Resident megabytes of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


def report(tally: Tally, questions: int, clients: int, seconds: float) -> str:
    """A table of what has happened."""
    times = sorted(tally.seconds) or [float("nan")]
    at = [times[min(len(times) - 1, int(len(times) * share / 100))] for share in PERCENTILES]
    warm = [mb for second, mb in tally.memory if second >= WARM * seconds]
    rows = [
        ("clients, questions, seconds", f"{clients}, {questions}, {seconds:g}"),
        ("answered right", f"{len(tally.seconds)}"),
        ("answers a second", f"{len(tally.seconds) / seconds:.1f}"),
        ("refused, 503", f"{tally.statuses[503]}"),
        ("wrong or lost", f"{len(tally.wrong)}"),
        (f"seconds, {' '.join(f'{p}%' for p in PERCENTILES)}", " ".join(f"{t:.2f}" for t in at)),
        (
            "MB at the start, warm, at the end",
            f"{tally.memory[0][1]:.0f} {warm[0]:.0f} {warm[-1]:.0f}",
        ),
        ("MB of growth after warm-up, at most", f"{max(warm) - warm[0]:.1f}"),
    ]
    return "\n".join(f"{name:36} {value}" for name, value in rows)


if __name__ == "__main__":
    sys.exit(main())
