"""Marks that the supervisor leaves in a run's folder.

``spawned``   one JSON line before each start of a worker: when, which attempt, where, and what is needed
              later to say how it died (boot, the kernel's counters, the log's length) and to tell its
              processes from others (a token that only they have in their environment)
``ending``    why the supervisor is about to end the worker, written before it sends a signal
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

from em_core.lease import boot_id
from em_core.supervisor import kernel

PROOF_VARIABLE = "EM_WORKER_PROOF"
"""Environment variable of a worker and of every process that it starts."""


def write_spawn(run_dir: Path, attempt: int, slot: str, gpu_gib: float | None = None) -> dict[str, Any]:
    """Leave the mark of a start that is about to happen, and return it.

    Args:
        run_dir: The run.
        attempt: Its attempt, from 1.
        slot: Name of what it works on (`em_core.supervisor.slots.Seat.name`).
        gpu_gib: Its budget on a GPU that it shares, GiB; None = it has what it works on alone.

    Raises:
        OSError: It could not be written.
    """
    mark: dict[str, Any] = {
        "t": time.time(),
        "attempt": attempt,
        "slot": slot,
        "gpu_gib": gpu_gib,
        "supervisor_pid": os.getpid(),
        "token": uuid.uuid4().hex,
        "boot_id": boot_id(),
        "uptime_s": time.monotonic(),
        "oom_kills": kernel.oom_kills(),
        "log_bytes": _size(run_dir / "worker.log"),
    }
    with (run_dir / "spawned").open("ab") as file:
        start = b"\n" if file.tell() else b""  # closes a torn line
        file.write(start + json.dumps(mark).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return mark


def read_spawns(run_dir: Path) -> list[dict[str, Any]]:
    """The marks of all starts, oldest first."""
    try:
        lines = (run_dir / "spawned").read_bytes().splitlines()
    except OSError:
        return []
    marks = []
    for line in lines:
        try:
            mark = json.loads(line)
        except ValueError:
            continue  # torn: no worker was started after it
        if isinstance(mark, dict) and isinstance(mark.get("attempt"), int):
            marks.append(mark)
    return marks


def last_spawn(run_dir: Path) -> dict[str, Any]:
    """The mark of the newest start; empty when a worker was never started by a supervisor."""
    marks = read_spawns(run_dir)
    return marks[-1] if marks else {}


def write_ending(run_dir: Path, attempt: int, cause: str, reason: str) -> None:
    """Say why the worker of this attempt is about to be ended.

    Raises:
        OSError: It could not be written; then nothing may be ended.
    """
    path = run_dir / "ending"
    temporary = path.with_name(f".ending.{os.getpid()}")
    temporary.write_text(json.dumps({"attempt": attempt, "cause": cause, "reason": reason, "t": time.time()}) + "\n")
    os.replace(temporary, path)


def read_ending(run_dir: Path, attempt: int) -> tuple[str, str] | None:
    """Cause and reason, when the worker of this attempt was ended by the supervisor."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        mark = json.loads((run_dir / "ending").read_bytes())
        if mark["attempt"] == attempt:
            return str(mark["cause"]), str(mark["reason"])
    return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
