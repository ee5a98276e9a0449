"""What stands before every request: who may ask, and what browsers are told about the answer.

The server has no passwords: it is safe because only this machine reaches it, and because a browser
on this machine does not let other sites use it. For the second:

- The name by which the server is called (`Host`) must be its own. A site that lets its own name
  point to 127.0.0.1 (DNS rebinding) calls it by that name.
- The page that asks (`Origin`, `Sec-Fetch-Site`) must be the server's own. Programs that are no
  browsers send neither.
- No header allows other origins to read an answer (CORS), none may frame the page, and the page
  runs nothing but its own files (Content-Security-Policy).

Also writes a line for each request, of printable ASCII and bounded length.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atat.apps.server.refusal import Refusal

LOOPBACK = ("localhost", "127.0.0.1", "::1")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
# Characters that a line in the terminal may show of a request that was not for us, and of the note
# on an answer.
SHOWN, NOTED = 40, 1000


class Guard:
    """An ASGI application around another."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        names: Collection[str] = LOOPBACK,
        any_address: bool = False,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        """names: by which the server may be called, in lower case, without a port. any_address: by
        every IP address, too, which no other site can make its own name."""
        self.app, self.names, self.any_address, self.log = app, names, any_address, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        if scope["type"] != "http":
            return
        started, status = time.monotonic(), 0

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        scope.setdefault("state", {})
        try:
            self._check(scope)
        except Refusal as refusal:
            await refusal.response()(scope, receive, send_guarded)
        else:
            try:
                await self.app(scope, receive, send_guarded)
            except Exception:
                # The application has answered by its handler; starlette then raises it again.
                if not status:
                    raise
        if scope["path"].startswith("/page/") and status == 200:
            return
        seconds = time.monotonic() - started
        what = _printable(f"{scope['method']} {scope['path']}", SHOWN)
        note = _printable(scope["state"].get("note", ""), NOTED)
        self.log(
            f"{time.strftime('%H:%M:%S')} {what:16} {status} {seconds:6.2f} s  {note}".rstrip()
        )

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            called = ascii(hosts[0][:SHOWN]) if hosts else "no name"
            raise Refusal(
                403,
                f"this server was called by {called} (Host), and its names are "
                f"{', '.join(self.names)}; call it by one of them, or start it with --name",
            )
        for origin in headers.getlist("origin"):
            if origin.lower() not in (f"http://{hosts[0]}".lower(), f"https://{hosts[0]}".lower()):
                raise Refusal(
                    403,
                    f"a page of {ascii(origin[:SHOWN])} (Origin) may not use this server; use its "
                    "own page, or a program that is not a browser",
                )
        reads = scope["method"] in ("GET", "HEAD")
        if not reads and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Refusal(403, "a page of another site may not use this server; use its own page")

    def _is_ours(self, host: str) -> bool:
        name = host.strip().lower()
        if name.startswith("["):
            name, bracket, port = name[1:].partition("]")
            if not bracket or (port and not port.startswith(":")):
                return False
            port = port[1:]
        else:
            name, _, port = name.partition(":")
        if port and not (port.isascii() and port.isdigit()):
            return False
        return name in self.names or (self.any_address and _is_address(name))


def _printable(text: str, most: int) -> str:
    """What a client has sent, or a sentence with it, as ASCII without controls."""
    text = text[:most].encode("ascii", "backslashreplace").decode()
    return "".join(c if c.isprintable() else "?" for c in text)[:most]


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
