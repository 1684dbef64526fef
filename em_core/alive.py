"""Signs of life of a run at work: training and sampling say ``beat`` where they pass often.

    training, per micro-batch        alive.beat(run_dir)
    sampling, per decoded token      alive.beat()              the run that this process beat for last

A beat sets the time of the run's file ``alive``, at most every `BEAT_S` seconds, so it costs nothing
to say it often. The supervisor takes a run for hung when neither this, nor its events, nor its log,
nor what it reads and writes has moved for a long time (`em_core.supervisor.watch`).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

BEAT_S = 2.0
"""Least time between two writes, seconds."""
FILE = "alive"

_last_path = ""
_last_beat = float("-inf")


@contextlib.contextmanager
def beating(run_dir: Path) -> Iterator[None]:
    """Beat all the while: for waiting on what has time limits of its own (a judge's server that says "come back later")."""
    done = threading.Event()

    def go_on() -> None:
        while not done.wait(BEAT_S):
            beat(run_dir)

    beat(run_dir)
    thread = threading.Thread(target=go_on, name="beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def beat(run_dir: Path | None = None) -> None:
    """Say that the work goes on.

    Args:
        run_dir: The run's folder; None = the one that was named last in this process (nothing is said before one was).
    """
    global _last_path, _last_beat
    now = time.monotonic()
    if run_dir is not None:
        path = f"{run_dir}/{FILE}"
        if path != _last_path:
            _last_path, _last_beat = path, float("-inf")
    if not _last_path or now - _last_beat < BEAT_S:
        return
    _last_beat = now
    with contextlib.suppress(OSError):  # a full disk is noticed where something is lost
        try:
            os.utime(_last_path)
        except FileNotFoundError:
            os.close(os.open(_last_path, os.O_WRONLY | os.O_CREAT, 0o644))


def signs(run_dir: Path) -> dict[str, tuple[int, int]]:
    """Size and time (ns) of every file that grows while a run is at work: its beat, its log, its events, its start."""
    found = {}
    for path in (run_dir / FILE, run_dir / "worker.log", run_dir / "spawned"):
        with contextlib.suppress(OSError):
            stat = path.stat()
            found[path.name] = (stat.st_size, stat.st_mtime_ns)
    with contextlib.suppress(OSError), os.scandir(run_dir / "events") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                stat = entry.stat()
                found[entry.name] = (stat.st_size, stat.st_mtime_ns)
    return found


def quiet_s(run_dir: Path) -> float | None:
    """Seconds since the last sign of life, by the wall clock; None when there was none. For people: see `signs`."""
    newest = max((time_ns for _, time_ns in signs(run_dir).values()), default=None)
    return None if newest is None else max(0.0, time.time() - newest / 1e9)
