"""The Amazon Polly synthesiser: voices of a paid network service, with word times.

Needs the package boto3 and an AWS account set up as boto3 expects it (environment variables or
~/.aws). Voices are `polly:<voice id>`, for example `polly:Joanna:engine=neural:rate=1.1`; rate is a
factor, engine is standard unless given. Each utterance costs two requests, one for the audio and
one for the word times. Knows nothing of data dirs.
"""

from __future__ import annotations

import functools
import json
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from atat.base.errors import InputError
from atat.datadir.ctm import Word
from atat.prepare.synthesis_voice import (
    SAMPLE_RATE,
    Speech,
    SynthesisError,
    Voice,
    spell_letters,
    words_from_starts,
)

_ATTEMPTS = 8  # with growing pauses between them: Polly limits the requests per second


def unavailable() -> str | None:
    """None if Polly's client is installed, else how to install it."""
    try:
        import boto3  # noqa: F401
    except ImportError:
        return "the package boto3 is missing; install it with: pip install boto3"
    return None


def check(voice: Voice) -> None:
    """Raise InputError for options that Polly's voices do not have."""
    _rate(voice)


def _rate(voice: Voice) -> float:
    voice.allow(("engine", "rate"))
    return voice.number("rate", 1.0, 0.2, 2.0)


def speak(voice: Voice, text: str, client: Any = None) -> Speech:
    """Speak normalised text; `client` is a boto3 Polly client, made from the environment if None.

    Raises InputError if the service cannot be reached, and SynthesisError if it refuses the voice
    or the text.
    """
    rate = _rate(voice)
    if not text.split():
        raise SynthesisError(f"voice '{voice}': the text is empty")
    reason = unavailable()
    if reason:
        raise InputError(f"polly: {reason}")
    document, spans = _document(spell_letters(" ".join(text.split())), rate)
    request = {
        "VoiceId": voice.name,
        "Engine": voice.options.get("engine", "standard"),
        "Text": document,
        "TextType": "ssml",
    }
    client = client or _client()
    sound = _request(client, voice, OutputFormat="pcm", SampleRate=str(SAMPLE_RATE), **request)
    marks = _request(client, voice, OutputFormat="json", SpeechMarkTypes=["word"], **request)
    samples = np.frombuffer(sound, "<i2").astype(np.float32) / 32768.0
    return Speech(samples, _words(text.split(), spans, marks, len(samples) / SAMPLE_RATE))


def _document(text: str, rate: float) -> tuple[str, list[tuple[int, int]]]:
    """SSML, and the position of each word of the text in it, in bytes."""
    document = f'<speak><prosody rate="{rate:.0%}">'
    spans = []
    for number, word in enumerate(text.split()):
        document += " " if number else ""
        start = len(document.encode("utf-8"))
        document += escape(word)
        spans.append((start, len(document.encode("utf-8"))))
    return document + "</prosody></speak>", spans


def _words(
    words: list[str], spans: list[tuple[int, int]], marks: bytes, end: float
) -> list[Word] | None:
    """Word times from Polly's marks, None if it has not marked every word."""
    rows = [json.loads(line) for line in marks.decode("utf-8").splitlines() if line.strip()]
    starts = []
    for first, last in spans:
        inside = [row["time"] / 1000 for row in rows if first <= row["start"] < last]
        if not inside:
            return None
        starts.append(min(inside))
    return words_from_starts(words, starts, [], end)


def _request(client: Any, voice: Voice, **request: Any) -> bytes:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return client.synthesize_speech(**request)["AudioStream"].read()
    except ClientError as error:
        raise SynthesisError(f"voice '{voice}': Polly refuses: {error}") from None
    except BotoCoreError as error:
        raise InputError(
            f"polly: {error}; set AWS_DEFAULT_REGION and your credentials (aws configure)"
        ) from None


@functools.cache
def _client() -> Any:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        retries = {"mode": "adaptive", "max_attempts": _ATTEMPTS}
        return boto3.client("polly", config=Config(retries=retries))
    except BotoCoreError as error:
        raise InputError(f"polly: {error}; set AWS_DEFAULT_REGION or run: aws configure") from None
