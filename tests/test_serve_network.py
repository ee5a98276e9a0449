"""The server on a socket: slow, lying and many clients, and its end."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import serving
import soundfile

pytest.importorskip("uvicorn")

from atat.apps.server import running
from atat.apps.server.app import Service
from atat.apps.server.limits import Limits
from atat.apps.server.turns import Closed, Full, Turns
from atat.engine import model_folder
from atat.text.understanding import Hypothesis, Understanding, understand

ROOT = Path(__file__).resolve().parent.parent
HOST = "Host: 127.0.0.1\r\n"


class Echo:
    """Takes the place of a model: answers with the text, when it is allowed to."""

    tasks = {"nlu": SimpleNamespace(source="text")}
    answers_questions = False

    def __init__(self) -> None:
        self.may = threading.Event()
        self.asked: list[str] = []

    def __call__(self, recording: Any = None, *, text: str = "", **further: Any) -> Understanding:
        self.asked.append(text)
        assert self.may.wait(30)
        return understand("asr", [Hypothesis(text, 0.0, 1)], is_tree=False)


@pytest.fixture
def echo() -> Iterator[Echo]:
    found = Echo()
    yield found
    found.may.set()


def service(echo: Echo, **limits: Any) -> Service:
    return Service(echo, "echo", limits=Limits(**limits), body_seconds=1.0)  # type: ignore[arg-type]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- Clients that are slow, or lie


def said_to(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """All that the server says to these bytes, until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except OSError:
                break
            time.sleep(pause)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
        return answer


def head(length: int | str, more: str = "", path: str = "/recognize") -> bytes:
    return f"POST {path} HTTP/1.1\r\n{HOST}Content-Length: {length}\r\n{more}\r\n".encode()


def refused(answer: bytes, status: int) -> str:
    first, _, rest = answer.partition(b"\r\n")
    assert first.split()[1] == str(status).encode(), answer
    error: str = json.loads(rest.partition(b"\r\n\r\n")[2])["error"]
    return error


def test_a_huge_promise_is_refused_before_a_byte_of_it_has_come(echo: Echo) -> None:
    with serving.serve(service(echo)) as server:
        started = time.monotonic()
        for length in (13_000_000, 10**12, 10**19):
            assert "up to 60 s and 12 MB" in refused(said_to(server.port, head(length)), 413)
        asks_first = head(10**9, "Expect: 100-continue\r\n")
        answer = said_to(server.port, asks_first)
        assert "too large" in refused(answer, 413) and b"100 Continue" not in answer
        assert time.monotonic() - started < 10
        assert said_to(server.port, head("-5")).split()[1] == b"400"
        assert said_to(server.port, head("many")).split()[1] == b"400"


def test_a_body_without_end_is_refused_at_its_limit(echo: Echo) -> None:
    begin = f"POST /understand HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"2000\r\n" + b"a" * 0x2000 + b"\r\n"
    with serving.serve(service(echo)) as server:
        assert "up to 500 characters" in refused(said_to(server.port, begin, *[chunk] * 50), 413)
        # The chunk that is too much may be the last.
        whole = [begin, chunk, chunk + b"0\r\n\r\n"]
        assert "up to 500 characters" in refused(said_to(server.port, b"".join(whole)), 413)
        assert server.service.turns.places == 0


def test_a_body_that_comes_slowly_is_given_up_and_its_place_is_free(echo: Echo) -> None:
    with serving.serve(service(echo, waiting=0)) as server:
        drops = [head(1000)] + [b"x"] * 30
        assert "within 1 s" in refused(said_to(server.port, *drops, pause=0.1), 408)
        assert server.service.turns.places == 0


def test_a_client_that_leaves_within_its_body_leaves_no_place_taken(echo: Echo) -> None:
    with serving.serve(service(echo, waiting=0)) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head(1000) + b"x")
            until(lambda: server.service.turns.places == 1)
        until(lambda: server.service.turns.places == 0)
    assert echo.asked == []


def test_a_connection_that_never_says_what_it_wants_is_closed(
    echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "HEAD_SECONDS", 0.5)
    with serving.serve(service(echo)) as server:
        started = time.monotonic()
        assert said_to(server.port) == b""
        drops = [b"GET / HTTP/1.1\r\n"] + [b"X-More: 1\r\n"] * 30
        assert said_to(server.port, *drops, pause=0.1) == b""
        # After a request, too: the second head of a connection.
        whole = f"GET /health HTTP/1.1\r\n{HOST}\r\n".encode()
        answer = said_to(server.port, whole, *drops, pause=0.1)
        assert answer.count(b"HTTP/1.1 200") == 1
        assert time.monotonic() - started < 15
        # One that takes its time with a body is another thing, and one that waits for its answer.
        asked = head(4, "Connection: close\r\n", "/understand") + b"play"
        threading.Timer(1.0, echo.may.set).start()
        assert b"200 OK" in said_to(server.port, asked)


# --- Many clients


def ask(server: serving.Running, text: str) -> tuple[int, dict[str, Any], Any]:
    return server.ask("POST", "/understand", text.encode())


def test_more_than_the_places_are_told_when_to_try_again_and_all_others_get_their_own_answer(
    echo: Echo,
) -> None:
    with serving.serve(service(echo, waiting=2)) as server, ThreadPoolExecutor(8) as threads:
        held: list[Future[Any]] = []
        for number in range(3):
            held.append(threads.submit(ask, server, f"text {number}"))
            until(lambda: server.service.turns.places == len(held))
        for _ in range(3):
            status, answer, headers = ask(server, "one too many")
            assert status == 503 and int(headers["Retry-After"]) >= 1
            assert "too many requests wait already (3)" in answer["error"]
        assert server.ask("GET", "/health")[1]["busy"] == 3
        echo.may.set()
        found = [one.result(30) for one in held]
        assert [answer["text"] for _, answer, _ in found] == ["text 0", "text 1", "text 2"]
        assert {status for status, *_ in found} == {200}
        assert echo.asked == ["text 0", "text 1", "text 2"]  # first come, first served
        assert ask(server, "again")[0] == 200


def test_who_would_wait_too_long_is_told_so_but_an_idle_server_takes_everything() -> None:
    async def everything() -> None:
        turns = Turns(2, 100, patience=10.0)
        turns.mean = 4.0
        with turns.place(), turns.place(), turns.place(), turns.place(), turns.place():
            turns.mean = 4.1  # five of them, two at once: 10.25 s
            with pytest.raises(Full) as full, turns.place():
                pass
            assert full.value.seconds == 11
        turns.mean = 1000.0
        with turns.place(), turns.place():
            with pytest.raises(Full), turns.place():
                pass

    asyncio.run(everything())


def test_what_nobody_waits_for_any_more_is_not_computed(echo: Echo) -> None:
    with serving.serve(service(echo)) as server, ThreadPoolExecutor(2) as threads:
        first = threads.submit(ask, server, "first")
        until(lambda: echo.asked == ["first"])
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head(4, path="/understand") + b"left")
            until(lambda: server.service.turns.places == 2)
        last = threads.submit(ask, server, "last")
        until(lambda: server.service.turns.places == 3)
        echo.may.set()
        assert (first.result(30)[1]["text"], last.result(30)[1]["text"]) == ("first", "last")
    assert echo.asked == ["first", "last"]


def test_turns_are_taken_by_no_more_than_may_run_whatever_leaves() -> None:
    """Work of random length, a third of it given up at a random moment."""
    rng = np.random.default_rng(0)
    running_now, most = 0, 0
    lock = threading.Lock()

    def work() -> int:
        nonlocal running_now, most
        with lock:
            running_now += 1
            most = max(most, running_now)
        time.sleep(0.002)
        with lock:
            running_now -= 1
        return 1

    async def stays() -> bool:
        return False

    async def one(turns: Turns, begin: float, patience: float) -> int:
        await asyncio.sleep(begin)
        try:
            with turns.place():
                return await asyncio.wait_for(turns.run(work, stays), patience)
        except (Full, asyncio.TimeoutError):  # noqa: UP041  # Python 3.10 has two
            return 0

    async def everything() -> int:
        turns = Turns(2, 20)
        times = rng.uniform(0, 0.1, 200)
        patience = np.where(rng.random(200) < 0.3, rng.uniform(0, 0.01, 200), 30.0)
        done = await asyncio.gather(*(one(turns, *pair) for pair in zip(times, patience)))
        assert turns.places == 0 and turns.running == 0
        # All turns are still there.
        with turns.place(), turns.place():
            assert await asyncio.gather(turns.run(work, stays), turns.run(work, stays)) == [1, 1]
        turns.close()
        with pytest.raises(Closed), turns.place():
            pass
        return sum(done)

    assert asyncio.run(everything()) > 50


# --- The end


def test_at_the_end_work_is_answered_and_whoever_waits_is_told(echo: Echo) -> None:
    with ThreadPoolExecutor(8) as threads:
        with serving.serve(service(echo)) as server:
            works = threads.submit(ask, server, "works")
            until(lambda: echo.asked == ["works"])
            waits = threads.submit(ask, server, "waits")
            until(lambda: server.service.turns.places == 2)
            arrives = threads.submit(said_to, server.port, head(1000) + b"half")
            until(lambda: server.service.turns.places == 3)
            # What follows the block waits for the server's end: let the work take until then.
            threading.Timer(0.5, echo.may.set).start()
        status, answer, _ = works.result(30)
        assert (status, answer["text"]) == (200, "works")
        status, answer, headers = waits.result(30)
        assert status == 503 and "being stopped" in answer["error"] and headers["Retry-After"]
        assert "being stopped" in refused(arrives.result(30), 503)
    assert echo.asked == ["works"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "model"
    model_folder.save(folder, serving.packed())
    return folder


def test_ctrl_c_ends_the_command_at_once(model: Path) -> None:
    command = [sys.executable, "-m", "atat", "serve", str(model), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stderr is not None
        lines = []
        while "is ready" not in (line := process.stderr.readline()):
            assert line, lines
            lines.append(line)
        port = int(line.split(":")[2].split()[0])
        with socket.create_connection(("127.0.0.1", port)) as idle:
            idle.sendall(b"GET / HT")
            started = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        assert time.monotonic() - started < 15
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize("parallel", [1, 2])
def test_under_many_clients_each_answer_is_right_or_an_honest_503(
    model: Path, tmp_path: Path, parallel: int
) -> None:
    """utils/load.py for a few seconds; it fails if one answer is wrong, mixed up or lost."""
    rng = np.random.default_rng(3)
    for number in range(6):
        samples = rng.normal(0, 0.1, 6000 + 1500 * number).astype(np.float32)
        soundfile.write(tmp_path / f"{number}.wav", samples, 16000)
    command = [sys.executable, "utils/load.py", str(model), *map(str, tmp_path.glob("*.wav"))]
    command += [
        "--parallel",
        str(parallel),
        "--clients",
        "50",
        "--seconds",
        "4",
        "--text",
        "play",
        "--text",
        "stop the lamp",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    right = re.search(r"answered right +(\d+)", result.stdout)
    refused = re.search(r"refused, 503 +(\d+)", result.stdout)
    assert right and int(right[1]) > 10, result.stdout
    assert refused and int(refused[1]) > 0, result.stdout
    assert re.search(r"wrong or lost +0\n", result.stdout), result.stdout


def test_the_load_test_can_fail(model: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.random.default_rng(0).normal(0, 0.1, 8000), 16000, format="WAV")
    (tmp_path / "a.wav").write_bytes(buffer.getvalue())
    command = [sys.executable, "utils/load.py", str(model), str(tmp_path / "a.wav")]
    command += ["--clients", "2", "--seconds", "1", "--spoil"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 1 and "wrong or lost" in result.stdout, result.stdout
