"""Servers for tests: the real one on a socket of this machine, in a thread."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from atat.apps.recognizer import Recognizer
from atat.apps.server import running
from atat.apps.server.app import Service
from atat.datadir.ctm import Word
from atat.engine import registry
from atat.prepare import timed_words
from atat.systems.joint.model import build_model
from atat.systems.joint.packed import Packed
from atat.text.encoder_ids import build_encoder_ids

TASKS = ("slu", "nlu", "asr")


def packed() -> Packed:
    """An untrained model, which makes something of everything."""
    torch.manual_seed(1)
    settings, tokenizer = tiny.without_dropout(), tiny.make_tokenizer()
    model, units = build_model(settings, tokenizer)
    source = build_encoder_ids(settings.text_encoder.bert_or_none, tokenizer)
    return Packed(model.eval(), tokenizer, settings, units, source, set(), TASKS)


def recognizer() -> Recognizer:
    """Its function."""
    system = registry.find("joint", "the tests")
    return Recognizer(system.recognizer(packed(), beam=4, nbest=4), system.tasks)


# What is heard in every recording that `questioned` is asked about: a word every 0.2 s.
HEARD = [Word(word, 0.2 * i, 0.2) for i, word in enumerate("play the red tango again".split())]


@contextmanager
def questioned() -> Iterator[Recognizer]:
    """An untrained model that answers questions, and in the place of its recogniser words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timed_words, "heard", lambda samples, engine: HEARD if samples.any() else [])
        yield Recognizer.load(Path(__file__).parent / "packed" / "speechbert-0.1.0.zip")


class Running:
    """A server that runs, and a client that says exactly what it is told to say."""

    def __init__(self, service: Service, port: int) -> None:
        self.service, self.port = service, port

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 60,
    ) -> tuple[int, dict[str, Any], http.client.HTTPMessage]:
        """Status, JSON and headers of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, json.loads(response.read()), response.headers
        finally:
            connection.close()


@contextmanager
def serve(service: Service) -> Iterator[Running]:
    """The service on a free port, until the block ends."""
    with running.listen("127.0.0.1", 0) as listening:
        server = running.Server(service.app(), service.turns)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield Running(service, listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive(), "the server did not end"
