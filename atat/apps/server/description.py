"""The OpenAPI description of the endpoints.

It is written by hand, and tests hold every answer of the server against it.
"""

from __future__ import annotations

from typing import Any

from atat.apps.server.limits import Limits
from atat.text.understanding import CAUSES


def openapi(version: str, limits: Limits) -> dict[str, Any]:
    """The description as OpenAPI 3.1: plain values only."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "atat",
            "version": version,
            "summary": "Spoken language understanding with one model, on this machine.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/recognize": {
                "post": _operation(
                    "What a recording means",
                    "recognize",
                    [_TASK, _NBEST, _CHANNEL, _question(limits)],
                    _recording(limits),
                    "Answered",
                )
            },
            "/understand": {
                "post": _operation(
                    "What a sentence means", "understand", [_TASK, _NBEST], _sentence(limits)
                )
            },
            "/health": {
                "get": {
                    "summary": "The model, the limits, and how busy the server is",
                    "operationId": "health",
                    "responses": {"200": _json("The state of the server", "Health")},
                }
            },
        },
        "components": {
            "schemas": {
                "Understanding": _understanding(),
                "Answered": _answered(),
                "Health": _health(),
                "Error": _object({"error": {"type": "string", "description": "One sentence."}}),
            }
        },
    }


_TASK = {
    "name": "task",
    "in": "query",
    "schema": {"type": "string"},
    "description": "One of `tasks` of /health; by default the one that writes trees.",
}
_NBEST = {
    "name": "nbest",
    "in": "query",
    "schema": {"type": "integer", "minimum": 1},
    "description": "At most so many hypotheses; by default all that were found.",
}
_CHANNEL = {
    "name": "channel",
    "in": "query",
    "schema": {"type": "integer", "minimum": 0},
    "description": "Which channel of a recording that has several.",
}


def _question(limits: Limits) -> dict[str, Any]:
    return {
        "name": "question",
        "in": "query",
        "schema": {"type": "string", "maxLength": limits.characters},
        "description": "What to find in the recording, where `questions` of /health is true; "
        "the answer is then of the kind Answered.",
    }


_PROBLEMS = {
    "403": "Called by another name than its own, or by a page of another site",
    "408": "The request did not arrive in time",
    "413": "Too large or too long",
    "415": "A body of a type that is not read here",
    "422": "A recording, text, task or number that cannot be used",
    "500": "A mistake of the server",
    "503": "All places are taken; Retry-After says when to try again",
}


def _operation(
    summary: str,
    name: str,
    parameters: list[dict[str, Any]],
    content: dict[str, Any],
    *further: str,
) -> dict[str, Any]:
    """further: kinds of answers besides an Understanding."""
    said = "The answer, which may be that nothing was understood"
    answers = {"200": _json(said, "Understanding", *further)}
    answers |= {status: _json(sentence, "Error") for status, sentence in _PROBLEMS.items()}
    answers["503"]["headers"] = {
        "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}
    }
    return {
        "summary": summary,
        "operationId": name,
        "parameters": parameters,
        "requestBody": {"required": True, "content": content},
        "responses": answers,
    }


def _json(description: str, *schemas: str) -> dict[str, Any]:
    """An answer of one of some kinds."""
    kinds = [{"$ref": f"#/components/schemas/{name}"} for name in schemas]
    schema = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _recording(limits: Limits) -> dict[str, Any]:
    file = {
        "type": "string",
        "format": "binary",
        "description": "wav, flac, ogg or opus of any rate; " + limits.recording + ".",
    }
    form = _object({"file": file})
    return {
        "audio/wav": {"schema": file},
        "application/octet-stream": {"schema": file},
        "multipart/form-data": {"schema": form},
    }


def _sentence(limits: Limits) -> dict[str, Any]:
    text = {"type": "string", "maxLength": limits.characters}
    return {
        "application/json": {"schema": _object({"text": text})},
        "text/plain": {"schema": text},
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    """Of which every key is always there."""
    return {"type": "object", "properties": properties, "required": [*properties]}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _or_null(kind: str) -> dict[str, Any]:
    return {"type": [kind, "null"]}


def _pair(kind: str) -> dict[str, Any]:
    return {"type": ["array", "null"], "items": {"type": kind}, "minItems": 2, "maxItems": 2}


def _understanding() -> dict[str, Any]:
    string, number = {"type": "string"}, {"type": "number"}
    slot = _object(
        {
            "key": {**string, "description": "Its key in `slots`."},
            "name": string,
            "value": string,
            "path": {**_array(string), "description": "Labels from the root down to it."},
            "words": {**_pair("integer"), "description": "First and one after the last."},
            "seconds": {**_pair("number"), "description": "When it is said."},
        }
    )
    hypothesis = _object(
        {
            "text": string,
            "score": {**number, "description": "Log probability of a token on average."},
            "length": {"type": "integer", "description": "Tokens."},
            "at_limit": {"type": "boolean", "description": "Cut at the limit of length."},
        }
    )
    return _object(
        {
            "task": string,
            "understood": {"type": "boolean", "description": "Whether to act on it."},
            "cause": {"enum": [*CAUSES, None], "description": "Why not, for programs."},
            "reason": {**_or_null("string"), "description": "Why not, for people."},
            "text": {**string, "description": "The best hypothesis as the model wrote it."},
            "tree": {**_or_null("string"), "description": "In the notation of TOP."},
            "intent": _or_null("string"),
            "slots": {"type": "object", "additionalProperties": string},
            "spans": _array(slot),
            "transcript": _or_null("string"),
            "words": _array(_object({"word": string, "seconds": _pair("number")})),
            "confidence": {**_or_null("number"), "minimum": 0, "maximum": 1},
            "threshold": {**_or_null("number"), "minimum": 0, "maximum": 1},
            "nbest": {**_array(hypothesis), "minItems": 1, "description": "Best first."},
            "duration": {**_or_null("number"), "description": "Seconds of the recording."},
        }
    )


def _answered() -> dict[str, Any]:
    string = {"type": "string"}
    span = {
        "answer": {**string, "description": "The words that answer; empty if none were heard."},
        "seconds": {**_pair("number"), "description": "When they are said."},
        "words": {**_pair("integer"), "description": "First and last, in `said`."},
        "score": {**_or_null("number"), "description": "Log probability of these two."},
    }
    word = _object({"word": string, "seconds": _pair("number")})
    return _object(
        {
            "question": {**string, "description": "As it was asked."},
            **span,
            "nbest": {**_array(_object(span)), "description": "Best first."},
            "transcript": {**string, "description": "The words that were heard."},
            "said": {**_array(word), "description": "The same words with their times."},
            "duration": {"type": "number", "description": "Seconds of the recording."},
        }
    )


def _health() -> dict[str, Any]:
    string, integer = {"type": "string"}, {"type": "integer"}
    limits = {
        "seconds": {"type": "number"},
        "bytes": integer,
        "characters": integer,
        "parallel": integer,
        "waiting": integer,
        "patience": {"type": "number"},
    }
    source = {"enum": ["audio", "text"]}
    return _object(
        {
            "status": {"enum": ["ok", "ending"]},
            "version": string,
            "model": string,
            "tasks": {
                "type": "object",
                "additionalProperties": source,
                "description": "Name of a task -> what it reads.",
            },
            "questions": {
                "type": "boolean",
                "description": "Whether /recognize takes questions, and nothing without one.",
            },
            "busy": {**integer, "description": "Requests that hold a place."},
            "limits": _object(limits),
        }
    )
