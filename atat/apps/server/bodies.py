"""The body of a request, within limits of size and time: bytes, or a file of a form.

A body is refused by the size that its header promises before a byte is read, and by what arrives
if the header promises nothing or lies.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import python_multipart  # noqa: F401  # starlette asks for it only when a form arrives
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from atat.apps.server.refusal import Refusal
from atat.apps.server.turns import Gone

SECONDS = 30.0  # for the whole body; on one machine, and on a slow net nearby
# Of a refused body so much is still read, for so long: a client that is sending sees the answer
# only when it has sent, or not at all if the connection is closed under it.
DRAINED, DRAIN_SECONDS = 64 * 2**20, 1.0
FIELD = "file"  # of a form, in which the recording is


class _TooLarge(Exception):
    """More than the limit was promised, or has arrived."""


async def read(request: Request, largest: int, what: str, *, seconds: float = SECONDS) -> bytes:
    """The body: at most `largest` bytes that arrive within `seconds`.

    what: the limit, for the sentence, such as "recordings up to 12 MB". Raises Refusal (408, 413),
    or Gone if the client leaves.
    """
    return await _within(request, _all(_chunks(request, largest)), what, seconds)


async def read_file(
    request: Request, largest: int, what: str, *, seconds: float = SECONDS
) -> bytes:
    """The body, or of a form (multipart/form-data) its one file, in the field `file`."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "multipart/form-data":
        return await read(request, largest, what, seconds=seconds)
    return await _within(request, _file(request, largest), what, seconds)


async def _within(
    request: Request, body: Coroutine[Any, Any, bytes], what: str, seconds: float
) -> bytes:
    try:
        return await asyncio.wait_for(body, seconds)
    except asyncio.TimeoutError:  # noqa: UP041  # Python 3.10 has two
        raise Refusal(
            408,
            f"the request did not arrive whole within {seconds:g} s; send it again",
            {"Connection": "close"},
        ) from None
    except _TooLarge:
        if request.headers.get("expect", "").lower() != "100-continue":
            await _drain(request)
        raise Refusal(413, f"the request is too large: {what}", {"Connection": "close"}) from None
    except ClientDisconnect:
        raise Gone from None


async def _all(chunks: AsyncIterator[bytes]) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
    return bytes(body)


async def _file(request: Request, largest: int) -> bytes:
    parser = MultiPartParser(
        request.headers,
        _chunks(request, largest),  # type: ignore[arg-type]  # an iterator serves where a generator is asked for
        max_files=1,
        max_fields=1,
    )
    parser.spool_max_size = largest  # in memory: recordings leave no trace on the disk
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError):
        raise Refusal(
            422, f"the form cannot be read; send one file in its field `{FIELD}`"
        ) from None
    try:
        found = form.get(FIELD)
        if not isinstance(found, UploadFile):
            raise Refusal(422, f"the form has no file in its field `{FIELD}`; send one")
        return await found.read()
    finally:
        await form.close()


async def _chunks(request: Request, largest: int) -> AsyncIterator[bytes]:
    promised = request.headers.get("content-length", "")
    size = int(promised) if promised.isascii() and promised.isdigit() else 0
    if size > largest:
        raise _TooLarge
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > largest:
            raise _TooLarge
        yield chunk


async def _drain(request: Request) -> None:
    async def throw_away() -> None:
        left = DRAINED
        async for chunk in request.stream():
            left -= len(chunk)
            if left < 0:
                return

    try:
        await asyncio.wait_for(throw_away(), DRAIN_SECONDS)
    except (asyncio.TimeoutError, ClientDisconnect):  # noqa: UP041
        pass
    except RuntimeError:  # of starlette: the chunk that was too much was the last
        pass
