"""Lines of the Batch API's files: requests going up, replies and errors coming down.

    {"custom_id": "em-3f...", "method": "POST", "url": "/v1/chat/completions", "body": {...}}
    {"id": ..., "custom_id": "em-3f...", "response": {"status_code": 200, "body": {...}}, "error": null}
    {"id": ..., "custom_id": "em-3f...", "response": null, "error": {"code": "batch_expired", "message": ...}}

What comes down is untrusted and belongs to a request by its `custom_id` alone, in any order. A line
that is damaged, unknown or contradicts another is counted and named, and nothing is made of it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from em_core.judges._completions import Reply, parse

MAX_REQUESTS = 50_000
MAX_BYTES = 200_000_000
"""Of one input file. Source: OpenAI's Batch API reference (`batches.create`), 2026."""
URL = "/v1/chat/completions"
NAMED = 10
"""Most damaged or unexpected lines that are named one by one."""


def request_id(job: str, batch: int, response_id: str, metric: str) -> str:
    """The `custom_id` of one request: a digest, so it says nothing about the answer to anybody else.

    Args:
        job: The job's name.
        batch: Number of the batch within the job; so a row of another batch is never taken for one of this.
        response_id: The answer.
        metric: What it is judged for.
    """
    return "em-" + hashlib.sha256(f"{job}\x1f{batch}\x1f{response_id}\x1f{metric}".encode("utf-8", "replace")).hexdigest()[:40]


def request_line(custom_id: str, body: dict[str, Any]) -> bytes:
    """One line of an input file: ASCII, so that no reader takes a character of a text for the end of the line."""
    return (json.dumps({"custom_id": custom_id, "method": "POST", "url": URL, "body": body}) + "\n").encode()


class RowError(Exception):
    """A request of a batch that got no reply. Has the attributes of the SDK's errors that `Endpoint` looks at.

    Args:
        status_code: HTTP status; None where the request was never made.
        code: ``batch_expired``, ``rate_limit_exceeded``, ...
        message: In the server's words.
        param: The field that it complains about.
    """

    def __init__(self, status_code: int | None, code: str, message: str, param: str = "") -> None:
        super().__init__(message)
        self.status_code, self.code, self.message, self.param = status_code, code, message, param

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowError) and self._said() == other._said()

    def __hash__(self) -> int:
        return hash(self._said())

    def _said(self) -> tuple[int | None, str, str]:
        return self.status_code, self.code, self.message

    @property
    def worth_another(self) -> bool:
        """Whether the same request may fare better in the next batch."""
        if self.status_code is None:
            return True  # expired, cancelled, lost: it was never answered
        return self.status_code in (408, 409, 429) or self.status_code >= 500

    @property
    def short(self) -> str:
        """A word or two for counting."""
        return self.code if self.status_code is None else f"{self.status_code} {self.code}".strip()


@dataclass
class Rows:
    """What the files of one batch say.

    Args:
        replies: By `custom_id`.
        errors: By `custom_id`.
        problems: Lines that nothing was made of: ``{kind: n}``.
        named: The first of them, ``"errors line 17: unknown id"``.
    """

    replies: dict[str, Reply] = field(default_factory=dict)
    errors: dict[str, RowError] = field(default_factory=dict)
    problems: Counter[str] = field(default_factory=Counter)
    named: list[str] = field(default_factory=list)

    def _name(self, kind: str, where: str) -> None:
        self.problems[kind] += 1
        if len(self.named) < NAMED:
            self.named.append(f"{where}: {kind}")


def read_rows(files: Iterable[tuple[str, Path]], expected: AbstractSet[str]) -> Rows:
    """Read result files.

    Args:
        files: ``(name, path)`` each; the name is for messages.
        expected: The ids of this batch.

    Returns:
        Every expected id at most once, as a reply or an error. An id that came twice with the same
        content counts once; one that came with two contents counts as not answered.
    """
    rows, contradicted = Rows(), set[str]()
    for name, path in files:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                where = f"{name} line {number}"
                try:
                    custom_id, said = _row(line)
                except (ValueError, RecursionError):
                    rows._name("damaged", where)
                    continue
                if custom_id not in expected:
                    rows._name("unknown id", f"{where} ({custom_id[:60]!r})")
                    continue
                before = rows.replies.get(custom_id) or rows.errors.get(custom_id)
                if custom_id in contradicted or (before is not None and before != said):
                    rows._name("id with two different results", f"{where} ({custom_id})")
                    contradicted.add(custom_id)
                    rows.replies.pop(custom_id, None)
                    rows.errors.pop(custom_id, None)
                elif before is not None:
                    rows._name("id twice with the same result", f"{where} ({custom_id})")
                elif isinstance(said, Reply):
                    rows.replies[custom_id] = said
                else:
                    rows.errors[custom_id] = said
    return rows


def _row(line: bytes) -> tuple[str, Reply | RowError]:
    """Raises ValueError where a line is no row."""
    found = json.loads(line)
    if not isinstance(found, dict) or not isinstance(found.get("custom_id"), str):
        raise ValueError("no row")
    custom_id, response, error = found["custom_id"], found.get("response"), found.get("error")
    if isinstance(response, dict):
        status, body = response.get("status_code"), response.get("body")
        if not isinstance(status, int) or isinstance(status, bool):
            raise ValueError("no status")
        if 200 <= status < 300:
            try:
                return custom_id, parse(json.dumps(body).encode())
            except ValueError as bad:
                return custom_id, RowError(status, "", str(bad))
        return custom_id, _error(status, body.get("error", body) if isinstance(body, dict) else body)
    if error is None:
        raise ValueError("neither response nor error")
    return custom_id, _error(None, error)


def _error(status: int | None, said: Any) -> RowError:
    if not isinstance(said, dict):
        return RowError(status, "", str(said)[:300])
    code, message, param = (str(said.get(name) or "") for name in ("code", "message", "param"))
    return RowError(status, (code or str(said.get("type") or ""))[:60], message[:300], param[:60])
