"""The loopback server with Files and Batches, which misbehave on request: real HTTP, real files of lines.

with BatchServer(replies={...}, reply="85") as server:
    server.hold = True                                  # batches stay in_progress
    server.ending = lambda batch: "expired"             # completed (default), expired, cancelled, failed
    server.row = lambda batch, call: EXPIRED            # a request's fate: None = a reply, Trouble(status=...), EXPIRED, LOST
    server.mangle = lambda kind, lines: lines[1:]       # what a result file says
    server.http = lambda method, path: error(503)       # one HTTP request to these endpoints
    server.lose = {"POST /v1/batches"}                  # done, but the reply is lost (once each)
    server.batches, server.files, server.log            # what was made, and every request by its address
    server.ran                                          # requests that were answered in batches: what would be billed

A batch moves one state further each time it is looked at.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.servers.openai_server import Call, OpenAIServer, Trouble, error

EXPIRED, LOST = "expired", "lost"
WAY = ("validating", "in_progress", "finalizing")


@dataclass
class MadeBatch:
    """One batch."""

    id: str
    number: int  # from 0, in the order of creation
    input_file_id: str
    metadata: dict[str, str]
    created_at: int
    n: int
    status: str = "validating"
    output_file_id: str | None = None
    error_file_id: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)


class BatchServer(OpenAIServer):
    """See the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.files: dict[str, tuple[str, bytes]] = {}  # id -> name, content
        self.deleted: list[str] = []
        self.batches: dict[str, MadeBatch] = {}
        self.log: list[str] = []
        self.ran: list[Call] = []
        self.hold = False
        self.ending: Callable[[MadeBatch], str] = lambda batch: "completed"
        self.errors: list[dict[str, Any]] = [{"code": "invalid_json_line", "message": "This line is no JSON", "line": 3}]
        self.row: Callable[[MadeBatch, Call], Trouble | str | None] = lambda batch, call: None
        self.mangle: Callable[[str, list[str]], list[str]] = lambda kind, lines: lines
        self.http: Callable[[str, str], Trouble | None] = lambda method, path: None
        self.lose: set[str] = set()
        self.has_batches = True
        self._ids = itertools.count(1)

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def lines(self, batch: MadeBatch) -> list[dict[str, Any]]:
        """The requests of a batch."""
        return [json.loads(line) for line in self.uploaded[batch.input_file_id].splitlines()]

    @property
    def uploaded(self) -> dict[str, bytes]:
        """Content of the files by id, deleted ones too."""
        return {name: data for name, (_, data) in self.files.items()}

    @property
    def asked(self) -> Counter[str]:
        """How often each prompt was answered in batches."""
        return Counter(call.prompt for call in self.ran)

    async def _elsewhere(
        self, writer: asyncio.StreamWriter, method: str, path: str, headers: dict[str, str], data: bytes
    ) -> bool:
        url = urlsplit(path)
        where = f"{method} {url.path}"
        parts = url.path.removeprefix("/v1/").split("/")
        if not self.has_batches or parts[0] not in ("files", "batches"):
            return await self._send(writer, 404, '{"detail": "Not Found"}', {})
        self.log.append(where)
        trouble = self.http(method, url.path)
        if self.key and headers.get("authorization", "") != f"Bearer {self.key}":
            trouble = error(401, "invalid_api_key", "Incorrect API key provided")
        if trouble is not None:
            await asyncio.sleep(trouble.hang_s)
            if trouble.status != 200:
                return await self._send(writer, trouble.status, trouble.body or "{}", trouble.headers)
        status, body = self._answer(method, parts, parse_qs(url.query), headers, data)
        if where in self.lose:
            self.lose.discard(where)
            return False  # the connection closes without a word
        return await self._send(writer, status, body, {}, cut=bool(trouble and trouble.cut))

    def _answer(
        self, method: str, parts: list[str], query: dict[str, list[str]], headers: dict[str, str], data: bytes
    ) -> tuple[int, str]:
        match (method, *parts):
            case ("POST", "files"):
                return 200, json.dumps(self._upload(headers, data))
            case ("DELETE", "files", file_id):
                self.deleted.append(file_id)
                return 200, json.dumps({"id": file_id, "object": "file", "deleted": True})
            case ("GET", "files", file_id, "content") if file_id in self.files and file_id not in self.deleted:
                return 200, self.files[file_id][1].decode()
            case ("POST", "batches"):
                return self._create(json.loads(data))
            case ("GET", "batches"):
                newest = sorted(self.batches.values(), key=lambda batch: -batch.number)
                after = query.get("after", [""])[0]
                if after:
                    newest = newest[[batch.id for batch in newest].index(after) + 1 :]
                page = newest[: int(query.get("limit", ["20"])[0])]
                listed = [self._shown(batch) for batch in page]
                last = listed[-1]["id"] if listed else None
                return 200, json.dumps({"object": "list", "data": listed, "last_id": last, "has_more": len(page) < len(newest)})
            case ("GET", "batches", batch_id) if batch_id in self.batches:
                self._move(self.batches[batch_id])
                return 200, json.dumps(self._shown(self.batches[batch_id]))
            case ("POST", "batches", batch_id, "cancel") if batch_id in self.batches:
                self._end(self.batches[batch_id], "cancelled")
                return 200, json.dumps(self._shown(self.batches[batch_id]))
        return 404, json.dumps({"error": {"message": f"No such object: {'/'.join(parts)}", "type": "invalid_request_error"}})

    def _upload(self, headers: dict[str, str], data: bytes) -> dict[str, Any]:
        found = re.search(r"boundary=\"?([^\";]+)", headers["content-type"])
        assert found is not None
        name, content = "", b""
        for part in data.split(b"--" + found[1].encode()):
            head, _, body = part.partition(b"\r\n\r\n")
            if b'name="file"' in head:
                named = re.search(rb'filename="([^"]*)"', head)
                name, content = (named[1].decode() if named else ""), body.removesuffix(b"\r\n")
            elif b'name="purpose"' in head:
                assert body.strip() == b"batch"
        file_id = f"file-{next(self._ids)}"
        self.files[file_id] = (name, content)
        return {"id": file_id, "object": "file", "bytes": len(content), "created_at": int(time.time()), "filename": name,
                "purpose": "batch", "status": "processed"}  # fmt: skip

    def _create(self, asked: dict[str, Any]) -> tuple[int, str]:
        if asked["input_file_id"] not in self.files or asked["input_file_id"] in self.deleted:
            return 400, json.dumps({"error": {"message": "no such input file", "code": "invalid_file", "type": "invalid"}})
        assert (asked["endpoint"], asked["completion_window"]) == ("/v1/chat/completions", "24h")
        n = len(self.files[asked["input_file_id"]][1].splitlines())
        made = MadeBatch(
            f"batch_{next(self._ids)}",
            len(self.batches),
            asked["input_file_id"],
            asked.get("metadata") or {},
            int(time.time()),
            n,
        )
        self.batches[made.id] = made
        return 200, json.dumps(self._shown(made))

    def _move(self, batch: MadeBatch) -> None:
        if batch.status not in WAY:
            return
        if self.hold:
            batch.status = "in_progress"
        elif batch.status != WAY[-1]:
            batch.status = WAY[WAY.index(batch.status) + 1]
        else:
            self._end(batch, self.ending(batch))

    def _end(self, batch: MadeBatch, status: str) -> None:
        if batch.status not in WAY:
            return
        batch.status = status
        if status == "failed":
            batch.errors = list(self.errors)
            return
        found: dict[str, list[str]] = {"output": [], "errors": []}
        for i, line in enumerate(self.lines(batch)):
            assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
            call = Call(i, {}, line["body"], time.monotonic())
            fate = self.row(batch, call)
            row = {"id": f"row_{batch.number}_{i}", "custom_id": line["custom_id"], "response": None, "error": None}
            if fate == EXPIRED:
                code = "batch_cancelled" if status == "cancelled" else "batch_expired"
                row["error"] = {"code": code, "message": "This request could not be executed in time."}
            elif isinstance(fate, Trouble) and fate.status != 200:
                row["response"] = {"status_code": fate.status, "request_id": "r", "body": json.loads(fate.body or "{}")}
            elif fate is None or isinstance(fate, Trouble):
                body = fate.body if fate and fate.body is not None else self._completion(call)
                row["response"] = {"status_code": 200, "request_id": "r", "body": json.loads(body)}
                self.ran.append(call)
            if fate != LOST:
                answered = isinstance(row["response"], dict) and row["response"]["status_code"] == 200
                found["output" if answered else "errors"].append(json.dumps(row))
        batch.counts = {"total": batch.n, "completed": len(found["output"]), "failed": len(found["errors"])}
        for kind, lines in found.items():
            lines = self.mangle(kind, lines[::-1])  # in no order that could be relied on
            if lines:
                file_id = f"file-{next(self._ids)}"
                self.files[file_id] = (f"{batch.id}_{kind}.jsonl", ("\n".join(lines) + "\n").encode())
                setattr(batch, "output_file_id" if kind == "output" else "error_file_id", file_id)

    def _shown(self, batch: MadeBatch) -> dict[str, Any]:
        errors = {"object": "list", "data": batch.errors} if batch.errors else None
        counts = batch.counts or {"total": batch.n, "completed": 0, "failed": 0}
        return {
            "id": batch.id, "object": "batch", "endpoint": "/v1/chat/completions", "errors": errors, "status": batch.status,
            "input_file_id": batch.input_file_id, "completion_window": "24h", "created_at": batch.created_at,
            "output_file_id": batch.output_file_id, "error_file_id": batch.error_file_id, "metadata": batch.metadata,
            "request_counts": counts,
        }  # fmt: skip
