"""What follows a worker's death: end what it left behind, record how it died, queue the run again where that is safe.

All of it under the run's lease: nobody works on the run meanwhile, and each thing happens once.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from em_core.causes import KNOWN
from em_core.errors import EMError
from em_core.home import Home
from em_core.lease import Lease, held, signed_pid
from em_core.supervisor import control, processes
from em_core.supervisor.evidence import RunStatus, decide
from em_core.supervisor.requeue import may_resume_by_itself, requeue
from em_core.supervisor.start import wake

log = logging.getLogger("em_core.supervisor")

LEAVE_S = 3.0
"""What a dead worker left behind gets this long to end by itself once it was asked, seconds."""
GIVE_UP_S = 15.0
"""After this long the run goes on as if it were gone (a process that hangs in a driver cannot be ended), seconds."""


@dataclass(frozen=True)
class _Death:
    returncode: int
    pid: int


class Settling:
    """Settles the ends of runs for one supervisor.

    Args:
        home: The home.
        complain: Says once what went wrong: about which run, and what.
    """

    def __init__(self, home: Home, complain: Callable[[str, str], None]) -> None:
        self._home, self._complain = home, complain
        self._deaths: dict[str, _Death] = {}
        self._sweeps: dict[str, float] = {}

    def died(self, run_dir: Path, returncode: int, pid: int) -> bool:
        """A worker that we started has ended; as `settle`, with its exit code known. Call it again while it says False."""
        death = _Death(returncode, pid)
        if self._deaths.get(run_dir.name) != death:
            log.info("%s: worker ended with %d", run_dir.name, returncode)
            self._deaths[run_dir.name] = death
        return self.settle(run_dir)

    def settle(self, run_dir: Path) -> bool:
        """Record the end of a run whose worker is dead, unless it did so itself.

        Returns:
            False while processes that it left behind are being ended: its slot is not free yet.
        """
        name = run_dir.name
        pid = signed_pid(run_dir / "lease")  # taking the lease empties it
        try:
            with Lease(run_dir / "lease") as lease:
                if not lease.acquire():
                    return True
                if not self._swept(run_dir):
                    return False
                if held(run_dir / "lease-ranks"):  # by a process that is not proven to be what is left of this worker
                    return True
                death = self._deaths.get(name)
                status = decide(run_dir, held=False)
                if status.state == "crashed" and not status.recorded:
                    found = control.record_death(
                        run_dir, status, death.returncode if death else None, death.pid if death else pid
                    )
                    log.warning("%s: %s (%s)", name, found.reason, found.cause or "no cause known")
                    status = decide(run_dir, held=False)
                self._deaths.pop(name, None)
                self._queue_again(run_dir, status)
        except (EMError, OSError) as error:
            self._complain(name, f"its end could not be recorded: {error}")
        return True

    def again(self, run_dir: Path, status: RunStatus) -> bool:
        """Queue a run again by itself, if that is called for; whether it was."""
        if not may_resume_by_itself(run_dir, status):
            return False
        try:
            with Lease(run_dir / "lease") as lease:
                return lease.acquire() and self._queue_again(run_dir, decide(run_dir, held=False))
        except (EMError, OSError) as error:
            self._complain(run_dir.name, f"could not be queued again: {error}")
            return False

    def _queue_again(self, run_dir: Path, status: RunStatus) -> bool:
        if not may_resume_by_itself(run_dir, status):
            return False
        where = requeue(run_dir, f"resumed by itself after: {KNOWN[status.cause].title}", "automatic")
        log.info("%s: queued again by itself after %r, %s", run_dir.name, status.cause, where)
        wake(self._home)
        return True

    def _swept(self, run_dir: Path) -> bool:
        """End what the dead worker left behind (a child that holds the GPU, say); whether nothing is left."""
        name = run_dir.name
        left = processes.of_run(run_dir)
        if not left:
            self._sweeps.pop(name, None)
            return True
        now = time.monotonic()
        first = name not in self._sweeps
        waited = now - self._sweeps.setdefault(name, now)
        if waited >= GIVE_UP_S:
            self._complain(name, f"left processes that cannot be ended: {', '.join(str(p.pid) for p in left)}")
            self._sweeps.pop(name, None)
            return True
        number = signal.SIGKILL if waited >= LEAVE_S else signal.SIGTERM
        if first or number == signal.SIGKILL:
            reached = processes.send(left, number)
            log.info("%s: its worker left processes %s behind, sent %s", name, reached, number.name)
        return False
