"""Ask for the end of a run, and the order of the queue."""

from __future__ import annotations

from pathlib import Path

from em_core import requests
from em_core.causes import Cause
from em_core.errors import BadInput, Busy
from em_core.events import EventWriter
from em_core.home import Home
from em_core.lease import Lease
from em_core.records import Phase, RunState, State
from em_core.supervisor.evidence import RunStatus, decide, list_runs, run_status
from em_core.supervisor.start import wake


def stop(home: Home, run_id: str, discard: bool = False) -> str:
    """Stop a run. A queued one is stopped at once; a running one saves a checkpoint first.

    Args:
        home: Where the run is.
        run_id: The run.
        discard: Don't save a checkpoint.

    Returns:
        What happened, in a sentence.

    Raises:
        BadInput: There is no such run, or its folder cannot be written.
        Busy: It has ended already.
    """
    home.writable("Stopping a run")
    run_dir = home.run_dir(run_id)
    if not (run_dir / "spec.json").exists():
        raise BadInput(f"run {run_id!r} is unknown", "`python -m em_core runs` lists the ids")
    status = run_status(run_dir)
    if status.state == "queued":
        with Lease(run_dir / "lease") as lease:
            if lease.acquire():  # so that nobody starts it meanwhile
                status = decide(run_dir, held=False)
                if status.state == "queued":
                    end(run_dir, status, "stopped", "stopped before it began", cause="user")
                    wake(home)
                    return f"{run_id}: was queued, now stopped"
        status = run_status(run_dir)
    if status.final:
        raise Busy(f"{run_id}: has ended already ({status.state})", f"`python -m em_core show {run_id}` has the details")
    requests.ask(run_dir, "discard" if discard else "stop")
    how = "without saving a checkpoint" if discard else "saves a checkpoint first"
    return f"{run_id}: stops after the current step, {how}"


def queue(home: Home) -> list[RunStatus]:
    """The queued runs in the order in which they will be taken."""
    return [status for status in list_runs(home) if status.state == "queued"]


def end(run_dir: Path, status: RunStatus, state: State, reason: str, hint: str = "", cause: Cause = "") -> None:
    """Write the final state of a run that has no worker. Call it with the run's lease held, after
    `decide`: that is what makes it happen exactly once.

    Raises:
        WorkFailed: The event could not be written.
    """
    attempt = max(1, status.attempt)
    phases: list[Phase] = ["train", "evaluate", "judge"]
    records = [RunState(p, state, reason, hint, attempt, cause) for p in phases if status.phases.get(p) in ("running", state)]
    with EventWriter(run_dir, "supervisor") as events:
        events.write(*records, RunState("run", state, reason, hint, attempt, cause), sync=True)
