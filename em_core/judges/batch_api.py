"""The Files and Batches endpoints of one server, through the OpenAI SDK.

    with BatchApi(judge) as api:
        api.check()                                     # BadInput where the server has no batches
        file_id = api.upload(path, "em-job-1.jsonl")
        batch = api.create(file_id, {"em_job": "job", "em_batch": "1"})
        while not api.look(batch.id).ended: ...
        api.download(batch.output_file_id, path)

Creating a batch costs money, so it is never repeated blindly: after a lost reply the server is asked
whether the batch is there (`find`) before another is made. Everything else may be repeated and is,
by the SDK. The key goes where `Endpoint` lets it go.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from em_core.errors import BadInput, EMError, WorkFailed
from em_core.judges._batch_lines import URL
from em_core.judges.endpoint import redact
from em_core.judges.openai_compatible import OpenAICompatibleJudge
from em_core.judges.stream import stream
from em_core.judges.throttle import Throttle

if TYPE_CHECKING:
    import openai

DISCOUNT = 0.5
"""A batch costs half of what the same calls cost one by one (OpenAI's price list, 2026)."""
ENDED = ("completed", "expired", "cancelled", "failed")
UPLOAD_TIMEOUT_S = 600.0
TRIES = 4
PAUSE_S = 1.0
"""Before the second try; doubles."""
SETTLE_S = 5.0
"""After a lost reply, so long may a created batch need to appear in the list."""
MAX_DOWNLOAD = 4_000_000_000
_NO_BATCHES = (404, 405, 501)
_ID = re.compile(r"[\w.:-]{1,200}")


class Unreachable(WorkFailed):
    """The server did not answer for now; the same may work later."""


class Gone(WorkFailed):
    """The server does not have that file or batch (any more)."""


@dataclass(frozen=True)
class BatchView:
    """A batch as the server shows it.

    Args:
        id: Its name there.
        status: validating, in_progress, finalizing, cancelling, or one of `ENDED`.
        n_total, n_completed, n_failed: Requests.
        output_file_id, error_file_id: Results; "" = none.
        errors: Why it failed as a whole, in words.
        codes: The same as codes.
    """

    id: str
    status: str
    n_total: int = 0
    n_completed: int = 0
    n_failed: int = 0
    output_file_id: str = ""
    error_file_id: str = ""
    errors: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in ENDED


def probe(judge: OpenAICompatibleJudge) -> str:
    """Make one tiny ordinary call, as `judge.check` does.

    Returns:
        The field in which this model takes the length of its reply.

    Raises:
        EMError: As `judge.check`; better now than after a day.
    """
    key, found = judge.endpoint.key(), ["max_tokens"]

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        async with judge._session(key, 1, min(judge.timeout_s, 30.0), probe=True) as calls:
            yield calls
            found[0] = calls.length_field

    list(stream(["check"], opened))
    return found[0]


class BatchApi:
    """Batches of one judge; a context manager. Its calls run on an event loop in a thread of its own.

    Args:
        judge: Whose endpoint and key.
        pause_s: See `PAUSE_S`; tests take less.
        settle_s: See `SETTLE_S`.
    """

    def __init__(self, judge: OpenAICompatibleJudge, pause_s: float = PAUSE_S, settle_s: float = SETTLE_S) -> None:
        self.judge, self.endpoint, self.pause_s, self.settle_s = judge, judge.endpoint, pause_s, settle_s
        self.key = self.endpoint.key()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="judge-batches", daemon=True)
        self._client: openai.AsyncOpenAI | None = None

    def __enter__(self) -> BatchApi:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        async def close() -> None:
            left = asyncio.all_tasks() - {asyncio.current_task()}  # what was interrupted
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            if self._client is not None:
                await self._client.close()
            await self._loop.shutdown_default_executor()

        with suppress(Exception):
            asyncio.run_coroutine_threadsafe(close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        if not self._thread.is_alive():
            self._loop.close()

    def check(self) -> None:
        """Make sure that this server has batches.

        Raises:
            BadInput: It has none, or it refuses the key.
            WorkFailed: It does not answer.
        """
        self._do(lambda client: client.batches.list(limit=1), none=BadInput(
            f"{self.endpoint.host}: has no batch API at {self.endpoint.base_url}", "leave out --batch"), kind=BadInput,
        )  # fmt: skip

    def upload(self, path: Path, name: str) -> str:
        """Put an input file there; returns its id. Done twice it costs nothing but the transfer."""

        if not path.is_file():
            raise WorkFailed(f"{path}: is gone, so this batch cannot be sent", f"delete {path.parent}, and judge again")

        async def send(client: openai.AsyncOpenAI) -> Any:
            with path.open("rb") as file:
                return await client.with_options(timeout=UPLOAD_TIMEOUT_S).files.create(
                    file=(name, file, "application/jsonl"), purpose="batch"
                )

        return _name(self._do(send).id, "file")

    def create(self, file_id: str, metadata: dict[str, str]) -> BatchView:
        """Start a batch, exactly one.

        Args:
            file_id: The input.
            metadata: Tells this batch from every other.

        Raises:
            EMError: It could not be started; whether it was after all, `find` tells.
        """
        for attempt in range(TRIES):
            began = time.time()
            try:
                return _view(self._do(
                    lambda client: client.with_options(max_retries=0).batches.create(
                        input_file_id=file_id, endpoint=URL, completion_window="24h", metadata=metadata)  # type: ignore[arg-type]
                ))  # fmt: skip
            except Unreachable:
                found = self.find(metadata, began, self.settle_s)
                if found is not None:
                    return found
                if attempt == TRIES - 1:
                    raise
                time.sleep(self.pause_s * 2**attempt)
        raise AssertionError("unreachable")

    def find(self, metadata: dict[str, str], since_t: float, settle_s: float = 0.0) -> BatchView | None:
        """The batch with this metadata, if the server has it.

        Args:
            metadata: As given to `create`.
            since_t: It was not created before that; seconds since 1970.
            settle_s: Go on looking for so long.
        """
        until = time.monotonic() + settle_s
        while True:
            found: BatchView | None = self._do(lambda client: self._search(client, metadata, since_t - 86_400))
            if found is not None or time.monotonic() >= until:
                return found
            time.sleep(min(self.pause_s, max(0.0, until - time.monotonic())))

    @staticmethod
    async def _search(client: openai.AsyncOpenAI, metadata: dict[str, str], oldest_t: float) -> BatchView | None:
        async for batch in client.batches.list(limit=100):
            if metadata.items() <= (batch.metadata or {}).items():
                return _view(batch)
            if (batch.created_at or oldest_t) < oldest_t:  # newest first; a day of slack for clocks
                return None
        return None

    def look(self, batch_id: str) -> BatchView:
        """How a batch is doing.

        Raises:
            Gone: This key knows no such batch.
        """
        gone = Gone(
            f"{self.endpoint.host}: knows no batch {batch_id} under the key in {self.endpoint.api_key_env}",
            "use the key (and project) with which it was submitted",
        )
        return _view(self._do(lambda client: client.batches.retrieve(batch_id), none=gone))

    def cancel(self, batch_id: str) -> BatchView:
        """Ask the server to end a batch; what is done by then is billed and can be fetched."""
        return _view(self._do(lambda client: client.batches.cancel(batch_id)))

    def download(self, file_id: str, path: Path) -> None:
        """Fetch a result file, whole and on disk, or not at all.

        Raises:
            Gone: It expired.
        """
        temporary = path.with_name(path.name + ".new")

        async def fetch(client: openai.AsyncOpenAI) -> None:
            n = 0
            async with client.files.with_streaming_response.content(file_id) as response:
                with temporary.open("wb") as file:
                    async for chunk in response.iter_bytes(1 << 16):
                        n += len(chunk)
                        if n > MAX_DOWNLOAD:
                            raise WorkFailed(f"{self.endpoint.host}: result file {file_id} is beyond {MAX_DOWNLOAD:,} bytes")
                        file.write(chunk)
                    file.flush()
                    os.fsync(file.fileno())

        gone = Gone(f"{self.endpoint.host}: result file {file_id} is not there (any more)", "judge these answers again")
        for attempt in range(TRIES):
            try:
                self._do(fetch, none=gone)
                os.replace(temporary, path)
                return
            except Unreachable:
                if attempt == TRIES - 1:
                    raise
                time.sleep(self.pause_s * 2**attempt)
            except OSError as error:
                raise WorkFailed(f"{path}: cannot be written ({error.strerror})", "free disk space, and call again") from error
            finally:
                temporary.unlink(missing_ok=True)

    def remove(self, file_id: str) -> None:
        """Delete a file there, as far as the server lets us."""
        with suppress(EMError):
            self._do(lambda client: client.with_options(max_retries=1).files.delete(file_id))

    def _do(
        self, call: Callable[[openai.AsyncOpenAI], Any], none: EMError | None = None, kind: type[EMError] = WorkFailed
    ) -> Any:
        """Run one request; its errors in words. `none` is raised where the server does not have what is asked for."""
        import httpx2
        import openai

        async def run() -> Any:
            if self._client is None:  # made on its own loop
                self._client = self.endpoint.client(self.key, Throttle(4), self.judge.max_retries, self.judge.timeout_s)
            return await call(self._client)

        coroutine: Coroutine[Any, Any, Any] = run()
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        except (openai.OpenAIError, httpx2.HTTPError, TimeoutError, ValueError) as error:
            status, said = getattr(error, "status_code", None), self.endpoint.describe(error, self.key)
            if status in _NO_BATCHES and none is not None:
                raise none from None
            fatal = None if status in _NO_BATCHES else self.endpoint.fatal(error, kind)
            if fatal is not None:
                raise fatal from None
            passing = status is None or status in (408, 409, 429) or status >= 500
            hint = "nothing is lost or paid twice: the same command goes on where this ended"
            raise (Unreachable if passing else WorkFailed)(f"{self.endpoint.host}: {said}", hint) from None


def _view(batch: Any) -> BatchView:
    counts, errors = getattr(batch, "request_counts", None), getattr(getattr(batch, "errors", None), "data", None) or []

    def count(name: str) -> int:
        value = getattr(counts, name, 0)
        return value if isinstance(value, int) and value > 0 else 0

    words = [f"line {e.line}: {e.message}" if getattr(e, "line", None) else str(getattr(e, "message", e)) for e in errors]
    return BatchView(
        _name(getattr(batch, "id", None), "batch"), str(getattr(batch, "status", "")), count("total"), count("completed"),
        count("failed"), _optional(batch, "output_file_id"), _optional(batch, "error_file_id"),
        tuple(word[:300] for word in words), tuple(str(getattr(e, "code", ""))[:60] for e in errors),
    )  # fmt: skip


def _optional(batch: Any, name: str) -> str:
    found = getattr(batch, name, None)
    return _name(found, "file") if found else ""


def _name(found: Any, what: str) -> str:
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise WorkFailed(f"the server named a {what} {str(found)[:60]!r}, expected an id", "check judges.base_url")
    return found


def in_words(view: BatchView, key: str = "") -> str:
    """Why a batch failed as a whole, without the key."""
    said = "; ".join(dict.fromkeys(view.errors[:5])) or "without a reason"
    more = f" (and {len(view.errors) - 5} more)" if len(view.errors) > 5 else ""
    return redact(said, key) + more
