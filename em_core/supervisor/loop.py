"""One turn after another: see who ended, give free slots to queued runs, publish what is new.

The supervisor keeps nothing that cannot be read again from the runs' folders, so it can be killed
at any instant; the next one goes on. Workers live in sessions of their own and never notice.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from em_core.errors import EMError
from em_core.home import Home
from em_core.lease import Lease
from em_core.supervisor import notify
from em_core.supervisor.evidence import RunStatus, queue_key, run_names, run_status
from em_core.supervisor.filling import Filling
from em_core.supervisor.launch import remove_leftovers
from em_core.supervisor.settling import Settling
from em_core.supervisor.slots import Seat, Slot
from em_core.supervisor.start import launch_lock, woken_ns
from em_core.supervisor.watch import Patience, Watch

log = logging.getLogger("em_core.supervisor")

IDLE_S = 600.0
POLL_S = 0.25
SHARE = 0.2
"""Of one processor, what turns may take at most: with a thousand queued runs one takes an eighth of a second."""
MAX_POLL_S = 2.0
LOOK_AT_ALL_S = 10.0
MAX_BACKOFF_S = 60.0
PUBLISH_POLL_S = 1.0


class Publishes(Protocol):
    """What the loop needs of `em_core.store.publish.Publisher`."""

    def poll(self) -> Any:
        """Publish when something is new and it is time; a report (with ``published``), or None."""
        ...

    def flush(self) -> Any:
        """Publish whatever is new, now."""
        ...


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    seat: Seat


class Supervisor:
    """Works on the runs of one home. Its caller holds the home's supervisor lease.

    Args:
        home: The home.
        publisher: Copies new events into the database.
        worker_command: How to start a worker; the run's folder is appended.
        idle_s: Ends after this many seconds without anything to do.
        slots: Where runs are worked on; None = what the machine has.
        poll_s: Seconds between turns.
        patience: How long a silent worker is waited for; None = as the environment says.
    """

    def __init__(
        self,
        home: Home,
        publisher: Publishes,
        *,
        worker_command: Sequence[str] = (sys.executable, "-m", "em_core.worker"),
        idle_s: float = IDLE_S,
        slots: Sequence[Slot] | None = None,
        poll_s: float = POLL_S,
        patience: Patience | None = None,
    ) -> None:
        self.home = home
        self.stopping = False
        self._publisher = publisher
        self._idle_s, self._poll_s = idle_s, poll_s
        self._children: dict[str, _Child] = {}
        self._open: set[str] = set()  # runs whose end is not recorded yet
        self._known: set[str] = set()
        self._last_look = float("-inf")
        self._last_wake = 0
        self._busy_t = time.monotonic()
        self._publish_again_t, self._backoff_s = 0.0, 0.0
        self._complaints: dict[str, str] = {}
        self._filling = Filling(home, worker_command, self._complain, slots)
        self._settling = Settling(home, self._complain)
        self._watch = Watch(home, patience or Patience.from_environment(), self._complain)

    def run(self, lease: Lease) -> None:
        """Turn until idle or told to end (`stopping`); releases `lease` in the end."""
        log.info("started, pid %d, slots: %s", os.getpid(), ", ".join(slot.name for slot in self._filling.slots))
        with launch_lock(self.home) as lock:
            if lock.acquire() and (n := remove_leftovers(self.home)):
                log.info("removed %d half-made run folders", n)
        while not self.stopping:
            begun = time.thread_time()
            if self.turn():
                self._busy_t = time.monotonic()
            elif time.monotonic() - self._busy_t >= self._idle_s and self._end(lease):
                return
            time.sleep(max(self._poll_s, min(MAX_POLL_S, (time.thread_time() - begun) / SHARE)))
        self._publish(force=True)
        notify.finish(self.home)
        lease.release()
        log.info("told to end; runs go on")

    def turn(self) -> bool:
        """One turn; whether there was or is anything to do."""
        self._reap()
        active, queued = self._look()
        self._watch.turn(active)
        self._fill_slots(active, queued)
        published = self._publish()
        return bool(active or queued or self._children or published)

    def _end(self, lease: Lease) -> bool:
        """End for good, unless a run was launched at this very moment."""
        self._publish(force=True)
        notify.finish(self.home)
        with launch_lock(self.home) as lock:
            if not lock.acquire():
                return False  # somebody is launching
            self._last_look = float("-inf")
            active, queued = self._look()
            if active or queued:
                return False
            lease.release()  # before the lock: the next launch finds nobody here, and starts a supervisor
        log.info("nothing to do for %.0f s, ended", self._idle_s)
        return True

    def _reap(self) -> None:
        for run_id, child in list(self._children.items()):
            if (returncode := child.process.poll()) is None:
                continue
            if self._settling.died(self.home.runs / run_id, returncode, child.process.pid):
                del self._children[run_id]  # and its slot is free
            self._open.add(run_id)

    def _look(self) -> tuple[list[RunStatus], list[RunStatus]]:
        """Runs with a worker, and queued ones in order. Ended runs are looked at again only now and then."""
        names = set(run_names(self.home))
        self._open |= names - self._known
        self._known = names
        woken = woken_ns(self.home)
        if woken != self._last_wake or time.monotonic() - self._last_look > LOOK_AT_ALL_S:
            self._last_look, self._last_wake = time.monotonic(), woken
            self._open |= names
        active, queued = [], []
        for name in sorted(self._open & names):
            try:
                status = run_status(self.home.runs / name)
            except OSError as error:
                self._complain(name, f"not readable ({error.strerror})")
                continue
            if status.state == "crashed" and not status.recorded:
                if name not in self._children:  # else it is reaped next, and its exit code known
                    self._settling.settle(self.home.runs / name)
            elif status.final:
                if not self._settling.again(self.home.runs / name, status):
                    self._open.discard(name)
                    notify.ended(self.home, status)
            elif status.active:
                active.append(status)
            else:
                queued.append(status)
        self._open &= names
        return active, sorted(queued, key=queue_key)

    def _fill_slots(self, active: Sequence[RunStatus], queued: Sequence[RunStatus]) -> None:
        seats = {run_id: child.seat for run_id, child in self._children.items()}
        for started in self._filling.fill(active, queued, seats):
            self._children[started.run_id] = _Child(started.process, started.seat)

    def _publish(self, *, force: bool = False) -> bool:
        """One tick of the publisher; whatever goes wrong there never ends the loop. Whether it published."""
        if time.monotonic() < self._publish_again_t and not force:
            return False
        try:
            report = self._publisher.flush() if force else self._publisher.poll()
        except Exception as error:  # a full disk, a damaged database: runs go on, it is tried again
            self._backoff_s = min(MAX_BACKOFF_S, max(2.0, 2 * self._backoff_s))
            self._publish_again_t = time.monotonic() + self._backoff_s
            self._complain("publishing", str(error), exc_info=not isinstance(error, (EMError, OSError)))
            return False
        self._publish_again_t = time.monotonic() + PUBLISH_POLL_S
        if report is None:
            return False
        if self._backoff_s:
            log.info("publishing works again")
            self._backoff_s = 0.0
            self._complaints.pop("publishing", None)
        return bool(report.published)

    def _complain(self, about: str, message: str, exc_info: bool = False) -> None:
        """Log a problem once, not at every turn."""
        if self._complaints.get(about) != message:
            self._complaints[about] = message
            log.error("%s: %s", about, message, exc_info=exc_info)
