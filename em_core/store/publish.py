"""Copy, append, rename: how new events reach the database that everybody reads.

    lock -> what is new? -> copy runs.duckdb -> append rows and offsets in one transaction
         -> CHECKPOINT, close, fsync -> rename over runs.duckdb -> fsync the folder

Readers are never blocked and never see half a publish; a crash at any instant leaves the last good
file, and because the byte offsets of the event files move in the same rename, every event is
ingested exactly once. Measured in docs/adr/0002-copy-append-rename.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from em_core.errors import Busy
from em_core.home import Home
from em_core.store import database
from em_core.store.append import Appender
from em_core.store.ingest import Work, discover, plan_work, read_ahead, read_batches

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishReport:
    """What one publish did.

    Args:
        n_events: Events appended.
        n_quarantined: Lines put aside.
        seconds: Wall time of the whole cycle.
        published: A new file was renamed into place.
        rebuilt: It was made anew from the events.
        kept: Where a damaged database was set aside, "" when there was none.
    """

    n_events: int
    n_quarantined: int
    seconds: float
    published: bool
    rebuilt: bool = False
    kept: str = ""


def publish(home: Home, *, wait: bool = True) -> PublishReport:
    """Bring ``runs.duckdb`` up to date with the event files.

    Nothing new publishes nothing. A damaged database, or one of another schema, is set aside and
    made anew from the events.

    Args:
        home: Whose runs.
        wait: Wait for another publisher to finish; otherwise raise.

    Raises:
        Busy: Another process publishes and `wait` is false.
        WorkFailed: Disk full or not writable; the published file is as it was.
        BadInput: The home folder cannot be used.
    """
    return _cycle(home, wait, anew=False)


def rebuild(home: Home, *, wait: bool = True) -> PublishReport:
    """Make ``runs.duckdb`` anew from the event files alone, and swap it in. Raises as `publish`."""
    return _cycle(home, wait, anew=True)


def remove_leftovers(home: Home) -> tuple[int, int]:
    """Remove what killed publishers left beside the database; returns how many files and bytes.

    Raises:
        Busy: Another process publishes: what is there may be its own.
        OSError: They cannot be removed.
    """
    live = home.database
    with _publish_lock(home, wait=False):
        left = database.temporaries(live)
        n_bytes = sum(path.stat().st_size for path in left)
        for path in left:
            path.unlink()
    return len(left), n_bytes


@contextlib.contextmanager
def _publish_lock(home: Home, wait: bool) -> Iterator[None]:
    home.prepare()
    descriptor = os.open(home.supervisor / "publish.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise Busy(f"{home.database}: another process is publishing", "try again in a few seconds") from None
        yield
    finally:
        os.close(descriptor)  # the lock goes with it


def _cycle(home: Home, wait: bool, anew: bool) -> PublishReport:
    home.writable("Publishing")
    started = time.perf_counter()
    live = home.database
    with database.failures_explained(live), _publish_lock(home, wait):
        database.remove_temporaries(live)
        marks = database.read_marks(live) if live.exists() else None
        damaged = live.exists() and marks is None
        fresh = anew or marks is None
        work = plan_work(home, discover(home), {} if fresh else marks or {})
        temporary = database.temporary_path(live)
        try:
            n_events, n_quarantined = _write(temporary, live, work, fresh, force=anew or damaged)
            published = temporary.exists()
            kept = database.set_aside(live) if damaged and published else None
            if kept is not None:
                log.warning("%s was damaged or of another version: made anew from the events, kept as %s", live, kept.name)
            if published:
                database.swap_in(temporary, live)
        finally:
            database.remove_temporaries(live)
    return PublishReport(
        n_events, n_quarantined, time.perf_counter() - started, published, published and fresh, str(kept) if kept else ""
    )


def _write(temporary: Path, live: Path, work: Work, fresh: bool, force: bool) -> tuple[int, int]:
    """Write the next version to `temporary`, unless nothing is new; returns (events, quarantined)."""
    batches = read_batches(work)
    first = next(batches, None)
    if first is None and not work.dropped_runs and not work.shrunk and not force:
        return 0, 0
    if not fresh:
        database.copy_file(live, temporary)
    connection = database.open_for_writing(temporary)
    collecting = gc.isenabled()
    gc.disable()  # millions of small objects, none of them cyclic: collections only cost time
    try:
        connection.execute("BEGIN TRANSACTION")
        if fresh:
            database.create_tables(connection)
        appender = Appender(connection, everything=fresh)
        appender.drop_runs(work.dropped_runs)
        for source, mark in work.shrunk:
            appender.shrunk(source, mark)
        n_events = 0
        if first is not None:
            for batch in chain([first], read_ahead(batches)):
                appender.add(batch)
                n_events += batch.n_events
        appender.finish()
        connection.execute("COMMIT")
        connection.execute("CHECKPOINT")
    finally:
        if collecting:
            gc.enable()
        connection.close()
    return n_events, appender.n_quarantined


class Publisher:
    """Publishes in good measure: when something is new, at most every 2 s, under 10 % of wall time.

    Call `poll` as often as you like (it only looks at file sizes until a publish is due), and
    `flush` at the end.

    Args:
        home: Whose runs.
        min_interval_s: Least time from one start to the next, seconds.
        max_duty: Largest share of wall time spent publishing, 0-1.
    """

    def __init__(self, home: Home, *, min_interval_s: float = 2.0, max_duty: float = 0.09) -> None:
        self._home = home
        self._interval_s = min_interval_s
        self._duty = max_duty
        self._next_at = 0.0
        self._seen: list[tuple[str, int]] | None = None

    @property
    def due_in_s(self) -> float:
        """Seconds until the next publish may start; 0 = now."""
        return max(0.0, self._next_at - time.monotonic())

    def poll(self) -> PublishReport | None:
        """Publish if it is due and some event file changed; None when nothing was tried.

        Raises:
            WorkFailed: As `publish`; the next call tries again after the pause.
        """
        if self.due_in_s > 0:
            return None
        sizes = [(source.key, source.size) for source in discover(self._home)]
        if sizes == self._seen and self._home.database.exists():
            return None
        started = time.monotonic()
        self._next_at = started + self._interval_s
        try:
            report = publish(self._home, wait=False)
            self._seen = sizes
        except Busy:
            return None
        finally:
            spent = time.monotonic() - started
            self._next_at = started + max(self._interval_s, spent / self._duty)
        return report

    def flush(self) -> PublishReport:
        """Publish whatever is new, now."""
        return publish(self._home)
