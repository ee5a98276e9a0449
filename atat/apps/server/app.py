"""The endpoints: a page, answers to recordings and sentences, and what the server says of itself.

    GET  /              the page (atat/apps/server/page)
    POST /recognize     a recording as the body, or as the file of a form; ?task=, nbest=, channel=,
                        and question= for a model that answers questions about recordings
    POST /understand    a sentence: {"text": "..."} or plain text; ?task=, nbest=
    GET  /health        the model, its tasks, the limits, and how busy the server is
    GET  /openapi.json  all this for programs

An answer is `Understanding.to_dict()` (atat/text/understanding.py), or to a question
`Answered.to_dict()` (atat/apps/answers.py), the same as in Python and on the command line. Whatever
is not answered gets a status and `{"error": "one sentence"}`.
"""

from __future__ import annotations

import io
import json
import time
import traceback
from collections.abc import Awaitable, Callable, Collection
from importlib import resources
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from atat import __version__
from atat.apps.answers import Answered
from atat.apps.recognizer import Recognizer
from atat.apps.server import bodies
from atat.apps.server.description import openapi
from atat.apps.server.guard import LOOPBACK, Guard
from atat.apps.server.limits import Limits
from atat.apps.server.refusal import Refusal
from atat.apps.server.turns import Closed, Full, Gone, Turns
from atat.base.errors import InputError
from atat.datadir.ctm import Word
from atat.speech import audio
from atat.text.understanding import Understanding

# The page's files: nothing else is ever read from the disk.
PAGE = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "main.js": "text/javascript; charset=utf-8",
    "drawing.js": "text/javascript; charset=utf-8",
    "sound.js": "text/javascript; charset=utf-8",
    "microphone.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
# Of the formats that are taken; libsndfile would try a dozen more on what strangers send.
BEGINNINGS = (b"RIFF", b"RF64", b"fLaC", b"OggS")
WORDS = (Word("a", 0.0, 0.1), Word("word", 0.1, 0.1))  # of a recording without any
LEFT = 499  # as servers call it: the client has left, nobody sees the answer
Found = Understanding | Answered
Handler = Callable[[Request, Exception], Response | Awaitable[Response]]
_SENTENCES = {
    404: "there is nothing at this address; there are: GET /, POST /recognize, POST /understand, "
    "GET /health, GET /openapi.json",
    405: "this address is for another method; GET /openapi.json says which",
}


class Service:
    """A model and what its server needs to answer."""

    def __init__(
        self,
        recognizer: Recognizer,
        name: str,
        *,
        limits: Limits = Limits(),
        body_seconds: float = bodies.SECONDS,
        show_answers: bool = False,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        """name: what the page calls the model. show_answers: whether lines of the log tell what
        was said; by default nothing of it is written anywhere."""
        self.recognizer, self.name, self.limits = recognizer, name, limits
        self.body_seconds, self.show_answers, self.log = body_seconds, show_answers, log
        self.turns = Turns(limits.parallel, limits.waiting, limits.patience)
        folder = resources.files(__package__) / "page"
        self._page = {file: (folder / file).read_bytes() for file in PAGE}

    def warm(self) -> None:
        """Answer twice before the first request: the first answer of a model takes longer, and the
        time of the second is what waiting is reckoned by until there are others."""
        sources = {task.source for task in self.recognizer.tasks.values()}
        length = int(min(2.0, self.limits.seconds) * audio.SAMPLE_RATE)
        random = np.random.default_rng(0).normal(0, 0.05, length)
        noise = random.astype(np.float32)
        for heard in (WORDS, None):
            started = time.monotonic()
            if self.recognizer.answers_questions:
                # Noise may have no words, and the model would not be asked.
                self.recognizer(noise, question="what was said", words=heard)
            elif "audio" in sources:
                self.recognizer(noise)
            else:
                self.recognizer(text="a few words")
            self.turns.mean = time.monotonic() - started

    def app(self, names: Collection[str] = LOOPBACK, any_address: bool = False) -> ASGIApp:
        """The ASGI application; see `Guard` for the arguments."""
        routes = [
            Route("/", self.page),
            Route("/page/{file}", self.page),
            Route("/recognize", self.recognize, methods=["POST"]),
            Route("/understand", self.understand, methods=["POST"]),
            Route("/health", self.health),
            Route("/openapi.json", self.openapi),
        ]
        handlers: dict[Any, Handler] = {
            HTTPException: _no_such,
            Refusal: _refused,
            Exception: self._failed,
        }
        inner = Starlette(routes=routes, exception_handlers=handlers)
        inner.router.redirect_slashes = False  # to an address that the request itself names
        return Guard(inner, names=names, any_address=any_address, log=self.log)

    async def page(self, request: Request) -> Response:
        """The page and its files, by their names."""
        file = request.path_params.get("file", "index.html")
        if file not in self._page:
            raise HTTPException(404)
        return Response(self._page[file], media_type=PAGE[file])

    async def health(self, request: Request) -> Response:
        """What there is to know before asking."""
        tasks = {name: task.source for name, task in self.recognizer.tasks.items()}
        limits = self.limits
        return JSONResponse(
            {
                "status": "ending" if self.turns.closed else "ok",
                "version": __version__,
                "model": self.name,
                "tasks": tasks,
                "questions": self.recognizer.answers_questions,
                "busy": self.turns.places,
                "limits": {
                    "seconds": limits.seconds,
                    "bytes": limits.bytes,
                    "characters": limits.characters,
                    "parallel": limits.parallel,
                    "waiting": limits.waiting,
                    "patience": limits.patience,
                },
            }
        )

    async def openapi(self, request: Request) -> Response:
        """The OpenAPI description."""
        return JSONResponse(openapi(__version__, self.limits))

    async def recognize(self, request: Request) -> Response:
        """What a recording means."""
        task, nbest = request.query_params.get("task"), _number(request, "nbest", 1)
        channel, question = _number(request, "channel", 0), self._question(request)

        async def read() -> Callable[[], Found]:
            recording = await bodies.read_file(
                request, self.limits.bytes, self.limits.recording, seconds=self.body_seconds
            )

            def work() -> Found:
                self._check_recording(recording)
                if question is not None:
                    if task is not None:
                        raise Refusal(422, "a question is no task: give one of the two")
                    return self.recognizer(recording, question=question, channel=channel)
                if self.recognizer.answers_questions:
                    raise Refusal(
                        422,
                        "the model answers questions about recordings: ask one "
                        "(/recognize?question=...)",
                    )
                return self.recognizer(recording, task=task, channel=channel)

            return work

        return await self._answer(request, read, nbest)

    async def understand(self, request: Request) -> Response:
        """What a sentence means."""
        task, nbest = request.query_params.get("task"), _number(request, "nbest", 1)

        async def read() -> Callable[[], Found]:
            most = self.limits.characters
            what = f"sentences up to {most} characters are understood"
            body = await bodies.read(
                request, self.limits.text_bytes, what, seconds=self.body_seconds
            )
            text = _text(request, body)
            if len(text) > most:
                raise Refusal(413, f"the text has {len(text)} characters: {what}")
            return lambda: self.recognizer(text=text, task=task)

        return await self._answer(request, read, nbest)

    async def _answer(
        self,
        request: Request,
        read: Callable[[], Awaitable[Callable[[], Found]]],
        nbest: int | None,
    ) -> Response:
        try:
            with self.turns.place():
                found = await self.turns.run(await read(), request.is_disconnected)
        except Full as full:
            raise Refusal(
                503,
                f"too many requests wait already ({self.turns.places}); "
                f"try again in {full.seconds} s",
                {"Retry-After": str(full.seconds)},
            ) from None
        except Closed:
            raise Refusal(
                503, "the server is being stopped; start it again", {"Retry-After": "5"}
            ) from None
        except Gone:
            raise Refusal(LEFT, "the client has left") from None
        except InputError as error:
            raise Refusal(422, str(error)) from None
        request.state.note = self._note(found)
        shown = found.to_dict()
        return JSONResponse(shown | {"nbest": shown["nbest"][:nbest]})

    def _question(self, request: Request) -> str | None:
        """What is asked about a recording; None if nothing is."""
        question = request.query_params.get("question")
        if question is None:
            return None
        if not self.recognizer.answers_questions:
            raise Refusal(
                422, "the model answers no questions; send the recording without question="
            )
        most = self.limits.characters
        if len(question) > most:
            raise Refusal(
                413,
                f"the question has {len(question)} characters: questions up to {most} characters "
                "are answered",
            )
        return question

    def _check_recording(self, recording: bytes) -> None:
        """Raise Refusal for one that is too long, before it is decoded."""
        if not recording:
            raise Refusal(422, "the recording is empty (0 bytes); send a wav, flac, ogg or opus")
        if not recording.startswith(BEGINNINGS):
            raise Refusal(
                422, "the recording cannot be read as audio; send a wav, flac, ogg or opus"
            )
        info = audio.probe(io.BytesIO(recording), name="the recording")
        what = (
            f"the recording lasts {info.duration:.0f} s in {info.channels} channels at "
            f"{info.sample_rate} Hz"
        )
        if info.duration > self.limits.seconds:
            raise Refusal(413, f"{what}: {self.limits.recording}; cut it at its pauses")
        values, most = info.num_samples * info.channels, self.limits.values
        if values > most:
            raise Refusal(
                413,
                f"{what}, which are {values} values: recordings up to {most} values are "
                "understood; send one channel at a lower rate",
            )

    def _note(self, found: Found) -> str:
        if isinstance(found, Answered):
            verdict = "answered" if found.text else "not answered: no words were heard"
            what = f": {ascii(found.text)}" if self.show_answers else ""
            return f"{found.duration:.1f} s of audio, {verdict}{what}"
        heard = f"{found.duration:.1f} s of audio, " if found.duration is not None else ""
        verdict = "understood" if found.understood else f"not understood: {found.cause}"
        what = f": {ascii(found.text)}" if self.show_answers else ""
        return f"{heard}{found.task}, {verdict}{what}"

    async def _failed(self, request: Request, error: Exception) -> Response:
        """A mistake of ours: the terminal is told all of it, the client only that it is ours."""
        self.log("".join(traceback.format_exception(error)).rstrip())
        return Refusal(500, "the server has made a mistake; its terminal says which").response()


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    request.state.note = "" if error.status == LEFT else error.sentence
    return error.response()


def _no_such(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = _SENTENCES.get(error.status_code, error.detail)
    return Refusal(error.status_code, sentence, error.headers).response()


def _number(request: Request, name: str, least: int) -> int | None:
    """A whole number of the query; None if it is not there."""
    value = request.query_params.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 10) or int(value) < least:
        raise Refusal(
            422, f"{name} is {ascii(value[:40])}; expected a whole number, {least} or more"
        )
    return int(value)


def _text(request: Request, body: bytes) -> str:
    """The sentence of a body: JSON if its type says so, else plain text."""
    expected = 'send {"text": "..."} as application/json, or the words as text/plain, in UTF-8'
    kind = request.headers.get("content-type", "text/plain").split(";")[0].strip().lower()
    if kind not in ("application/json", "text/plain"):
        raise Refusal(415, f"the body is {ascii(kind[:40])}; {expected}")
    try:
        if kind == "text/plain":
            return body.decode()
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(422, f"the body cannot be read; {expected}") from None
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        raise Refusal(422, f"the body has no text; {expected}")
    text: str = found["text"]
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise Refusal(422, f"the text holds half a character (a surrogate); {expected}")
    return text
