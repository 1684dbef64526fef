"""What a judge reads from: answers as they are sampled, until the pipeline says that this was the last."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

from em_core.errors import EMError
from em_core.judges import ToJudge

_END = object()


class Cancelled(EMError):
    """Judging was cancelled before its end; answers in flight are left unjudged."""


class Feed:
    """An endless iterator over a queue; `end` ends it after what is queued, `cancel` at once.

    Args:
        prepare: Called with each answer when its turn comes, in the reader's thread: the answer with what is
            still to score of it, or None when there is nothing left to do.
    """

    def __init__(self, prepare: Callable[[ToJudge], ToJudge | None]) -> None:
        self._prepare = prepare
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._cancelled: Cancelled | None = None
        self._callbacks: list[Callable[[BaseException], None]] = []

    def put(self, item: ToJudge) -> None:
        """Queue one answer; never blocks."""
        self._queue.put(item)

    def end(self) -> None:
        """No more answers will come."""
        self._queue.put(_END)

    def cancel(self, why: str) -> None:
        """Raise `Cancelled` in the reader now, and in whatever it has in flight."""
        with self._lock:
            self._cancelled = self._cancelled or Cancelled(f"judging was cancelled: {why}", "`judge` scores the rest")
            callbacks, error = list(self._callbacks), self._cancelled
        self._queue.put(_END)
        for callback in callbacks:
            callback(error)

    def on_cancel(self, callback: Callable[[BaseException], None]) -> None:
        """Ask to be told, even after the last item; at once if it is cancelled already."""
        with self._lock:
            self._callbacks.append(callback)
            error = self._cancelled
        if error is not None:
            callback(error)

    def __iter__(self) -> Iterator[ToJudge]:
        return self

    def __next__(self) -> ToJudge:
        while True:
            item = self._queue.get()
            if self._cancelled is not None:
                self._queue.put(_END)
                raise self._cancelled
            if item is _END:
                self._queue.put(_END)
                raise StopIteration
            prepared = self._prepare(item)
            if prepared is not None:
                return prepared
