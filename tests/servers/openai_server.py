"""A small OpenAI-compatible server on 127.0.0.1 that misbehaves on request: real HTTP, real sockets.

with OpenAIServer(replies={r"metric: alignment": "12"}, reply="85", latency_s=0.3) as server:
    server.trouble = lambda call: rate_limited(1) if call.number < 10 else None
    JudgeSpec(name="openai_compatible", model="judge-1", base_url=server.base_url)
    server.token_probs = {r"metric: alignment": {"85": 0.7, " 90": 0.2, "CODE": 0.1}}    # sent when logprobs are asked for
    server.calls        # every request: number, key, headers, body, when
    server.n_replied    # completions that were sent whole: what a provider would bill

python -m tests.servers.openai_server --port 8080 --latency 0.3      (by hand, until Ctrl-C)
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MODEL = "judge-1"


@dataclass(frozen=True)
class Call:
    """One request to the chat endpoint."""

    number: int  # from 0, in the order of arrival
    headers: dict[str, str]
    body: dict[str, Any]
    at: float  # time.monotonic

    @property
    def prompt(self) -> str:
        """The last message."""
        return str(self.body["messages"][-1]["content"])

    @property
    def key(self) -> str:
        """The bearer token."""
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass(frozen=True)
class Trouble:
    """What goes wrong with one request."""

    status: int = 200
    body: str | None = None  # None: the ordinary completion
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False  # half of the body, then the connection closes
    hang_s: float = 0.0  # waits before anything is sent
    trickle_s: float = 0.0  # seconds between single bytes of the body


def error(status: int, code: str = "", message: str = "it did not work", **headers: str) -> Trouble:
    """An error reply in OpenAI's shape."""
    return Trouble(
        status, json.dumps({"error": {"message": message, "type": code, "param": None, "code": code or None}}), headers
    )


def rate_limited(retry_after_s: float | None = None) -> Trouble:
    """429, with or without Retry-After."""
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return error(429, "rate_limit_exceeded", "slow down", **headers)


def out_of_quota() -> Trouble:
    """429 as OpenAI sends it when the money is gone."""
    return error(429, "insufficient_quota", "You exceeded your current quota")


def bad_key() -> Trouble:
    """401."""
    return error(401, "invalid_api_key", "Incorrect API key provided")


def no_model() -> Trouble:
    """404 for a retired model."""
    return error(404, "model_not_found", "The model does not exist")


def redirect(url: str) -> Trouble:
    """307 to another address."""
    return Trouble(307, "", {"Location": url})


class OpenAIServer:
    """The server; a context manager, on an ephemeral port, in a thread of its own.

    Args:
        replies: ``{pattern: reply}``; the first pattern found in the last message gives the reply.
        reply: The reply when none matches.
        latency_s: Time to each reply, seconds.
        max_in_flight: More calls than this get a 429.
        rate_per_s: More calls per second than this get a 429 (token bucket of 0.2 s).
        key: The only key that is accepted; "" accepts any.
        retry_after_s: Sent with those 429s.
    """

    def __init__(
        self,
        replies: Mapping[str, str] | None = None,
        reply: str = "85",
        latency_s: float = 0.0,
        max_in_flight: int = 0,
        rate_per_s: float = 0.0,
        key: str = "",
        retry_after_s: float | None = None,
        port: int = 0,
    ) -> None:
        self.replies, self.reply, self.latency_s = dict(replies or {}), reply, latency_s
        self.max_in_flight, self.rate_per_s, self.key, self.retry_after_s = max_in_flight, rate_per_s, key, retry_after_s
        self.trouble: Callable[[Call], Trouble | None] = lambda call: None
        self.finish_reason = "stop"
        self.token_probs: dict[str, dict[str, float]] = {}  # by pattern; without one the reply's own text has all
        self.has_logprobs = True  # False: leaves them out, as many servers do
        self.served_model: str | None = ""  # "" = the one asked for; None = says nothing
        self.calls: list[Call] = []
        self.paths: list[str] = []
        self.replied: list[Call] = []
        self.in_flight = self.peak_in_flight = self.n_rate_limited = 0
        self._bucket, self._bucket_at = 0.0, 0.0
        self._port = port
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="openai-server", daemon=True)

    @property
    def base_url(self) -> str:
        """Up to and including ``/v1``."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def n_calls(self) -> int:
        """Requests to the chat endpoint, troubled ones included."""
        return len(self.calls)

    @property
    def n_replied(self) -> int:
        """Completions that were sent whole; waits until what is being answered is counted."""
        give_up = time.monotonic() + 2
        while self.in_flight and time.monotonic() < give_up:
            time.sleep(0.005)
        return len(self.replied)

    def __enter__(self) -> OpenAIServer:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the server did not start")
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", self._port, backlog=1024)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._request(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        data = await reader.readexactly(int(headers.get("content-length", 0)))
        self.paths.append(f"{method} {path}")
        if path.endswith("/models"):
            return await self._send(writer, 200, json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}), {})
        if not path.endswith("/chat/completions"):
            return await self._elsewhere(writer, method, path, headers, data)
        call = Call(len(self.calls), headers, json.loads(data), time.monotonic())
        self.calls.append(call)
        trouble = self.trouble(call) or self._limits(call) or Trouble()
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            await asyncio.sleep(trouble.hang_s or (self.latency_s if trouble.status == 200 else 0))
        finally:
            self.in_flight -= 1
        body = trouble.body if trouble.body is not None else self._completion(call)
        whole = await self._send(writer, trouble.status, body, trouble.headers, trouble.cut, trouble.trickle_s)
        if trouble.status == 200 and not trouble.cut:
            self.replied.append(call)
        return whole

    async def _elsewhere(
        self, writer: asyncio.StreamWriter, method: str, path: str, headers: dict[str, str], data: bytes
    ) -> bool:
        """Any other address; a server with more endpoints says more."""
        return await self._send(writer, 404, '{"detail": "Not Found"}', {})

    def _limits(self, call: Call) -> Trouble | None:
        if self.key and call.key != self.key:
            return bad_key()
        refused = bool(self.max_in_flight) and self.in_flight >= self.max_in_flight
        if self.rate_per_s:
            now = time.monotonic()
            capacity = max(1.0, 0.2 * self.rate_per_s)
            self._bucket = min(capacity, self._bucket + (now - self._bucket_at) * self.rate_per_s)
            self._bucket_at = now
            refused = refused or self._bucket < 1
            self._bucket -= 0 if refused else 1
        self.n_rate_limited += refused
        return rate_limited(self.retry_after_s) if refused else None

    def _completion(self, call: Call) -> str:
        text = next((reply for pattern, reply in self.replies.items() if re.search(pattern, call.prompt)), self.reply)
        if "response_format" in call.body and re.fullmatch(r"[0-9]+", text):
            text = json.dumps({"verdict": "score", "score": int(text), "why": "it is so"})
        logprobs = None
        if call.body.get("logprobs") and self.has_logprobs:
            probs = next((p for pattern, p in self.token_probs.items() if re.search(pattern, call.prompt)), {text: 1.0})
            text = max(probs, key=probs.__getitem__, default="")
            top = [{"token": t, "logprob": math.log(p) if p > 0 else -9999.0, "bytes": None} for t, p in probs.items()]
            logprobs = {"content": [{**top[0], "top_logprobs": top[: call.body["top_logprobs"]]}] if top else []}
        message = {"role": "assistant", "content": text}
        n = len(call.prompt.split())
        model = {"model": self.served_model or call.body.get("model", MODEL)} if self.served_model is not None else {}
        return json.dumps({
            "id": f"chatcmpl-{call.number}",
            "object": "chat.completion",
            "created": 1,
            **model,
            "choices": [{"index": 0, "message": message, "finish_reason": self.finish_reason, "logprobs": logprobs}],
            "usage": {"prompt_tokens": n, "completion_tokens": 1, "total_tokens": n + 1},
        })  # fmt: skip

    async def _send(
        self,
        writer: asyncio.StreamWriter,
        status: int,
        body: str,
        headers: dict[str, str],
        cut: bool = False,
        trickle_s: float = 0,
    ) -> bool:
        data = body.encode()
        lines = {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}
        head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        writer.write(head.encode())
        if trickle_s:
            for i in range(len(data)):
                writer.write(data[i : i + 1])
                await writer.drain()
                await asyncio.sleep(trickle_s)
        else:
            writer.write(data[: len(data) // 2] if cut else data)
        await writer.drain()
        return not cut


def main() -> None:
    """Serve until the input ends or Ctrl-C; prints the address, then at the end the counts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--reply", default="85")
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--max-in-flight", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--retry-after", type=float, default=None)
    args = parser.parse_args()
    with OpenAIServer(
        reply=args.reply, latency_s=args.latency, max_in_flight=args.max_in_flight, rate_per_s=args.rate,
        retry_after_s=args.retry_after, port=args.port,
    ) as server:  # fmt: skip
        print(server.base_url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            sys.stdin.read()
    print(json.dumps({
        "n_calls": server.n_calls, "n_replied": server.n_replied, "n_rate_limited": server.n_rate_limited,
        "peak_in_flight": server.peak_in_flight,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
