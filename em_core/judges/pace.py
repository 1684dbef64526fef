"""How fast answers are done, over the last seconds."""

from __future__ import annotations

import time
from collections import deque

WINDOW_S = 10.0


class Pace:
    """Counts answers given and done."""

    def __init__(self) -> None:
        self.n_given = self.n_done = 0
        self._recent: deque[float] = deque()
        self._busy_since: float | None = None  # since when there was always something to do

    def given(self) -> None:
        """One more answer to do."""
        if self.n_given == self.n_done:
            self._busy_since = time.monotonic()
            self._recent.clear()
        self.n_given += 1

    def done(self) -> None:
        """One answer less to do."""
        self.n_done += 1
        self._recent.append(time.monotonic())
        self._forget()

    def rate_per_s(self) -> float:
        """Answers a second over the last `WINDOW_S` seconds in which there was something to do; 0 before the first."""
        self._forget()
        if not self._recent or self._busy_since is None:
            return 0.0
        until = time.monotonic() if self.n_done < self.n_given else self._recent[-1]
        spent = min(WINDOW_S, until - self._busy_since)
        return len(self._recent) / spent if spent > 0 else 0.0

    def _forget(self) -> None:
        """Drop what is older than the window, seen from now while work is pending, else from the last answer."""
        if self._recent:
            end = time.monotonic() if self.n_done < self.n_given else self._recent[-1]
            while self._recent and self._recent[0] < end - WINDOW_S:
                self._recent.popleft()
