"""What is going on right now, from the runs' own files: phases, losses, pace, time left. No database."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from em_core import evaluate_job, schedule
from em_core.checkpoints import RESUME, complete_checkpoints, read_complete
from em_core.errors import EMError
from em_core.home import Home
from em_core.spec import RunSpec
from em_core.supervisor.evidence import RunStatus, list_runs
from em_core.supervisor.live_reading import Attempt, Reading
from em_core.supervisor.phases import Counts, Phase, phases_of, time_left, without_times
from em_core.view.live_words import QUIET_S


@dataclass(frozen=True, slots=True)
class LiveRun:
    """One run at work.

    Args:
        status: Its state, step and total steps.
        phases: Load, train, sample, judge.
        losses: ``(step, loss)``, ascending steps; what a resumed run repeats stands once.
        tokens_per_s: Training throughput over the last steps, real tokens; None before.
        gpu_mem_gib: Most GPU memory that a step allocated, GiB; None without a GPU.
        attempts: Every worker's turn, oldest first.
        started_t: When the newest one began, seconds since 1970; None before.
        eta_s: Seconds left, from the measured pace of steps, answers and judgements; None while unknown.
    """

    status: RunStatus
    phases: tuple[Phase, ...] = ()
    losses: tuple[tuple[int, float], ...] = ()
    tokens_per_s: float | None = None
    gpu_mem_gib: float | None = None
    attempts: tuple[Attempt, ...] = ()
    started_t: float | None = None
    eta_s: float | None = None


@dataclass(slots=True)
class _Watched:
    """What is remembered of a run at work."""

    reading: Reading = field(default_factory=Reading)
    shared: Reading = field(default_factory=Reading)
    mine: Reading = field(default_factory=Reading)  # what this attempt samples of the shared answers
    shared_by: tuple[str, int] = ("", 0)  # whose these two are: the shared run and the attempt
    scheduled: tuple[int, frozenset[int] | None] | None = None  # of how many rows
    losses: tuple[tuple[int, float], ...] = ()


_watched: dict[str, _Watched] = {}
_lock = threading.Lock()


def active_runs(home: Home, statuses: Sequence[RunStatus] | None = None) -> list[LiveRun]:
    """Runs with a worker, oldest first.

    Args:
        home: The home.
        statuses: Of its runs, where the caller has looked already.
    """
    statuses = list_runs(home) if statuses is None else statuses
    with _lock:
        found = [_live(home, status) for status in statuses if status.active]
        wanted = {str(home.runs / run.status.run_id) for run in found}
        for path in [p for p in _watched if p.startswith(f"{home.runs}{os.sep}") and p not in wanted]:
            del _watched[path]
    return found


def resume_step(run_dir: Path) -> int:
    """The step that a resumed run would go on from; 0 = it begins anew.

    Sizes are compared, not digests, so that a page is quick; `em_core.checkpoints.resume_point` has the last word.
    """
    for found in reversed(complete_checkpoints(run_dir)):
        if read_complete(run_dir / RESUME / found.path.name) is not None:
            return found.step
    return 0


def _live(home: Home, status: RunStatus) -> LiveRun:
    run_dir, now = home.runs / status.run_id, time.time()
    watched = _watched.setdefault(str(run_dir), _Watched())
    reading = watched.reading.read(run_dir / "events", "worker-*.jsonl")
    if status.kind == evaluate_job.KIND:
        _read_evaluation(home, run_dir, reading)
    phases = phases_of(reading, dict(status.phases), _counts(home, run_dir, watched), now)
    if (status.quiet_s or 0.0) >= QUIET_S:  # what was measured is not its pace any more
        phases = without_times(phases)
    if len(watched.losses) != len(reading.losses) or watched.losses[-1:] != tuple(reading.losses[-1:]):
        watched.losses = tuple(reading.losses)
    return LiveRun(
        status,
        phases,
        watched.losses,
        statistics.median(reading.tokens_per_s) if reading.tokens_per_s else None,
        reading.gpu_mem_gib,
        tuple(reading.attempts),
        reading.attempts[-1].started_t if reading.attempts else None,
        time_left(phases) if status.state == "running" else None,
    )


def _read_evaluation(home: Home, run_dir: Path, reading: Reading) -> None:
    """An evaluation's answers stand in the folders of others, and only those that were missing are given."""
    own = reading.facts, reading.facts_t
    for path in evaluate_job.answer_files(home, run_dir):
        reading.read(path.parent, path.name)
    reading.facts, reading.facts_t = own  # those of the other run may stand there too
    with contextlib.suppress(EMError):
        n_answers = evaluate_job.read_job(run_dir).n_answers
        if reading.facts:
            reading.facts |= {"n_answers_planned": n_answers, "n_checkpoints": 1, "n_rows": None, "baseline_run_id": ""}


def _counts(home: Home, run_dir: Path, watched: _Watched) -> Counts:
    """Which answers are planned, and those of the starting model, which runs share."""
    facts = watched.reading.facts
    n_rows, attempt = facts.get("n_rows"), watched.reading.attempts[-1].number if watched.reading.attempts else 0
    if isinstance(n_rows, int) and (watched.scheduled is None or watched.scheduled[0] != n_rows):
        watched.scheduled = (n_rows, _schedule(run_dir, n_rows))
    shared_by = (str(facts.get("baseline_run_id") or ""), attempt)
    if shared_by != watched.shared_by:
        watched.shared, watched.mine, watched.shared_by = Reading(), Reading(), shared_by
    scheduled = watched.scheduled[1] if watched.scheduled else None
    if not shared_by[0]:
        return Counts(scheduled)
    try:
        folder = home.run_dir(shared_by[0]) / "events"
    except EMError:  # not a name of ours: damaged facts
        return Counts(scheduled)
    mine = watched.mine.read(folder, f"from-{run_dir.name}-{attempt}.jsonl")
    return Counts(scheduled, watched.shared.read(folder, "*.jsonl"), mine)


def _schedule(run_dir: Path, n_rows: int) -> frozenset[int] | None:
    try:
        spec = RunSpec.model_validate(json.loads((run_dir / "spec.json").read_text())["spec"])
        return frozenset(schedule.checkpoint_steps(n_rows, spec.train, spec.checkpoints))
    except (OSError, ValueError, KeyError, TypeError, EMError):
        return None
