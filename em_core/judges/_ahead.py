"""A live feed, read in a thread of its own and handed out in handfuls."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable

from em_core.judges import ToJudge


class Ahead:
    """Reads `items` ahead; `take` gives what is there.

    Args:
        items: May block until there is a next item. Its error, or the one given to the callback of its
            ``on_cancel(callback)``, is raised by the next `take` or `check`.
        most: Most items held unread.
    """

    def __init__(self, items: Iterable[ToJudge], most: int) -> None:
        self._items, self._most = items, most
        self._ready: deque[ToJudge] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False
        self._error: BaseException | None = None
        threading.Thread(target=self._pull, name="judge-feed", daemon=True).start()

    def take(self, most: int, patience_s: float = 0.05) -> list[ToJudge]:
        """Wait for an item, then take what is there.

        Args:
            most: Most items.
            patience_s: Wait so long for a full handful once there is one item.

        Returns:
            At least one item; empty at the end.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended or self._error)
            deadline = time.monotonic() + patience_s
            while not (len(self._ready) >= most or self._ended or self._error):
                if not self._changed.wait(deadline - time.monotonic()) or time.monotonic() >= deadline:
                    break
            self._raise()
            taken = [self._ready.popleft() for _ in range(min(most, len(self._ready)))]
            self._changed.notify_all()
            return taken

    def check(self) -> None:
        """Raise the feed's error, if there is one."""
        with self._changed:
            self._raise()

    def close(self) -> None:
        """Read no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _pull(self) -> None:
        try:
            on_cancel = getattr(self._items, "on_cancel", None)
            if on_cancel is not None:
                on_cancel(self._fail)
            for item in self._items:
                with self._changed:
                    self._changed.wait_for(lambda: len(self._ready) < self._most or self._closed)
                    if self._closed:
                        return
                    self._ready.append(item)
                    self._changed.notify_all()
        except BaseException as error:
            self._fail(error)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()
