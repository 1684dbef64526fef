"""Append-only event files: the truth of every run.

One writer per file (``runs/<run_id>/events/<writer>.jsonl``), one JSON object per line. A line is
written with a single ``write`` to a descriptor opened for appending, so a killed process leaves at
most one torn last line, which readers leave alone and the store quarantines once it is superseded.
"""

from __future__ import annotations

import errno
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from em_core.errors import WorkFailed
from em_core.home import Home
from em_core.records import Record

_STAGE = {"queued": 0, "running": 1}


def _clean(value: Any) -> Any:
    """Lone surrogates, which are not valid UTF-8, become U+FFFD; NaN and infinity become null."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8") if not value.isascii() else value
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


class EventWriter:
    """Appends records to one event file; safe to share between threads.

    Args:
        run_dir: The run's folder; its ``events/`` is created when missing.
        writer: Name of this writer (``worker-1``), unique within the run.

    Raises:
        Refused: This is a read-only demonstration.
        WorkFailed: The file or a record could not be written (disk full, no permission). The torn part of a
            failed write is closed with a newline before the next one, so that it spoils no other line.
    """

    def __init__(self, run_dir: Path, writer: str) -> None:
        Home(run_dir).writable("Writing events")
        folder = run_dir / "events"
        self.path = folder / f"{writer}.jsonl"
        self._lock = threading.Lock()
        self._synced = True
        with self._failures():
            folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            self._torn = self._ends_torn()

    def _ends_torn(self) -> bool:
        size = self.path.stat().st_size
        if size == 0:
            return False
        with self.path.open("rb") as file:
            file.seek(size - 1)
            return file.read(1) != b"\n"

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise WorkFailed(
                f"{self.path}: event not written ({error.strerror})",
                "free disk space, then `resume` it" if full else "make the run's folder writable, then `resume` it",
                "disk_full" if full else "",
            ) from error

    def write(self, *records: Record, sync: bool = False, t: float | None = None) -> None:
        """Append records.

        Args:
            records: What happened.
            sync: Return when the disk has them, not only the operating system.
            t: When it happened, seconds since 1970; None = now.
        """
        t = time.time() if t is None else t
        lines = []
        for record in records:
            body = {name: _clean(value) for name, value in record.as_event().items()}
            lines.append(json.dumps({"kind": body.pop("kind"), "t": t, **body}, ensure_ascii=False, allow_nan=False))
        data = ("\n".join(lines) + "\n").encode()
        with self._lock, self._failures():
            if self._torn:
                data = b"\n" + data
            self._torn, self._synced = True, False
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            self._torn = False
            if sync:
                os.fsync(self._fd)
                self._synced = True

    def close(self) -> None:
        """Flush to disk and close."""
        with self._lock, self._failures():
            if self._fd >= 0:
                fd, self._fd = self._fd, -1
                try:
                    if not self._synced:
                        os.fsync(fd)
                finally:
                    os.close(fd)

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def by_attempt(event: Mapping[str, Any]) -> tuple[int, int, float]:
    """Sort key of events that name their attempt: attempts follow each other, and in each one queued, running and the end;
    the clock, which may be set back, comes last."""
    attempt, t = event.get("attempt"), event.get("t")
    stage = _STAGE.get(str(event.get("state")), 2)
    return attempt if isinstance(attempt, int) else 0, stage, t if isinstance(t, (int, float)) else 0.0


def event_files(run_dir: Path) -> list[Path]:
    """The run's event files, by name."""
    return sorted((run_dir / "events").glob("*.jsonl"))


def next_attempt(run_dir: Path) -> int:
    """Number of the attempt that a worker of this run would be, from 1.

    Each attempt has an event file of its own, ``worker-<n>``; queueing a run again is written into
    ``queued-<n>``, with the number of the attempt that is to come.
    """
    numbers = [re.fullmatch(r"(worker|queued)-([1-9][0-9]*)", path.stem) for path in event_files(run_dir)]
    return max((int(n[2]) + (n[1] == "worker") for n in numbers if n), default=1)


def read_events(run_dir: Path, *kinds: str) -> Iterator[dict[str, Any]]:
    """Every whole, well-formed event of a run (of the given kinds), file by file in order.

    Damaged lines are skipped here; the store records them in its quarantine table.
    """
    for path in event_files(run_dir):
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                if kinds and not any(f'"kind": "{kind}"'.encode() in line[:64] for kind in kinds):
                    continue
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, dict) and (not kinds or event.get("kind") in kinds):
                    yield event
