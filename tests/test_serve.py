"""The server's answers: the same as in Python, each refusal one sentence, nobody else let in."""

from __future__ import annotations

import asyncio
import io
import json
import re
import socket
import struct
import time
import wave
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import serving
import soundfile

pytest.importorskip("starlette")
from starlette.testclient import TestClient

from atat.apps.recognizer import Recognizer
from atat.apps.server import app as server_app
from atat.apps.server import command, running
from atat.apps.server.app import PAGE, Service
from atat.apps.server.limits import Limits
from atat.base.calibration import OF_NO_USE
from atat.base.errors import InputError
from atat.prepare import timed_words

OURS = "http://127.0.0.1:8000"
LIMITS = Limits(seconds=3, megabytes=0.2, characters=40)


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return serving.recognizer()


@pytest.fixture(scope="module")
def log() -> list[str]:
    return []


@pytest.fixture(scope="module")
def client(recognizer: Recognizer, log: list[str]) -> Iterator[TestClient]:
    service = Service(recognizer, "tiny", limits=LIMITS, log=log.append)
    yield TestClient(service.app(), base_url=OURS, raise_server_exceptions=False)


def noise(seconds: float = 1.0, rate: int = 16000, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.1, (int(seconds * rate), channels)).astype(np.float32)


def coded(
    samples: np.ndarray, rate: int = 16000, kind: str = "WAV", subtype: str | None = None
) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


# --- The same answers as in Python


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
def test_a_recording_is_answered_as_in_python(
    client: TestClient, recognizer: Recognizer, kind: str
) -> None:
    recording = coded(noise(), kind=kind)
    expected = recognizer(recording).to_dict()
    assert client.post("/recognize", content=recording).json() == expected
    in_a_form = client.post("/recognize", files={"file": ("order", recording)})
    assert in_a_form.json() == expected
    assert expected["nbest"][0]["text"] and expected["duration"] == 1.0


def test_a_task_the_number_of_hypotheses_and_a_channel_can_be_chosen(
    client: TestClient, recognizer: Recognizer
) -> None:
    stereo = noise(rate=44100, channels=2)
    recording = coded(stereo, 44100)
    found = client.post("/recognize?task=asr&nbest=2&channel=1", content=recording).json()
    expected = recognizer(recording, task="asr", channel=1).to_dict()
    assert len(expected["nbest"]) > 2
    assert found == expected | {"nbest": expected["nbest"][:2]}


def test_a_sentence_is_answered_as_in_python(client: TestClient, recognizer: Recognizer) -> None:
    expected = recognizer(text="play the red lamp").to_dict()
    assert client.post("/understand", json={"text": "Play the red lamp!"}).json() == expected
    plain = client.post("/understand", content=b"play the red lamp")
    assert plain.json() == expected
    silence = coded(np.zeros((16000, 1), np.float32))
    nothing = client.post("/recognize", content=silence)
    assert nothing.status_code == 200 and nothing.json()["cause"] == "silence"


@pytest.mark.parametrize("source", ["audio", "text"])
def test_how_long_an_answer_takes_is_known_before_the_first_request(
    recognizer: Recognizer, source: str
) -> None:
    service = Service(recognizer, "tiny")
    asked: list[bool] = []

    def slow(recording: np.ndarray | None = None, *, text: str | None = None) -> None:
        asked.append((recording if source == "audio" else text) is not None)
        time.sleep(0.05 * len(asked))

    slow.tasks = {  # type: ignore[attr-defined]
        name: task for name, task in recognizer.tasks.items() if task.source == source
    }
    slow.answers_questions = False  # type: ignore[attr-defined]
    service.recognizer = slow  # type: ignore[assignment]
    service.warm()
    assert asked == [True, True] and 0.1 <= service.turns.mean < 5


def test_a_short_limit_leaves_a_short_warming_up() -> None:
    tiny = serving.recognizer()
    tiny.longest = 0.5
    service = Service(tiny, "tiny", limits=Limits(seconds=0.5))
    service.warm()
    with serving.questioned() as answering, pytest.MonkeyPatch.context() as patch:
        answering.longest = 0.5
        patch.setattr(timed_words, "heard", lambda *_: [])  # undone before what `questioned` does
        Service(answering, "tiny", limits=Limits(seconds=0.5)).warm()


def test_health_tells_what_there_is_to_know(client: TestClient) -> None:
    found = client.get("/health").json()
    assert found["status"] == "ok" and found["model"] == "tiny" and found["busy"] == 0
    assert found["tasks"] == {"asr": "audio", "slu": "audio", "nlu": "text"}
    assert found["limits"]["seconds"] == 3 and found["limits"]["characters"] == 40


# --- Questions


@pytest.fixture(scope="module")
def questioned() -> Iterator[tuple[TestClient, Recognizer, list[str]]]:
    """A client of a model that answers questions, the model, and the server's log."""
    written: list[str] = []
    with serving.questioned() as found:
        service = Service(found, "tiny", limits=LIMITS, log=written.append)
        service.warm()
        yield TestClient(service.app(), base_url=OURS), found, written


def test_a_question_is_answered_as_in_python(
    questioned: tuple[TestClient, Recognizer, list[str]],
) -> None:
    client, recognizer, written = questioned
    recording = coded(noise())
    expected = recognizer(recording, question="Which tango?").to_dict()
    asked = {"question": "Which tango?"}
    assert client.post("/recognize", params=asked, content=recording).json() == expected
    assert expected["said"][1] == {"word": "the", "seconds": [0.2, 0.4]}
    first, last = expected["words"]
    words = expected["said"][first : last + 1]
    assert expected["answer"] == " ".join(one["word"] for one in words)
    assert expected["seconds"] == [words[0]["seconds"][0], words[-1]["seconds"][1]]
    found = client.post("/recognize", params=asked | {"nbest": "2"}, content=recording).json()
    assert len(expected["nbest"]) == 5 and found == expected | {"nbest": expected["nbest"][:2]}
    silence = client.post("/recognize", params=asked, content=coded(noise() * 0))
    assert silence.status_code == 200 and silence.json()["answer"] == ""
    described = client.get("/openapi.json").json()
    said = described["paths"]["/recognize"]["post"]["responses"]["200"]
    for one in (expected, silence.json()):
        schema = said["content"]["application/json"]["schema"]
        fits(one, schema, described["components"]["schemas"])
    health = client.get("/health").json()
    fits(health, described["components"]["schemas"]["Health"], {})
    assert health["questions"] is True
    assert "answered" in written[0] and not any("tango" in line for line in written)


def test_what_is_wrong_with_a_question_is_said(
    questioned: tuple[TestClient, Recognizer, list[str]], client: TestClient
) -> None:
    asked, recording = questioned[0], coded(noise())
    for one, query, status, part in (
        (asked, "", 422, "ask one (/recognize?question=...)"),
        (asked, "?question=%3F", 422, "the question has no words"),
        (asked, f"?question={'why+' * 20}", 413, "questions up to 40 characters"),
        (asked, "?question=who&task=answer", 422, "give one of the two"),
        (client, "?question=who", 422, "the model answers no questions"),
    ):
        found = one.post(f"/recognize{query}", content=recording)
        assert (found.status_code, [*found.json()]) == (status, ["error"]), found.text
        assert part in found.json()["error"]
    assert asked.post("/understand", content=b"who won").status_code == 422


# --- The description


def fits(value: Any, schema: dict[str, Any], schemas: dict[str, Any], at: str = "") -> None:
    """Hold a value against the part of JSON Schema that the description uses."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rsplit("/", 1)[-1]]
    if "anyOf" in schema:
        kinds_that_fit = []
        for one in schema["anyOf"]:
            with suppress(AssertionError, KeyError):
                fits(value, one, schemas, at)
                kinds_that_fit.append(one)
        assert len(kinds_that_fit) == 1, at
        return
    if "enum" in schema:
        assert value in schema["enum"], at
        return
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    names |= {list: "array", dict: "object"}
    kind = names[type(value)]
    assert kind in kinds or (kind == "integer" and "number" in kinds), (at, value)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        assert {*schema.get("required", [])} <= {*value}, at
        for name, one in value.items():
            inner = known.get(name) or schema["additionalProperties"]  # an unknown key is an error
            fits(one, inner, schemas, f"{at}.{name}")
    if isinstance(value, list):
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)), at
        for number, one in enumerate(value):
            fits(one, schema["items"], schemas, f"{at}[{number}]")
    if isinstance(value, int | float) and not isinstance(value, bool):
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value), at


def test_every_answer_is_as_the_description_says(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    schemas = described["components"]["schemas"]
    asked = [
        ("/recognize", "post", coded(noise())),
        ("/recognize", "post", coded(noise(0.5) * 0)),
        ("/recognize", "post", b"no audio"),
        ("/recognize", "post", b"x" * 300_000),
        ("/understand", "post", b"play the lamp"),
        ("/understand", "post", b"?"),
        ("/understand", "post", b"a" * 50),
        ("/health", "get", None),
    ]
    seen = set()
    for path, method, body in asked:
        found = client.request(method.upper(), path, content=body)
        said = described["paths"][path][method]["responses"][str(found.status_code)]
        schema = said["content"]["application/json"]["schema"]
        fits(found.json(), schema, schemas, path)
        seen.add(found.status_code)
    assert seen == {200, 413, 422}
    routes = {"/", "/page/{file}", "/openapi.json", *described["paths"]}
    text = Path(server_app.__file__).read_text()
    assert routes == set(re.findall(r'Route\("(.*?)"', text))


def test_the_description_tells_an_answer_of_another_kind(client: TestClient) -> None:
    """That the check above can fail."""
    described = client.get("/openapi.json").json()["components"]["schemas"]
    answer = client.post("/understand", content=b"play").json()
    schema = described["Understanding"]
    fits(answer, schema, described)
    wrong = [
        {"understood": "yes"},
        {"cause": "tired"},
        {"confidence": 1.5},
        {"nbest": []},
        {"words": [{"word": "play", "seconds": [0.1]}]},
        {"new": 1},
    ]
    for change in wrong:
        with pytest.raises((AssertionError, KeyError)):
            fits(answer | change, schema, described)
    del answer["slots"]
    with pytest.raises(AssertionError):
        fits(answer, schema, described)


# --- What cannot be answered


def lying(promised: int) -> bytes:
    """A wav whose header promises another number of bytes than there are."""
    recording = bytearray(coded(noise(0.5)))
    at = recording.index(b"data") + 4
    recording[at : at + 4] = struct.pack("<I", promised)
    return bytes(recording)


def header(rate: int, channels: int = 1) -> bytes:
    """A wav of half a second of 16 kHz, with another rate or number of channels in its header."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as stream:
        stream.setparams((channels, 2, rate, 0, "NONE", ""))
        stream.writeframes(bytes(16000))
    return buffer.getvalue()


def flac_that_promises(samples: int) -> bytes:
    """A small flac whose header says that it has so many samples."""
    found = bytearray(coded(noise(0.2), kind="FLAC"))
    # STREAMINFO: 36 bits of the number of samples end at byte 26 of the file.
    number = int.from_bytes(found[18:26], "big") & ~(2**36 - 1) | samples
    found[18:26] = number.to_bytes(8, "big")
    return bytes(found)


REFUSED = {
    "empty": (b"", 422, "empty"),
    "text": (b"hello, I am a wav", 422, "cannot be read as audio"),
    "a page": (b"<html>" * 100, 422, "cannot be read as audio"),
    "only a header": (coded(noise(0.5))[:44], 422, ""),
    "another format": (coded(noise(0.5), kind="AU"), 422, "cannot be read as audio"),
    "a rate of 2 GHz": (header(2**31 - 1), 422, ""),
    "1000 channels": (header(16000, 1000), 422, "1000 channels"),
    "half of a header": (coded(noise(0.5))[:20], 422, "cannot be read as audio"),
    "cut": (coded(noise(0.5))[:-1000], 422, "truncated"),
    "promises more": (lying(2**30), 422, "truncated"),
    "promises four gigabytes of flac": (flac_that_promises(2**36 - 1), 413, "up to 3 s"),
    "promises a second more of flac": (flac_that_promises(16000), 422, ""),
    "a rate of 1 Hz": (header(1), 413, "up to 3 s"),
    "too long": (coded(noise(3.5), kind="FLAC"), 413, "lasts 4 s"),
    "two channels": (coded(noise(0.5, channels=2)), 422, "2 channels"),
    "not a number": (coded(noise() * np.nan, subtype="FLOAT"), 422, "not a number"),
    "too large": (bytes(300_000), 413, "up to 3 s and 0.2 MB"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_recording_that_cannot_be_used_is_refused_in_a_sentence(
    client: TestClient, name: str
) -> None:
    recording, status, part = REFUSED[name]
    found = client.post("/recognize", content=recording)
    assert (found.status_code, [*found.json()]) == (status, ["error"]), found.text
    error = found.json()["error"]
    assert part in error and "\n" not in error and "Traceback" not in error


def test_ten_minutes_are_refused_in_a_sentence_that_says_how_much_is_understood(
    recognizer: Recognizer,
) -> None:
    client = TestClient(Service(recognizer, "tiny").app(), base_url=OURS)
    quiet = np.zeros((600 * 16000, 1), np.float32)
    for kind in ("WAV", "FLAC"):
        found = client.post("/recognize", content=coded(quiet, kind=kind))
        assert found.status_code == 413
        assert "recordings up to 60 s and 12 MB are understood" in found.json()["error"]


def test_a_longer_limit_takes_more_and_what_is_too_much_is_named(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Service, "_note", lambda *_: "")
    limits = Limits(seconds=120, megabytes=100)
    service = Service(recognizer, "tiny", limits=limits)
    client = TestClient(service.app(), base_url=OURS)
    wide = coded(np.zeros((31 * 16000, 64), np.float32), kind="WAV", subtype="PCM_U8")
    assert 24_000_000 < 31 * 16000 * 64 < limits.values == 2 * Limits().values
    assert client.post("/recognize?channel=0", content=wide).json()["cause"] == "silence"
    monkeypatch.setattr(service, "limits", Limits(seconds=60, megabytes=100))
    found = client.post("/recognize?channel=0", content=wide)
    assert found.status_code == 413
    assert "recordings up to 24000000 values are understood; send one" in found.json()["error"]


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("task=fly", "task fly: unknown to the model; there are: "),
        ("task=nlu", "task nlu reads text"),
        ("task=../../etc/passwd", "unknown"),
        ("nbest=0", "nbest is '0'"),
        ("nbest=-1", "nbest is '-1'"),
        ("nbest=1e9", "nbest is '1e9'"),
        ("nbest=" + "9" * 400, "expected a whole number"),
        ("channel=7", "no channel 7"),
        ("channel=%C2%B2", "expected a whole number"),
    ],
)
def test_a_wrong_question_is_named(client: TestClient, query: str, part: str) -> None:
    found = client.post(f"/recognize?{query}", content=coded(noise(0.5)))
    assert found.status_code == 422 and part in found.json()["error"], found.text


@pytest.mark.parametrize(
    ("body", "kind", "status", "part"),
    [
        (b"{", "application/json", 422, "cannot be read"),
        (b"[" * 200, "application/json", 422, "cannot be read"),
        (b'{"text": 3}', "application/json", 422, "no text"),
        (b'["text"]', "application/json", 422, "no text"),
        (b'{"text": "\\ud800"}', "application/json", 422, "surrogate"),
        (b"\xff\xfe", "text/plain", 422, "cannot be read"),
        (b"text=play", "application/x-www-form-urlencoded", 415, "is 'application/x-www"),
        (b"a" * 41, "text/plain", 413, "up to 40 characters"),
        (b"a" * 100_000, "text/plain", 413, "up to 40 characters"),
    ],
)
def test_a_text_that_cannot_be_used_is_refused_in_a_sentence(
    client: TestClient, body: bytes, kind: str, status: int, part: str
) -> None:
    found = client.post("/understand", content=body, headers={"content-type": kind})
    assert found.status_code == status and part in found.json()["error"], found.text


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"--\r\n\r\n"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"--b\r\nnonsense\r\n\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nno file\r\n--b--\r\n',
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="other"; filename="../../x"\r\n\r\n'
            b"a file\r\n--b--\r\n",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\na\r\n' * 3,
        ),
    ],
)
def test_a_form_that_cannot_be_used_is_refused(
    client: TestClient, content_type: str, body: bytes
) -> None:
    found = client.post("/recognize", content=body, headers={"content-type": content_type})
    assert found.status_code == 422 and "`file`" in found.json()["error"], found.text


def test_a_mistake_of_ours_is_told_to_the_terminal_only(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    service = Service(recognizer, "tiny", log=lines.append)

    def fails(*given: Any, **further: Any) -> None:
        raise RuntimeError("secret words")

    monkeypatch.setattr(service, "recognizer", fails)
    client = TestClient(service.app(), base_url=OURS, raise_server_exceptions=False)
    found = client.post("/understand", content=b"play")
    assert found.status_code == 500 and "secret" not in found.text and [*found.json()] == ["error"]
    assert "RuntimeError: secret words" in "\n".join(lines)
    assert service.turns.places == 0 and "POST /understand 500" in lines[-1]


# --- Who may ask


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil", "10.0.0.1"]
    + ["127.0.0.1:80:80", "127.0.0.1:x", "[::1", "[::1]x", "", "localhost@evil.example", "0.0.0.0"],
)
@pytest.mark.parametrize("path", ["/", "/health"])
def test_a_name_that_points_here_from_elsewhere_is_refused(
    client: TestClient, host: str, path: str
) -> None:
    """DNS rebinding: the browser believes that the site itself answers."""
    found = client.get(path, headers={"host": host})
    assert found.status_code == 403 and "(Host)" in found.json()["error"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9000", "LOCALHOST:80", "[::1]:8000"])
def test_the_servers_own_names_are_served(client: TestClient, host: str) -> None:
    assert client.get("/health", headers={"host": host}).status_code == 200
    own = client.post(
        "/understand", content=b"play", headers={"host": host, "origin": f"http://{host}"}
    )
    assert own.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:8001"},
        {"origin": "http://localhost:8000"},
        {"origin": OURS + ".evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": OURS, "sec-fetch-site": "cross-site"},
    ],
)
def test_a_page_of_another_site_is_refused(client: TestClient, headers: dict[str, str]) -> None:
    """A form or a script elsewhere can send; without CORS it could only not read the answer."""
    found = client.post("/understand", content=b"play", headers=headers)
    assert found.status_code == 403 and "page" in found.json()["error"]
    asked_before = client.options("/understand", headers=headers | {"host": "127.0.0.1:8000"})
    assert asked_before.status_code in (403, 405)
    for answer in (found, asked_before, client.get("/health")):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_link_from_another_site_opens_the_page(client: TestClient) -> None:
    assert client.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200


def test_every_answer_tells_browsers_to_run_and_load_nothing_of_others(client: TestClient) -> None:
    answers = [client.get(path) for path in ("/", "/health", "/nothing", "/page/main.js")]
    answers += [client.get("/", headers={"host": "evil"}), client.post("/recognize", content=b"x")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_names_of_the_network_are_served_if_the_owner_says_so(recognizer: Recognizer) -> None:
    app = Service(recognizer, "tiny").app(("localhost", "kitchen.lan"), any_address=True)
    client = TestClient(app, base_url=OURS)
    for host, status in (("kitchen.lan:8000", 200), ("192.168.0.7:8000", 200), ("evil.lan", 403)):
        assert client.get("/health", headers={"host": host}).status_code == status, host


# --- The page's files, and no others


@pytest.mark.parametrize(
    "path",
    [
        "/page/../app.py",
        "/page/..%2fapp.py",
        "/page/%2e%2e/app.py",
        "/page/..%5capp.py",
        "/page//etc/passwd",
        "/page/%2fetc%2fpasswd",
        "/page/index.html%00.css",
        "/page/main.js/",
        "/page/",
        "/../../../../etc/passwd",
        "//etc/passwd",
        "/docs",
        "/redoc",
    ],
)
def test_no_path_leads_out_of_the_page(client: TestClient, path: str) -> None:
    status, body = get_raw(client, path)
    assert status == 404 and json.loads(body)["error"].startswith("there is nothing")


def get_raw(client: TestClient, path: str) -> tuple[int, bytes]:
    """Ask for a path as it came from the network, decoded as uvicorn does; clients tidy it."""
    status, body = 0, b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status, body
        status = message.get("status", status)
        body += message.get("body", b"")

    scope = {
        "type": "http",
        "method": "GET",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8000")],
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 1),
    }
    asyncio.run(client.app(scope, receive, send))
    return status, body


def test_the_page_needs_nothing_but_its_own_files(client: TestClient) -> None:
    folder = Path(server_app.__file__).parent / "page"
    assert {path.name for path in folder.iterdir()} == {*PAGE}
    found = client.get("/")
    assert found.status_code == 200 and found.headers["content-type"].startswith("text/html")
    for name, kind in PAGE.items():
        served = client.get(f"/page/{name}")
        assert served.status_code == 200 and served.headers["content-type"] == kind
        assert served.content == (folder / name).read_bytes()
        text = served.text.replace("http://www.w3.org/2000/svg", "").replace("http://localhost", "")
        assert not re.search(r"https?://|//[a-z]+\.", text), name
        for address in re.findall(r'(?:src|href|from|addModule\()[= ]*"([^"]*)"', text):
            assert client.get(address).status_code == 200, (name, address)
    # Text of a model or a user never becomes HTML.
    code = "".join((folder / name).read_text() for name in PAGE if name.endswith(".js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", code)


# --- The terminal


def test_a_request_is_a_line_that_does_not_tell_what_was_said(
    client: TestClient, recognizer: Recognizer, log: list[str]
) -> None:
    log.clear()
    client.post("/recognize", content=coded(noise()))
    client.post("/understand", content=b"play the red lamp")
    get_raw(client, "/x\x1b[31m%0d%0aforged")
    assert len(log) == 3 and not any("lamp" in line or "play" in line for line in log)
    long = "\x1b[31m\r\nforged é" + "x" * 5000
    client.post("/recognize", params={"task": long}, content=coded(noise()))
    assert "422" in log[-1] and "?[31m" in log[-1] and len(log[-1]) < 1100 and log[-1].isascii()
    assert re.search(r"POST /recognize +200 +\d+\.\d\d s  1\.0 s of audio, slu, ", log[0])
    assert all(line.isprintable() for line in log)
    told: list[str] = []
    service = Service(recognizer, "tiny", show_answers=True, log=told.append)
    with TestClient(service.app(), base_url=OURS) as open_hearted:
        text = open_hearted.post("/understand", content=b"play").json()["text"]
    assert ascii(text) in told[0]


# --- The command


def test_a_taken_port_is_named_and_port_zero_finds_a_free_one() -> None:
    with running.listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} .*--port 0"):
            running.listen("127.0.0.1", port)
        with running.listen("127.0.0.1", 0) as second:
            assert second.getsockname()[1] > port >= running.FIRST_PORT


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_of_another_machine_is_named_at_once(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    bind = socket.socket.bind

    class Counted(socket.socket):
        def bind(self, address: Any) -> None:
            tried.append(address)
            bind(self, address)

    monkeypatch.setattr(socket, "socket", Counted)
    with pytest.raises(InputError, match=f"cannot listen at {host} .*with --host"):
        running.listen(host, 0)
    assert len(tried) == 1


def test_a_threshold_without_confidence_and_the_size_of_a_long_recording(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served: list[Service] = []
    monkeypatch.setattr(Recognizer, "load", lambda *_, **__: recognizer)
    monkeypatch.setattr(Service, "warm", lambda service: served.append(service))
    monkeypatch.setattr(running, "run", lambda *_: None)
    for options, warned, megabytes in (
        (["--threshold", "0.5"], True, 12.0),
        (["--longest", "600"], False, 19.2),
        (["--longest", "600", "--largest", "5"], False, 5.0),
    ):
        command.main(["model", "--port", "0", *options])
        assert (OF_NO_USE in capsys.readouterr().err) == warned
        assert served[-1].limits.megabytes == megabytes


@pytest.mark.parametrize(
    "options",
    [["--parallel", "0"], ["--waiting", "-1"], ["--longest", "0"], ["--largest", "nan"]]
    + [["--port", "99999"], ["--characters", "0"], ["--host", "no.such.host.invalid"]]
    + [["--threshold", "2"]],
)
def test_wrong_options_are_refused_before_the_model_is_read(options: list[str]) -> None:
    with pytest.raises(InputError) as error:
        command.main(["no/model", *options])
    assert "no/model" not in str(error.value)


def test_a_model_that_is_not_there_is_said() -> None:
    with pytest.raises(InputError, match="no/such/place/model"):
        command.main(["no/such/place/model", "--port", "0"])


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("exp/tiny/books_tts/seed1/model", "books_tts/seed1"),
        ("/x/barista", "x/barista"),
        (".", "model"),
    ],
)
def test_a_model_is_called_by_what_tells_it_apart(path: str, title: str) -> None:
    assert command._title(path) == title
