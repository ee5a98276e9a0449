"""Runs an ASGI application on a socket until Ctrl-C, with uvicorn.

On Ctrl-C no request is begun any more, and those that are being answered get their answer; a second
Ctrl-C does not wait for them.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from atat.apps.server.turns import Turns
from atat.base.errors import InputError

FIRST_PORT, PORTS = 8000, 100
HEAD_SECONDS = 10.0  # in which a client has said what it wants
CONNECTIONS = 256  # more are answered 503 by uvicorn itself


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0: the first free one from 8000 on. Raises InputError."""
    ports = [port] if port else range(FIRST_PORT, FIRST_PORT + PORTS)
    try:
        is_v6 = ipaddress.ip_address(host).version == 6
    except ValueError:
        is_v6 = False
    for one in ports:
        found = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, one))
            found.listen(128)
            return found
        except PermissionError:
            found.close()
            raise InputError(
                f"port {one} may not be opened; give one of 1024 or more: --port"
            ) from None
        except OSError as error:
            found.close()
            if error.errno != errno.EADDRINUSE:
                raise InputError(
                    f"cannot listen at {host} ({error.strerror or error}); give an address of this "
                    "machine with --host"
                ) from None
            if port == 0 and one != ports[-1]:
                continue
            raise InputError(
                f"cannot listen at {host}, port {one} ({error.strerror or error}); give another "
                "with --port, or --port 0 for the first that is free"
            ) from None
    raise AssertionError


class Impatient(H11Protocol):
    """HTTP as uvicorn speaks it, but a connection that never says what it wants is closed."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begins to wait."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Waits on, unless the head of a request is complete."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for."""
        super().connection_lost(exc)
        self._forget()

    def _watch(self) -> None:
        # Between two requests of a connection uvicorn's own limit holds.
        if self.conn.their_state is not h11.IDLE or self.timeout_keep_alive_task is not None:
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Server(uvicorn.Server):
    """uvicorn's server, which ends the waiting of requests when it ends."""

    def __init__(
        self, app: ASGIApp, turns: Turns, ready: Callable[[], None] = lambda: None
    ) -> None:
        self._turns, self._ready = turns, ready
        super().__init__(
            uvicorn.Config(
                app,
                http=Impatient,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=CONNECTIONS,
                timeout_keep_alive=5,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Says that it is ready once Ctrl-C ends it in order."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends when what is being answered is answered."""
        self._turns.close()
        await super().shutdown(sockets)


def run(
    app: ASGIApp, turns: Turns, listening: socket.socket, ready: Callable[[], None] = lambda: None
) -> None:
    """Serve until Ctrl-C or SIGTERM; `ready` is called once either is heard."""
    try:
        Server(app, turns, ready).run(sockets=[listening])
    except KeyboardInterrupt:
        pass  # uvicorn has ended in order, and says again by what
