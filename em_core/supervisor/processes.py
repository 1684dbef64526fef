"""A run's processes, proven to be its own before a signal is sent.

Proof is the token in a process's environment, made up when the worker was started and inherited by
everything that it starts (`marks.write_spawn`); or, for a worker started by hand, its name in the lease
file with its start time and boot. A pid alone is never believed, and a signal goes through a descriptor
of the very process that was looked at.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterable
from pathlib import Path

import psutil

from em_core.lease import boot_id, holder_pid
from em_core.supervisor.marks import PROOF_VARIABLE, last_spawn


def of_run(run_dir: Path) -> list[psutil.Process]:
    """Living processes of a run: those of its last start, and whoever is proven to hold its lease."""
    found: dict[int, psutil.Process] = {}
    mark = last_spawn(run_dir)
    token = mark.get("token")
    if token and mark.get("boot_id") == boot_id():
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):  # gone meanwhile, or another user's
                if process.environ().get(PROOF_VARIABLE) == token and process.status() != psutil.STATUS_ZOMBIE:
                    found[process.pid] = process
    with contextlib.suppress(psutil.Error):
        if (pid := holder_pid(run_dir / "lease")) is not None:
            found.setdefault(pid, psutil.Process(pid))
    found.pop(os.getpid(), None)
    return list(found.values())


def send(processes: Iterable[psutil.Process], number: signal.Signals) -> list[int]:
    """Send a signal to each that is still the process that was looked at; returns their pids."""
    return [process.pid for process in processes if _send(process, number)]


def _send(process: psutil.Process, number: signal.Signals) -> bool:
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError) as error:
        if isinstance(error, ProcessLookupError):
            return False
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)  # a system without such descriptors: start times are compared right before
            return True
        return False
    try:
        if process.is_running():  # same pid and same start time: the descriptor is this process
            signal.pidfd_send_signal(descriptor, number)
            return True
    except (OSError, psutil.Error):
        pass
    finally:
        os.close(descriptor)
    return False


def catching(processes: Iterable[psutil.Process], number: signal.Signals) -> list[psutil.Process]:
    """Those that have a handler for a signal, so that it does not end them."""
    return [process for process in processes if _caught(process.pid) & (1 << (number - 1))]


def _caught(pid: int) -> int:
    try:
        found = re.search(r"^SigCgt:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1], 16) if found else 0


def moved_bytes(processes: Iterable[psutil.Process]) -> int:
    """Bytes that these processes have read and written in their lives: a long download or a slow disk is no hang."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error, AttributeError, NotImplementedError):
            io = process.io_counters()
            total += io.read_chars + io.write_chars + io.read_bytes
    return total
