"""A small Hugging Face Hub on 127.0.0.1: enough of its API for the real client to list and download repositories."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubServer:
    """Serves folders as repositories; a context manager.

    Args:
        repos: Folder of each repository by its id.
        gated: Ids that nobody may read.
    """

    def __init__(self, repos: dict[str, Path], gated: tuple[str, ...] = ()) -> None:
        self.repos, self.gated = repos, gated
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub._answer(self, body=True)

            def do_HEAD(self) -> None:
                hub._answer(self, body=False)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        """For ``HF_ENDPOINT``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, request: BaseHTTPRequestHandler, body: bool) -> None:
        path = unquote(request.path.split("?")[0])
        self.asked.append(path)
        info = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        tree = re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)(?:/.*)?", path)
        found = info or file or tree
        repo = found[1] if found else ""
        if repo in self.gated:
            self._send(request, 403, b'{"error": "gated"}', {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"}, body)
        elif repo not in self.repos:
            self._send(request, 404, b'{"error": "no"}', {"X-Error-Code": "RepoNotFound", "X-Error-Message": "no"}, body)
        elif found is not None and found[2] not in (None, "main", COMMIT):
            self._send(request, 404, b"{}", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "no revision"}, body)
        elif info:
            names = self._names(repo)
            document = {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
            self._send(request, 200, json.dumps(document).encode(), {"Content-Type": "application/json"}, body)
        elif tree:
            entries = [{"type": "file", "path": n, "size": (self.repos[repo] / n).stat().st_size, "oid": "0" * 40}
                       for n in self._names(repo)]  # fmt: skip
            self._send(request, 200, json.dumps(entries).encode(), {"Content-Type": "application/json"}, body)
        elif file:
            place = self.repos[repo] / file[3]
            if not place.is_file():
                self._send(request, 404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, body)
                return
            data = place.read_bytes()
            etag = hashlib.sha1(data).hexdigest()
            self._send(request, 200, data, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, body)

    def _names(self, repo: str) -> list[str]:
        root = self.repos[repo]
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    @staticmethod
    def _send(request: BaseHTTPRequestHandler, status: int, data: bytes, headers: dict[str, str], body: bool) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if body:
            request.wfile.write(data)
