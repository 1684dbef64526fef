"""How many judge calls may be in flight, and how fast they are sent: found out from the server's own answers.

    start            20 calls, then a quarter more per round trip, until the first 429
    a 429 that says when to come back (Retry-After)
                     a limit over time: requests are paced from now on (`SendRate`), calls in flight are not cut
    a 429 that does not
                     a limit of calls in flight: x 0.8, once per episode (calls sent before the last cut
                     don't count again)
    below the mark   a quarter more per round trip, up to 97 % of where the last 429 came
    around the mark  one call more every eight round trips; 5 % past it, the mark is forgotten
    a storm          a whole generation of 429s without one success: nothing is sent until Retry-After

With one fixed server limit this stays at 92-99 % of it (see docs/judges.md for the measurement).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from em_core.judges._send_rate import SendRate

START = 20
CUT = 0.8
FAST = 0.25
"""Growth per success as a share of one call: +25 % per round trip."""
ROUNDS_PER_CALL = 8
NEAR = 0.97
"""Share of the last known mark up to which growth is fast."""
MAX_PAUSE_S = 120.0


class Closed(Exception):
    """The throttle takes no more calls."""


class Throttle:
    """Adaptive limit of calls in flight; all methods run on one event loop.

    Args:
        maximum: Never more calls than this.
        start: Calls in flight before anything is known.
    """

    def __init__(self, maximum: int, start: int = START) -> None:
        self.maximum = maximum
        self.limit = float(min(start, maximum))
        self.in_use = 0
        self.episodes = 0
        self.n_rate_limited = 0
        self.peak = 0
        self._mark = float("inf")  # the limit at which the last 429 came
        self._cut_at = float("-inf")
        self._since_success = 0
        self._resume_at = 0.0
        self.rate = SendRate()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one call; waits for its turn, first come first served.

        Raises:
            Closed: `close` was called first.
        """
        if self._closed:
            raise Closed
        if not self._free() or self._waiting:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            self._wake()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled() and turn.exception() is None:
                    self.in_use -= 1
                    self._wake()
                raise
        else:
            self._take()
        try:
            yield
        finally:
            self.in_use -= 1
            self._wake()

    async def turn(self, retry: bool = False) -> None:
        """Wait until one more request may be sent, be it a call's first or a retry (these go first).

        Raises:
            Closed: `close` was called.
        """
        if self._closed:
            raise Closed
        await self.rate.turn(retry)

    def succeeded(self) -> None:
        """A call was answered: grow, if the limit was in use at all."""
        self._since_success = 0
        self.rate.answered()
        if self.in_use >= 0.9 * int(self.limit):
            near = self.limit >= NEAR * self._mark
            self.limit = min(self.limit + (1 / (ROUNDS_PER_CALL * self.limit) if near else FAST), self.maximum)
            if not near and self.limit > NEAR * self._mark:
                self.limit = NEAR * self._mark
            if self.limit > 1.05 * self._mark:
                self._mark = float("inf")
        self._wake()

    def rate_limited(self, sent_at: float, retry_after_s: float | None) -> None:
        """A 429 came back.

        Args:
            sent_at: `time.monotonic` at which that call was sent.
            retry_after_s: What the server asked for, if it did.
        """
        now = time.monotonic()
        self.n_rate_limited += 1
        self._since_success += 1
        new = sent_at >= self._cut_at
        if new:
            self.episodes += 1
            self._cut_at = now
        if retry_after_s is not None:
            self.rate.refused(min(retry_after_s, MAX_PAUSE_S))
        elif new:
            self._mark = self.limit
            self.limit = max(1.0, self.limit * CUT)
        if self._since_success >= self.limit and retry_after_s:
            self._resume_at = max(self._resume_at, now + min(retry_after_s, MAX_PAUSE_S))
            self.rate.pause(self._resume_at)

    def close(self) -> None:
        """No more calls: those that wait and those that come get `Closed`."""
        self._closed = True
        self.rate.close(Closed())
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(Closed())
        self._waiting.clear()

    def _free(self) -> bool:
        return self.in_use < int(self.limit) and time.monotonic() >= self._resume_at

    def _take(self) -> None:
        self.in_use += 1
        self.peak = max(self.peak, self.in_use)

    def _wake(self) -> None:
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()
        while self._waiting and self._free():
            turn = self._waiting.popleft()
            if not turn.done():
                self._take()
                turn.set_result(None)
        pause = self._resume_at - time.monotonic()
        if self._waiting and pause > 0:
            asyncio.get_running_loop().call_later(pause + 0.001, self._wake)
