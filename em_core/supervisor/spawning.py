"""Start a worker so that its lease has no gap and nothing ties its life to ours."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from em_core import ranks, requests
from em_core.events import next_attempt
from em_core.home import PROJECT
from em_core.lease import FD_VARIABLE, Lease
from em_core.supervisor import control
from em_core.supervisor.evidence import decide
from em_core.supervisor.marks import PROOF_VARIABLE, write_spawn
from em_core.supervisor.slots import Seat


def spawn(run_dir: Path, seat: Seat, command: Sequence[str]) -> subprocess.Popen[bytes] | None:
    """Start the worker of a queued run.

    The lease is taken here and inherited by the worker, so the run is held from before the worker
    exists until it is dead. The mark in ``spawned`` is written first: if we are killed right after,
    the next supervisor sees one attempt without a word, and tries once more.

    Args:
        run_dir: The run.
        seat: What it works on; with several GPUs one process a GPU is started.
        command: The worker's command; the run's folder is appended.

    Returns:
        The process; None when somebody else got there first or the run is not queued any more.

    Raises:
        OSError: The mark or the log cannot be written, or the command cannot be run.
        EMError: The lease file cannot be opened.
    """
    lease = Lease(run_dir / "lease")
    if not lease.acquire():
        return None
    try:
        status = decide(run_dir, held=False)
        if status.state != "queued":
            return None
        if requests.end_asked(run_dir):
            control.end(run_dir, status, "stopped", "stopped before it began", cause="user")
            return None
        attempt = next_attempt(run_dir)
        mark = write_spawn(run_dir, attempt, seat.name, seat.gpu_gib)
        ours = {"PYTHONUNBUFFERED": "1", FD_VARIABLE: str(lease.fileno()), PROOF_VARIABLE: mark["token"]}
        environment = {**os.environ, **seat.environment(), **ours}
        with (run_dir / "worker.log").open("ab") as out:
            return subprocess.Popen(
                [*ranks.command(command, max(1, seat.n_gpus)), str(run_dir)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=PROJECT,
                env=environment,
                pass_fds=(lease.fileno(),),
                start_new_session=True,
            )
    except BaseException:
        lease.release()
        raise
    finally:
        lease.close_copy()  # not `release`: that would unlock it for the worker too
