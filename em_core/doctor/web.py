"""One question to a server, with a deadline for all of it; no redirect is followed and no proxy asked on this machine."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

_MOST_BYTES = 4 << 20


@dataclass(frozen=True)
class Reply:
    """What came back.

    Args:
        status: HTTP status; 0 = no answer.
        problem: Why there is none, in words; empty otherwise. Never has a header or a key in it.
        body: The document, where it is JSON of at most 4 MiB.
    """

    status: int
    problem: str = ""
    body: Any = None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None  # a key must not travel on


def get(url: str, timeout_s: float, key: str = "", *, local: bool = False) -> Reply:
    """Ask for a document; returns within `timeout_s`, also when the server sends a byte a second.

    Args:
        url: A plain address of a server that the user configured.
        timeout_s: Deadline for the whole answer, seconds.
        key: Sent as a bearer token; empty = none.
        local: Ask directly, whatever proxy the environment names.
    """
    answers: queue.SimpleQueue[Reply] = queue.SimpleQueue()
    thread = threading.Thread(target=lambda: answers.put(_ask(url, timeout_s, key, local)), name="doctor asks", daemon=True)
    thread.start()
    with contextlib.suppress(queue.Empty):
        return answers.get(timeout=timeout_s)
    return Reply(0, f"no answer within {timeout_s:g} s")


def _ask(url: str, timeout_s: float, key: str, local: bool) -> Reply:
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if local:
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "em-workbench doctor"})  # noqa: S310
        if key:
            request.add_unredirected_header("Authorization", f"Bearer {key}")
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout_s) as answer:
            return Reply(answer.status, "", _document(answer.read(_MOST_BYTES + 1)))
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code)
    except urllib.error.URLError as error:
        return Reply(0, _words(error.reason, timeout_s))
    except Exception as error:  # malformed answers come as many classes
        return Reply(0, _words(error, timeout_s))


def _document(data: bytes) -> Any:
    if len(data) > _MOST_BYTES:
        return None
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(data)
    return None


def _words(reason: object, timeout_s: float) -> str:
    if isinstance(reason, TimeoutError) or "timed out" in str(reason):
        return f"no answer within {timeout_s:g} s"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower()
    return type(reason).__name__ if isinstance(reason, BaseException) else str(reason)[:100]
