"""Queue a run again: by a person, or once by itself after an end that is likely to have passed.

Queueing is one event, written under the run's lease, so it happens once whoever else is looking. The
number of the attempt that is to come is in it; the worker goes on from the newest complete
checkpoint whose training state is complete too (`em_core.checkpoints.resume_point`).
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from em_core import evaluate_job, requests
from em_core.causes import KNOWN, Cause
from em_core.checkpoints import resume_point
from em_core.durable import sync
from em_core.events import EventWriter, next_attempt
from em_core.records import RunState
from em_core.supervisor.evidence import RunStatus, decide
from em_core.supervisor.tails import events_of

AUTO_RESUME = "EM_AUTO_RESUME"
"""``EM_AUTO_RESUME=0``: nothing is resumed by itself."""
WITHIN_S = 24 * 3600.0
"""Only an end that was recorded so long ago at most is followed by a resume nobody asked for, seconds."""

_QUEUED = re.compile(r"queued-([1-9][0-9]*)\.jsonl")


def requeue(run_dir: Path, reason: str, cause: Cause = "") -> str:
    """Write that the run is queued again. Call it with the run's lease held, when its end is recorded.

    Args:
        run_dir: The run.
        reason: Why, one sentence.
        cause: ``automatic`` when nobody asked.

    Returns:
        Where it goes on, in words.

    Raises:
        WorkFailed: The event could not be written.
    """
    attempt = max(next_attempt(run_dir), decide(run_dir, held=False).attempt + 1)  # the one that ended may never have spoken
    where = goes_on(run_dir)
    requests.done(run_dir)
    with EventWriter(run_dir, f"queued-{attempt}") as events:
        events.write(RunState("run", "queued", f"{reason}; {where}" if reason else where, "", attempt, cause), sync=True)
    sync(run_dir / "events")
    return where


def goes_on(run_dir: Path) -> str:
    """Where the next attempt begins: ``goes on from step 40``."""
    if evaluate_job.is_job(run_dir):
        return "goes on: only the answers that are missing are sampled"
    point = resume_point(run_dir)
    if point is not None:
        return f"goes on from step {point.step}"
    return "begins with step 1: there is no complete checkpoint with its training state; answers it has are kept"


def may_resume_by_itself(run_dir: Path, status: RunStatus, now: float | None = None) -> bool:
    """Whether a run that has ended should be queued again without being asked.

    It should when what ended it is likely to have passed, nobody asked for the end, it was recorded
    lately, and the run was not resumed by itself before since a person last queued it.
    """
    known = KNOWN.get(status.cause)
    if not (status.final and status.recorded and status.state != "finished" and known and known.passing):
        return False
    if os.environ.get(AUTO_RESUME, "").strip().lower() in ("0", "false", "no") or requests.end_asked(run_dir):
        return False
    ended, queued = 0.0, (0, "")
    for name, facts in events_of(run_dir).items():
        event = facts.states.get("run") or {}
        if found := _QUEUED.fullmatch(name):
            queued = max(queued, (int(found[1]), str(event.get("cause") or "")))
        elif event.get("state") == status.state and event.get("attempt") == status.attempt:
            ended = max(ended, float(event.get("t") or 0.0))
    return (now if now is not None else time.time()) - ended < WITHIN_S and queued[1] != "automatic"


def settled(run_dir: Path, status: RunStatus) -> bool:
    """Whether a run has ended for good, as far as nobody does anything: its end is recorded, and no resume is to come."""
    return status.final and status.recorded and not may_resume_by_itself(run_dir, status)
