"""The order of the queue as people want it: priorities, places, and whether it is paused.

One small file, ``runs/.supervisor/queue.json``, replaced whole; changes are serialised by a lock, reading needs
none. Without it runs are taken in the order of their launch. What it says of runs that are not queued
(any more) does no harm: a run that is queued again keeps its priority and, by the time of its
launch, its place before younger ones.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from em_core.durable import sync
from em_core.errors import BadInput, Busy
from em_core.home import Home
from em_core.lease import Lease
from em_core.supervisor.evidence import RunStatus, list_runs
from em_core.supervisor.json_files import JsonFiles
from em_core.supervisor.start import wake

MAX_PRIORITY = 1000
_LOCK_S = 10.0
_APART = 1e-6
"""Seconds between two places: small against the time between launches, and more than a float loses."""


@dataclass(frozen=True)
class QueueOrder:
    """What people said about the queue.

    Args:
        paused: Nothing starts; what runs goes on.
        paused_t: Since when, seconds since 1970; 0 when it is not paused.
        priorities: By run; a higher one is taken first, 0 where nothing is said.
        places: By run that was moved: a time, as if it had been launched then.
    """

    paused: bool = False
    paused_t: float = 0.0
    priorities: dict[str, int] = field(default_factory=dict)
    places: dict[str, float] = field(default_factory=dict)

    def priority(self, run_id: str) -> int:
        """The run's priority, 0 unless one was set."""
        return self.priorities.get(run_id, 0)

    def key(self, status: RunStatus) -> tuple[int, float, int, str]:
        """Sorts queued runs into the order in which they are taken."""
        run_id = status.run_id
        return (-self.priority(run_id), self.places.get(run_id, status.created_t), status.order, run_id)

    def queued(self, statuses: Sequence[RunStatus]) -> list[RunStatus]:
        """The queued runs among these, in the order in which they are taken."""
        return sorted((status for status in statuses if status.state == "queued"), key=self.key)


def read(home: Home) -> QueueOrder:
    """The order as it is now; the plain one when nothing was said or the file cannot be read."""
    return _orders.of(_path(home)) or QueueOrder()


def set_paused(home: Home, paused: bool) -> str:
    """Pause the queue, or let it go on; returns what is so now, in a sentence.

    Raises:
        BadInput: The home cannot be written.
        Busy: Somebody else changes the queue for seconds on end.
    """
    with _changing(home) as (order, write):
        if paused != order.paused:
            write(replace(order, paused=paused, paused_t=time.time() if paused else 0.0))
    return "the queue is paused: nothing starts, what runs goes on" if paused else "the queue goes on"


def set_priority(home: Home, run_id: str, priority: int) -> str:
    """Take a run before (above 0) or after (below 0) those of other priority; returns what is so now.

    Raises:
        BadInput: There is no such queued run, or the number is out of bounds.
        Busy: Somebody else changes the queue for seconds on end.
    """
    if not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        raise BadInput(f"priority {priority}: out of bounds", f"use a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}")
    with _changing(home) as (order, write):
        queue = _with(home, order, run_id)
        changed = replace(order, priorities={**order.priorities, run_id: priority})
        write(changed)
    place = 1 + [status.run_id for status in changed.queued(queue)].index(run_id)
    return f"{run_id}: priority {priority}, place {place} of {len(queue)}"


def move(home: Home, run_id: str, place: int) -> str:
    """Put a queued run at a place, 1 = the next one; where priorities stand against it, its own is adapted.

    Args:
        home: The home.
        run_id: The run.
        place: Its new place from 1; a number beyond the end means the end.

    Returns:
        What is so now, in a sentence.

    Raises:
        BadInput: There is no such queued run, or the place is below 1.
        Busy: Somebody else changes the queue for seconds on end.
    """
    if place < 1:
        raise BadInput(f"place {place}: there is none before the first", "use a whole number from 1")
    with _changing(home) as (order, write):
        queue = _with(home, order, run_id)
        [moved] = (status for status in queue if status.run_id == run_id)
        others = [status for status in queue if status.run_id != run_id]
        at = min(place, len(queue)) - 1
        own = order.priority(run_id)
        if at > 0:
            own = min(own, order.priority(others[at - 1].run_id))
        if at < len(others):
            own = max(own, order.priority(others[at].run_id))
        wanted = [*others[:at], moved, *others[at:]]
        priorities = {**order.priorities, run_id: own} if own != order.priority(run_id) else order.priorities
        same = [status for status in wanted if priorities.get(status.run_id, 0) == own]
        write(replace(order, priorities=priorities, places={**order.places, **_spread(order, same)}))
    note = f", priority {own} now" if own != order.priority(run_id) else ""
    return f"{run_id}: place {at + 1} of {len(queue)}{note}"


def queue(home: Home) -> list[RunStatus]:
    """The queued runs in the order in which they will be taken."""
    return read(home).queued(list_runs(home))


def _spread(order: QueueOrder, wanted: Sequence[RunStatus]) -> dict[str, float]:
    """Ascending places for these runs, as near to the times that they have as can be, so that later launches come later."""
    places: dict[str, float] = {}
    last = -math.inf
    for status, t in zip(wanted, sorted(order.places.get(s.run_id, s.created_t) for s in wanted), strict=True):
        last = places[status.run_id] = max(t, last + _APART)
    return places


def _with(home: Home, order: QueueOrder, run_id: str) -> list[RunStatus]:
    queue = order.queued(list_runs(home))
    if all(status.run_id != run_id for status in queue):
        raise BadInput(f"run {run_id!r} is not queued", "`python -m em_core queue` lists the runs that are")
    return queue


@contextmanager
def _changing(home: Home) -> Iterator[tuple[QueueOrder, Any]]:
    """The order, and how to write a new one; nobody else changes it meanwhile."""
    home.writable("Changing the queue")
    home.prepare()
    with Lease(home.supervisor / "queue.lock") as lock:
        if not lock.acquire(blocking=True, timeout_s=_LOCK_S):
            raise Busy("somebody else is changing the queue", "try again")
        yield read(home), lambda order: _write(home, order)
    wake(home)


def _write(home: Home, order: QueueOrder) -> None:
    """Replace the file; entries of runs that are gone are left out."""
    there = {name for name in {*order.priorities, *order.places} if (home.runs / name).is_dir()}
    content = {
        "paused": order.paused,
        "paused_t": order.paused_t,
        "priorities": {run: n for run, n in sorted(order.priorities.items()) if run in there and n},
        "places": {run: t for run, t in sorted(order.places.items()) if run in there},
    }
    path = _path(home)
    temporary = path.with_name(f".queue.{os.getpid()}.json")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BadInput(f"{path}: cannot be written ({error.strerror}); the queue is as it was", "free disk space") from error


def _path(home: Home) -> Path:
    return home.supervisor / "queue.json"


def _parse(content: Any) -> QueueOrder:
    """Whatever is well-formed in it."""
    if not isinstance(content, dict):
        return QueueOrder()
    priorities, places = content.get("priorities"), content.get("places")
    return QueueOrder(
        content.get("paused") is True,
        float(content["paused_t"]) if _is_time(content.get("paused_t")) else 0.0,
        {str(run): n for run, n in priorities.items() if type(n) is int} if isinstance(priorities, dict) else {},
        {str(run): float(t) for run, t in places.items() if _is_time(t)} if isinstance(places, dict) else {},
    )


_orders = JsonFiles(_parse)


def _is_time(value: object) -> bool:
    """Seconds since 1970 that a calendar has."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e11
