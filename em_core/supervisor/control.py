"""What a person does with a run: stop, save now, resume, retry."""

from __future__ import annotations

import signal
from pathlib import Path

from em_core import evaluate_job, requests
from em_core.causes import Cause
from em_core.errors import Busy
from em_core.events import EventWriter
from em_core.home import Home
from em_core.lease import Lease, held, signed_pid
from em_core.records import Phase, RunState, State
from em_core.supervisor import failures, processes
from em_core.supervisor.evidence import RunStatus, decide, run_status, status_of
from em_core.supervisor.launch import Launched
from em_core.supervisor.requeue import requeue
from em_core.supervisor.start import ensure_running, launch_lock, wake


def stop(home: Home, run_id: str, discard: bool = False, *, now: bool = False) -> str:
    """Stop a run. A queued one is stopped at once; a running one saves a checkpoint first.

    Args:
        home: Where the run is.
        run_id: The run.
        discard: Don't save a checkpoint. A worker that has not ended after a minute is ended by the supervisor.
        now: As `discard`, and the supervisor waits a few seconds only.

    Returns:
        What happened, in a sentence.

    Raises:
        BadInput: There is no such run, or its folder cannot be written.
        Busy: It has ended already.
        WorkFailed: With `now`: the supervisor, who does it, could not be started.
    """
    run_dir, status = _find(home, run_id, "Stopping a run")
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
    requests.ask(run_dir, "discard" if discard or now else "stop")
    if now:
        requests.hurry(run_dir)
        ensure_running(home)
        wake(home)
        return f"{run_id}: stops now, without saving a checkpoint; a worker that does not react is ended"
    if status.kind != "train":
        return f"{run_id}: stops; what it has answered is kept" + ("" if discard else ", and judged first")
    how = "without saving a checkpoint" if discard else "saves a checkpoint first"
    return f"{run_id}: stops after the current step, {how}"


def save_now(home: Home, run_id: str) -> str:
    """Ask a running run for a checkpoint at its next step; it goes on, and does not evaluate it.

    Returns:
        What happens, in a sentence.

    Raises:
        BadInput: There is no such run, or its folder cannot be written.
        Busy: It is not training.
    """
    run_dir, status = _find(home, run_id, "Saving a checkpoint")
    if status.kind != "train":
        raise Busy(f"{run_id}: is an evaluation, it trains nothing", "what it has answered is kept whatever happens")
    if status.state == "queued" or status.final:
        raise Busy(f"{run_id}: is not running ({status.state})", "a checkpoint can be saved while it trains")
    if status.state == "stopping":
        raise Busy(f"{run_id}: is stopping", "stopping saves a checkpoint, unless it was told to discard")
    if status.phases.get("train") in ("finished", "stopped", "failed"):
        raise Busy(f"{run_id}: its training has ended, only answers or judgements are missing", "its last checkpoint is saved")
    requests.ask(run_dir, "save")
    return f"{run_id}: saves a checkpoint after the current step and goes on"


def resume(home: Home, run_id: str, *, start: bool = True) -> str:
    """Queue a run again that was stopped, failed or crashed; it goes on from its newest complete checkpoint.

    Args:
        home: Where the run is.
        run_id: The run.
        start: See that a supervisor runs.

    Returns:
        What happens, in a sentence, with the step that it goes on from.

    Raises:
        BadInput: There is no such run, or its folder cannot be written.
        Busy: It is queued, running or finished.
        WorkFailed: The disk is full, or no supervisor could be started.
    """
    run_dir, _ = _find(home, run_id, "Resuming a run")
    home.prepare()
    pid = signed_pid(run_dir / "lease")  # taking the lease empties it
    with Lease(run_dir / "lease") as lease:
        if not lease.acquire() or held(run_dir / "lease-ranks"):
            raise Busy(f"{run_id}: is running", f"`python -m em_core logs {run_id} --follow` shows it")
        status = decide(run_dir, held=False)
        if status.state == "queued":
            raise Busy(f"{run_id}: is queued already", "it starts when a slot is free")
        if status.state == "finished":
            again = f"`python -m em_core retry {run_id}` does it once more as a new run"
            raise Busy(f"{run_id}: has finished", again)
        if held(run_dir / evaluate_job.LEASE):
            raise Busy(f"{run_id}: is being evaluated", "resume it when that has ended; `python -m em_core runs` shows it")
        if not status.recorded:  # no supervisor saw it: nor has anybody ended what the dead worker left behind
            processes.send(processes.of_run(run_dir), signal.SIGKILL)
            record_death(run_dir, status, pid=pid)
        where = requeue(run_dir, "resumed by a person")
    wake(home)
    with launch_lock(home) as lock:
        lock.acquire(blocking=True, timeout_s=60)  # a supervisor that ends holds it, and may have looked before this
    if start:
        ensure_running(home)
    return f"{run_id}: queued again, {where}"


def retry(home: Home, run_id: str, *, smaller_batch: bool | None = None, start: bool = True) -> Launched:
    """Launch a run's spec once more, as a new run.

    Args:
        home: Where the run is.
        run_id: A run that has ended.
        smaller_batch: Halve the micro-batch and keep the effective batch; None = when it ran out of GPU memory.
        start: See that a supervisor runs.

    Returns:
        The new run.

    Raises:
        BadInput: There is no such run, its spec cannot be used any more, or its micro-batch is 1 already.
        Busy: It has not ended.
    """
    from em_core.supervisor.retry import retry as once_more

    run_dir, status = _find(home, run_id, "Launching a run")
    if not status.final:
        raise Busy(f"{run_id}: has not ended ({status.state})", f"`python -m em_core stop {run_id}` ends it")
    smaller = status.cause == "cuda_oom" if smaller_batch is None else smaller_batch
    return once_more(home, run_dir, smaller, start=start)


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


def record_death(run_dir: Path, status: RunStatus, returncode: int | None = None, pid: int | None = None) -> failures.Failure:
    """Write how a run ended whose worker is dead. As `end`: under the lease, for a status that is not recorded."""
    found = failures.classify(run_dir, status, returncode, pid)
    end(run_dir, status, "stopped" if found.cause == "user" else "crashed", found.reason, found.hint, found.cause)
    return found


def _find(home: Home, run_id: str, what: str) -> tuple[Path, RunStatus]:
    home.writable(what)
    return home.run_dir(run_id), status_of(home, run_id)
