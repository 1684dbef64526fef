"""Runs that make no sign of life, and runs that were asked to end and don't.

Silence is measured by what this supervisor sees itself, with a clock that no one sets: a clock set
forward, a laptop that slept or a supervisor that was away make no run look hung. What is about to be
done is noted in the run's folder first, so that the next supervisor knows it too. Then, step by step:
a stack trace into the log (SIGUSR1, where it is caught), SIGTERM, SIGKILL; only to processes that are
proven to be the run's.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from em_core import alive, requests
from em_core.errors import BadInput
from em_core.home import Home
from em_core.supervisor import marks, processes
from em_core.supervisor.evidence import RunStatus

log = logging.getLogger("em_core.supervisor")

HANG_MINUTES = "EM_HANG_MINUTES"
"""A run that makes no sign of life for this many minutes is ended and resumed; 0 = never (default: 30)."""
_LOOK_S = 5.0
_MOVED_BYTES = 1 << 20
_AGAIN_S = 5.0


@dataclass(frozen=True)
class Patience:
    """How long a worker is waited for, seconds.

    Args:
        hang_s: Without a sign of life; 0 = for ever.
        discard_s: After it was asked to end without saving.
        now_s: The same, when the end cannot wait.
        dump_s: For its stack trace.
        term_s: After SIGTERM.
    """

    hang_s: float = 1800.0
    discard_s: float = 60.0
    now_s: float = 3.0
    dump_s: float = 2.0
    term_s: float = 15.0

    @classmethod
    def from_environment(cls) -> Patience:
        """With `HANG_MINUTES`.

        Raises:
            BadInput: It is not a number of minutes.
        """
        given = os.environ.get(HANG_MINUTES, "").strip() or "30"
        try:
            minutes = float(given)
            if math.isfinite(minutes) and minutes >= 0:
                return cls(hang_s=60 * minutes)
        except ValueError:
            pass
        raise BadInput(f"{HANG_MINUTES}={given}: is not a number of minutes", "use a number such as 30, or 0 for never")


@dataclass
class _Seen:
    """What was seen of one attempt of a run. Times are of the monotonic clock."""

    attempt: int
    signs: dict[str, tuple[int, int]] = field(default_factory=dict)
    looked_t: float = float("-inf")
    moved_t: float = 0.0
    moved_bytes: int | None = None
    asked_t: float | None = None
    ending: str = ""  # the last signal sent, or the note
    ending_t: float = 0.0


class Watch:
    """Watches the runs at work for one supervisor.

    Args:
        patience: How long to wait.
        complain: Says once what went wrong: about which run, and what.
        clock: Seconds, never set back.
    """

    def __init__(
        self, home: Home, patience: Patience, complain: Callable[[str, str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._home, self._patience, self._complain, self._clock = home, patience, complain, clock
        self._seen: dict[str, _Seen] = {}

    def turn(self, active: Sequence[RunStatus]) -> None:
        """Look at every run at work, and do the next step with those that have to be ended."""
        now = self._clock()
        names = {status.run_id for status in active}
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
        for status in active:
            run_dir = self._home.runs / status.run_id
            attempt = max(status.attempt, int(marks.last_spawn(run_dir).get("attempt", 0))) if self._is_new(status) else None
            if attempt is not None:
                self._seen[status.run_id] = _Seen(attempt, moved_t=now)
            try:
                self._one(run_dir, self._seen[status.run_id], now)
            except OSError as error:
                self._complain(status.run_id, f"cannot be watched: {error}")

    def _is_new(self, status: RunStatus) -> bool:
        seen = self._seen.get(status.run_id)
        return seen is None or status.attempt > seen.attempt

    def _one(self, run_dir: Path, seen: _Seen, now: float) -> None:
        if seen.ending:
            self._go_on(run_dir, seen, now)
            return
        wait_s = self._patience.now_s if requests.hurried(run_dir) else self._patience.discard_s
        if requests.asked(run_dir) != "discard":
            seen.asked_t = None
        elif seen.asked_t is None:
            seen.asked_t = now
        elif now - seen.asked_t >= wait_s:
            self._begin(
                run_dir, seen, now, "user", f"stopped and discarded; its worker did not end within {wait_s:.0f} s and was ended"
            )
            return
        hang_s = self._patience.hang_s
        if hang_s and self._hangs(run_dir, seen, now):
            how_long = f"{hang_s / 60:.0f} minutes" if hang_s >= 120 else f"{hang_s:.0f} s"
            self._begin(run_dir, seen, now, "hang", f"no sign of life for {how_long}: it was ended")

    def _hangs(self, run_dir: Path, seen: _Seen, now: float) -> bool:
        """Whether the run was not seen to move for as long as it is waited for.

        Its processes' bytes are counted from the middle of that time on, so it is never said at a first look after a
        long time without one: then the run gets another chance to move.
        """
        hang_s = self._patience.hang_s
        if now - seen.looked_t < min(_LOOK_S, hang_s / 10):
            return False
        seen.looked_t = now
        signs = alive.signs(run_dir)
        if signs != seen.signs:
            seen.signs, seen.moved_t, seen.moved_bytes = signs, now, None
        elif seen.moved_bytes is None:
            if now - seen.moved_t >= hang_s / 2:
                seen.moved_bytes = processes.moved_bytes(processes.of_run(run_dir))
        elif now - seen.moved_t >= hang_s:
            moved = processes.moved_bytes(processes.of_run(run_dir)) - seen.moved_bytes
            if moved < _MOVED_BYTES:
                return True
            seen.moved_t, seen.moved_bytes = now, None
        return False

    def _begin(self, run_dir: Path, seen: _Seen, now: float, cause: str, reason: str) -> None:
        marks.write_ending(run_dir, seen.attempt, cause, reason)
        ours = processes.of_run(run_dir)
        if not ours:
            self._complain(run_dir.name, "is to be ended, but no process is proven to be its worker; none was signalled")
        reached = processes.send(processes.catching(ours, signal.SIGUSR1), signal.SIGUSR1)
        log.warning("%s: %s; stack trace asked of %s", run_dir.name, reason, reached or "nobody")
        seen.ending, seen.ending_t = "note", now

    def _go_on(self, run_dir: Path, seen: _Seen, now: float) -> None:
        waits = {"note": self._patience.dump_s, "SIGTERM": self._patience.term_s, "SIGKILL": _AGAIN_S}
        if now - seen.ending_t < waits[seen.ending]:
            return
        number = signal.SIGTERM if seen.ending == "note" else signal.SIGKILL
        reached = processes.send(processes.of_run(run_dir), number)
        if seen.ending != number.name:  # SIGKILL is sent again and again to what a driver holds
            log.warning("%s: sent %s to %s", run_dir.name, number.name, reached or "nobody")
        seen.ending, seen.ending_t = number.name, now
