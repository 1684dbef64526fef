"""What is going on right now, from the runs' own event files: progress, losses, time left, log tail. No database."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from em_core.home import Home
from em_core.supervisor.evidence import RunStatus, list_runs
from em_core.supervisor.logs import log_tail

N_LOSSES = 2_000
_BLOCK = 1 << 22
_RECENT = 64


@dataclass(frozen=True, slots=True)
class LiveRun:
    """One active or queued run.

    Args:
        status: Its state, step and total steps.
        position: Place in the queue from 1; None when it is running.
        n_answers: Answers sampled so far, the run's own (a shared step 0 is counted where it is kept).
        n_answers_planned: Answers in all; None before the model is loaded.
        n_judged: Answers that a judge has said something of, summed over judges.
        n_to_judge: The same in all; None before the model is loaded.
        judged_per_s: Judged answers per second over the last `_RECENT`; None before there are two.
        losses: ``(step, loss)``, newest last, at most `N_LOSSES`.
        tokens_per_s: Training throughput at the last step; None before.
        started_t: When the worker began, seconds since 1970; None before.
        eta_s: Seconds left, from the pace of steps and answers so far; None while unknown.
        log: The worker log's last lines, inert text.
    """

    status: RunStatus
    position: int | None = None
    n_answers: int = 0
    n_answers_planned: int | None = None
    n_judged: int = 0
    n_to_judge: int | None = None
    judged_per_s: float | None = None
    losses: tuple[tuple[int, float], ...] = ()
    tokens_per_s: float | None = None
    started_t: float | None = None
    eta_s: float | None = None
    log: str = ""

    @property
    def progress(self) -> float:
        """Share of the work done, 0-1: the mean of steps and answers, where known."""
        parts = [
            done / planned
            for done, planned in ((self.status.step or 0, self.status.total_steps), (self.n_answers, self.n_answers_planned))
            if planned
        ]
        return min(1.0, sum(parts) / len(parts)) if parts else 0.0


@dataclass(slots=True)
class _Reading:
    """What was read of one run's worker files so far."""

    offsets: dict[str, int] = field(default_factory=dict)
    losses: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=N_LOSSES))
    step_gaps: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    last_metric: tuple[int, float] | None = None
    tokens_per_s: float | None = None
    n_answers: int = 0
    n_judged: int = 0
    judge_ids: set[str] = field(default_factory=set)
    counted: dict[bytes, bytes] = field(default_factory=dict)  # by judge, the metric whose judgements are counted: its first
    judged_t: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    sampled: list[tuple[int, float]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    started_t: float | None = None


_readings: dict[str, _Reading] = {}
_lock = threading.Lock()


def active_runs(home: Home, *, log_lines: int = 12) -> list[LiveRun]:
    """Runs with a worker first, then the queue, each in its order.

    Args:
        home: The home.
        log_lines: How many lines of the worker's log come along.
    """
    statuses = list_runs(home)
    with _lock:
        active = [_live(home.runs / s.run_id, s, log_lines) for s in statuses if s.active]
        wanted = {str(home.runs / s.run_id) for s in statuses if s.active}
        for path in [p for p in _readings if p.startswith(f"{home.runs}{os.sep}") and p not in wanted]:
            del _readings[path]
    queued = [s for s in statuses if s.state == "queued"]
    return active + [LiveRun(status, position) for position, status in enumerate(queued, 1)]


def _live(run_dir: Path, status: RunStatus, log_lines: int) -> LiveRun:
    reading = _readings.setdefault(str(run_dir), _Reading())
    for path in sorted((run_dir / "events").glob("worker-*.jsonl")):
        try:
            _read_on(path, reading)
        except OSError:
            continue
    planned = reading.facts.get("n_answers_planned")
    return LiveRun(
        status,
        None,
        reading.n_answers,
        planned,
        reading.n_judged,
        planned * len(reading.judge_ids) if planned is not None else None,
        _rate(reading.judged_t),
        tuple(reading.losses),
        reading.tokens_per_s,
        reading.started_t,
        _eta_s(status, reading) if status.active else None,
        log_tail(run_dir / "worker.log", log_lines),
    )


def _read_on(path: Path, reading: _Reading) -> None:
    offset = reading.offsets.get(path.name, 0)
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < offset:
            offset = 0
        file.seek(offset)
        rest = b""
        while block := file.read(_BLOCK):
            data = rest + block
            end = data.rfind(b"\n") + 1
            for line in data[:end].split(b"\n"):
                _note(line, reading)
            rest, offset = data[end:], offset + end
    reading.offsets[path.name] = offset


def _note(line: bytes, reading: _Reading) -> None:
    kind = line[10:22]  # lines open with {"kind": "…
    if kind.startswith(b'response"'):
        reading.n_answers += 1
    elif kind.startswith(b'judgement"'):
        _note_judgement(line, reading)
    elif kind.startswith((b'metric"', b'generation"', b'run_facts"', b'state"', b'judge"')):
        try:
            event = json.loads(line)
        except ValueError:
            return
        if isinstance(event, dict):
            _note_event(event, reading)


def _note_judgement(line: bytes, reading: _Reading) -> None:
    """Count one metric of each judge, so that an answer counts once; read without JSON, for there are many."""
    start = line.find(b'"judge_id": "') + 13
    middle = line.find(b'", "metric": "', start)
    end = line.find(b'"', middle + 14)
    if min(start - 13, middle, end) < 0:
        return
    judge, metric = line[start:middle], line[middle + 14 : end]
    if reading.counted.setdefault(judge, metric) != metric:
        return
    reading.n_judged += 1
    t = line.find(b'"t": ') + 5
    with contextlib.suppress(ValueError):
        reading.judged_t.append(float(line[t : line.find(b",", t)]))


def _rate(times: deque[float]) -> float | None:
    """Events per second."""
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else None


def _note_event(event: dict[str, Any], reading: _Reading) -> None:
    kind, t = event.get("kind"), event.get("t")
    if kind == "metric" and isinstance(event.get("step"), int) and isinstance(t, (int, float)):
        if isinstance(event.get("loss"), (int, float)):
            reading.losses.append((event["step"], float(event["loss"])))
        if reading.last_metric and event["step"] > reading.last_metric[0]:
            reading.step_gaps.append((t - reading.last_metric[1]) / (event["step"] - reading.last_metric[0]))
        reading.last_metric = (event["step"], t)
        reading.tokens_per_s = event.get("tokens_per_s")
    elif kind == "generation":
        reading.sampled.append((int(event.get("n_responses") or 0), float(event.get("wall_s") or 0.0)))
    elif kind == "run_facts":
        reading.facts = event
    elif kind == "judge":
        reading.judge_ids.add(str(event.get("judge_id")))
    elif kind == "state" and event.get("phase") == "run" and event.get("state") == "running":
        reading.started_t = t
        reading.last_metric = None
        reading.step_gaps.clear()


def _eta_s(status: RunStatus, reading: _Reading, now: float | None = None) -> float | None:
    """Steps left at the median pace (which leaves out the pauses at checkpoints), plus answers left at theirs."""
    total, planned = status.total_steps, reading.facts.get("n_answers_planned")
    if not total or not reading.step_gaps:
        return None
    step = reading.last_metric[0] if reading.last_metric else 0
    left = max(0, total - step) * statistics.median(reading.step_gaps)
    answers_left = max(0, (planned or 0) - reading.n_answers)
    n, wall = (sum(column) for column in zip(*reading.sampled, strict=True)) if reading.sampled else (0, 0.0)
    if answers_left and n:
        left += answers_left * wall / n
    elif answers_left and step < total:
        return None  # no checkpoint sampled yet: an estimate without the answers would be far too short
    since = (now if now is not None else time.time()) - reading.last_metric[1] if reading.last_metric and step < total else 0.0
    return max(1.0, left - min(max(0.0, since), statistics.median(reading.step_gaps)))
