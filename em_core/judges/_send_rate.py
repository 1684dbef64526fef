"""How many requests a second may be sent, once a server has told (429 with Retry-After) that there is a limit.

    before the first 429   as fast as calls come
    a 429                  98 % of what was answered a second lately (cut once per episode)
    with too little known for that
                           a guess that grows fourfold each second
    below the mark         15 % more each second, up to 97 % of the rate at which the last 429 came
    around the mark        grows, slowly at first and faster the longer no 429 comes, while requests wait
    more refused than answered, or a short Retry-After
                           nothing is sent until it has passed

Requests leave evenly spaced, retries among them, so a limit that counts over any window is met.
With one fixed limit this stays at 95-99 % of it (docs/judges.md has the measurement).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

INF = float("inf")
WINDOW_S = 2.0
"""Over which answers and refusals are counted."""
FIRST_WINDOW_S = 0.5
FIRST_MARK = 1.5
"""The first mark as a multiple of what was answered until then; it is put right by the next 429."""
KNOWN = 10
"""Answers in it before their number means something."""
EPISODE_S = 0.75
"""After a cut, refusals are put down to what was sent before it."""
CUT = 0.98
GENTLE, HARD, FEW = 0.93, 0.7, 0.05
"""Never cut below these shares of the rate before: the first while few are refused, since a stall on this side, which
makes answers late, is not the server's limit."""
LEAST, GUESS = 0.2, 4.0
FAST = 0.15
NEAR = 0.97
GROWTH = 0.008
"""A second and second: after t quiet seconds around the mark the rate has grown by about GROWTH * t^2 / 2."""
SHORT_S, HEAD_START_S = 0.25, 0.02
"""After so short a pause the refused request is asked for again before any other."""
CATCH_UP_S = 0.05
"""Requests that were late by up to this are made up for at once."""


class SendRate:
    """Paces requests; all methods run on one event loop."""

    def __init__(self) -> None:
        self.per_s = INF
        self.mark = INF  # the rate at which the last 429 came
        self._answered: deque[float] = deque()
        self._refused: deque[float] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._next_at = self._paused_until = self._grown_at = self._quiet_since = 0.0
        self._cut_at = -INF

    async def turn(self, retry: bool = False) -> None:
        """Wait until one more request may be sent; retries first, then first come first served."""
        if not self._waiting and self.per_s == INF and time.monotonic() >= self._paused_until:
            return
        turn = asyncio.get_running_loop().create_future()
        if retry:
            self._waiting.appendleft(turn)
        else:
            self._waiting.append(turn)
        if self._timer is None:
            self._pump()
        await turn

    def answered(self) -> None:
        """A request was answered."""
        self._count(self._answered)

    def refused(self, retry_after_s: float) -> None:
        """The server refused a request.

        Args:
            retry_after_s: When it wants to be asked again.
        """
        now = time.monotonic()
        self._count(self._refused)
        n_answered = sum(at >= now - WINDOW_S for at in self._answered)
        if retry_after_s <= SHORT_S:  # so exact a figure is a bucket's: before then it refuses everybody
            self.pause(now + retry_after_s + HEAD_START_S)
        if len(self._refused) > n_answered and now >= self._paused_until + (EPISODE_S if self._paused_until else 0.0):
            self.pause(now + retry_after_s)
        if now - self._cut_at >= EPISODE_S:
            self._cut(n_answered, now)
            self._cut_at = self._quiet_since = self._grown_at = now

    def _cut(self, n_answered: int, now: float) -> None:
        span = now - self._answered[0] if self._answered else 0.0
        if n_answered < KNOWN or span < FIRST_WINDOW_S:  # a guess that grows fast, until more is known
            self.mark, self.per_s = INF, max(LEAST, min(self.per_s / 2, max(1.0, n_answered / max(span, FIRST_WINDOW_S))))
        elif INF in (self.per_s, self.mark):  # the first time: it was growing, so a long window holds too little
            lately = self._measured(now, now - FIRST_WINDOW_S)
            self.per_s = min(self.per_s, max(lately, n_answered / WINDOW_S))
            self.mark = FIRST_MARK * self.per_s
        else:
            measured = self._measured(now, max(now - WINDOW_S, self._cut_at + EPISODE_S / 2))
            few = len(self._refused) < FEW * n_answered
            admitted = min(self.per_s, max(measured, (GENTLE if few else HARD) * self.per_s))
            self.mark = self.per_s if few else admitted
            self.per_s = CUT * admitted

    def _measured(self, now: float, since: float) -> float:
        return sum(at >= since for at in self._answered) / (now - since)

    def _count(self, times: deque[float]) -> None:
        now = time.monotonic()
        times.append(now)
        while times[0] < now - WINDOW_S:
            times.popleft()

    def pause(self, until: float) -> None:
        """Send nothing before this time (`time.monotonic`)."""
        self._paused_until = max(self._paused_until, until)

    def close(self, error: Exception) -> None:
        """Those who wait get this error."""
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(error)
        self._waiting.clear()

    def _pump(self) -> None:
        self._timer = None
        while self._waiting:
            if self._waiting[0].done():
                self._waiting.popleft()
                continue
            now = time.monotonic()
            wait_s = max(self._next_at, self._paused_until) - now
            if wait_s > 0:
                self._timer = asyncio.get_running_loop().call_later(wait_s, self._pump)
                return
            self._grow(now)
            self._next_at = max(self._next_at, now - CATCH_UP_S) + 1 / self.per_s
            self._waiting.popleft().set_result(None)

    def _grow(self, now: float) -> None:
        """Called for each request that had to wait: only then is the rate in use."""
        since = min(1.0, now - self._grown_at)
        self._grown_at = now
        if self.mark == INF:
            self.per_s *= GUESS**since
        elif self.per_s < NEAR * self.mark:
            self.per_s = min(self.per_s * (1 + FAST * since), NEAR * self.mark)
            self._quiet_since = now
        else:
            self.per_s *= 1 + GROWTH * (now - self._quiet_since) * since
