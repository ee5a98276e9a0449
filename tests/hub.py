"""A stand-in for the Hugging Face hub on this machine: what its client asks, in its paths.

Create a repository, say and change whether it is private, take a commit, hand out its files:
`with running() as hub:` sets up a server at hub.address; its repositories are in hub.files and
hub.visibility.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "1" * 40
TOKEN = "hf_" + "t" * 34


class Hub(ThreadingHTTPServer):
    """The server and what it keeps."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, dict[str, bytes]] = {}
        self.visibility: dict[str, str] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def running() -> Iterator[Hub]:
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def _answer(self, content: Any, status: int = 200, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _refuse(self, status: int, code: str = "") -> None:
        self._answer({"error": code or "refused"}, status, X_Error_Code=code)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        path = urlsplit(self.path).path
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._refuse(401)
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            url = f"{self.server.address}/{name}"
            if name in self.server.files:
                return self._answer({"error": "you have it already", "url": url}, 409)
            self.server.files[name] = {}
            self.server.visibility[name] = asked.get("visibility") or "public"
            return self._answer({"url": url, "name": name, "id": name})
        if path == "/api/validate-yaml":
            return self._answer({"errors": [], "warnings": []})
        name = "/".join(path.split("/")[3:5])
        if "/preupload/" in path:
            found = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for one in json.loads(body)["files"]
            ]
            return self._answer({"files": found})
        assert "/commit/" in path
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                content = base64.b64decode(line["value"]["content"])
                self.server.files[name][line["value"]["path"]] = content
            if line["key"] == "deletedFile":
                del self.server.files[name][line["value"]["path"]]
        self._answer(
            {"commitUrl": f"{self.server.address}/{name}/commit/{COMMIT}", "commitOid": COMMIT}
        )

    def do_PUT(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        *_, owner, name, what = urlsplit(self.path).path.split("/")
        assert what == "settings"
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._refuse(401)
        self.server.visibility[f"{owner}/{name}"] = asked["visibility"]
        self._answer({})

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        parts = path.strip("/").split("/")
        name = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        private = self.server.visibility.get(name) == "private"
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}" or not private
        if name not in self.server.files or not allowed:
            return self._refuse(404, "RepoNotFound")
        if parts[0] == "api":
            files = [{"rfilename": one} for one in self.server.files[name]]
            about = {"id": name, "sha": COMMIT, "private": private, "siblings": files}
            if len(parts) > 4 and parts[4] == "tree":
                entries = self.server.files[name].items()
                return self._answer(
                    [
                        {"type": "file", "path": key, "size": len(data), "oid": _digest(data)}
                        for key, data in entries
                    ]
                )
            return self._answer(about)
        assert parts[2] == "resolve"
        data = self.server.files[name].get("/".join(parts[4:]))
        if data is None:
            return self._refuse(404, "EntryNotFound")
        self._answer(data, X_Repo_Commit=COMMIT, ETag=f'"{_digest(data)}"')

    do_HEAD = do_GET


def _digest(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
