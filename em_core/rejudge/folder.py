"""The folder of a judging job, and what it tells about it: no database, no pid believed.

runs/judge-<configuration>-<8 digits of the judge>-<n>/
    job.json       judge (without key), selection, how much there was to do
    lease          held = at work
    events/        run_created (kind "judge"), state (phase "judge"), judge, judgement
    control/stop   a request to end
    judge.log      what a detached job printed

There is no ``spec.json``: the supervisor never sees such a folder as a run.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from em_core import lease
from em_core.errors import BadInput
from em_core.home import Home
from em_core.locate import plain_name
from em_core.records import FinalState

PREFIX = "judge-"
WRITER = "judge-1"
JobState = Literal["starting", "running", "stopping", "finished", "failed", "stopped", "crashed"]

_START_S = 60.0
_TAIL_BYTES = 1 << 16
_BLOCK = 1 << 22
_JUDGEMENT, _STATE = b'{"kind": "judgement"', b'{"kind": "state"'


@dataclass(frozen=True)
class Job:
    """One judging job as its folder shows it.

    Args:
        run_id: Its folder's name.
        config: Name of the judge's configuration.
        judge_id: Who scores; empty before it is known.
        state: From the lease and the events.
        reason, hint: Why it failed or stopped, and what to do.
        created_t: Seconds since 1970.
        n_answers: Answers to judge; None before they are counted.
        n_scores: Scores to make.
        n_written: Scores, and reasons for none, written so far.
        rate_per_s: Scores a second lately; 0 = none lately.
        estimate: What it was expected to take, a sentence; empty for a small job.
    """

    run_id: str
    config: str
    judge_id: str
    state: JobState
    reason: str
    hint: str
    created_t: float
    n_answers: int | None
    n_scores: int | None
    n_written: int
    rate_per_s: float
    estimate: str

    @property
    def active(self) -> bool:
        """Whether a process works on it, or is about to."""
        return self.state in ("starting", "running", "stopping")

    @property
    def progress(self) -> float:
        """Share of its scores that are there, 0-1."""
        return min(1.0, self.n_written / self.n_scores) if self.n_scores else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the present rate; None = not known."""
        if self.n_scores is None or not self.rate_per_s:
            return None
        return max(0.0, self.n_scores - self.n_written) / self.rate_per_s


def make(home: Home, config: str, judge_id: str) -> Path:
    """A new folder for a job of this judge.

    Raises:
        BadInput: The home cannot be written.
    """
    home.writable("Judging")
    home.prepare()
    base = f"{PREFIX}{plain_name(config)[:40]}-{judge_id[-8:]}"
    n = 1
    while True:
        folder = home.run_dir(f"{base}-{n}")
        try:
            folder.mkdir()
            (folder / "control").mkdir()
            return folder
        except FileExistsError:
            n += 1
        except OSError as error:
            raise BadInput(
                f"{folder}: cannot be made ({error.strerror})", "make the home writable, or free disk space"
            ) from error


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write ``job.json``, whole or not at all; a failure is left to the events, which hit the same disk."""
    temporary = folder / "job.json.new"
    try:
        temporary.write_text(json.dumps(card, indent=1, ensure_ascii=False, default=list) + "\n", encoding="utf-8")
        os.replace(temporary, folder / "job.json")
    except OSError:
        temporary.unlink(missing_ok=True)


def read_card(folder: Path) -> dict[str, Any]:
    """What ``job.json`` says; empty when it is missing or damaged."""
    try:
        card = json.loads((folder / "job.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}


def job_dir(home: Home, run_id: str) -> Path:
    """The folder of that job.

    Raises:
        BadInput: There is no such job.
    """
    folder = home.run_dir(run_id)
    if not run_id.startswith(PREFIX) or not folder.is_dir():
        raise BadInput(f"judging job {run_id!r} is unknown", "`python -m em_core judge --jobs` lists them")
    return folder


def job(folder: Path) -> Job:
    """What is known about one job."""
    card = read_card(folder)
    held = lease.held(folder / "lease")
    path = folder / "events" / f"{WRITER}.jsonl"
    reading = _read_on(path)
    last = reading.state
    created_t = float(card.get("created_t") or _mtime(folder))
    state: str
    if held:
        state = "stopping" if (folder / "control" / "stop").exists() else "running"
    elif last.get("state") in FinalState:
        state = str(last["state"])
    else:
        state = "starting" if not last and time.time() - created_t < _START_S else "crashed"
    reason, hint = str(last.get("reason") or ""), str(last.get("hint") or "")
    if state == "crashed":
        reason, hint = "the job ended without a last word", "what it scored is kept; judge again, it scores the rest"
    return Job(
        run_id=folder.name,
        config=str(card.get("config") or ""),
        judge_id=str(card.get("judge_id") or ""),
        state=state,  # type: ignore[arg-type]
        reason=reason,
        hint=hint,
        created_t=created_t,
        n_answers=card.get("n_answers"),
        n_scores=card.get("n_scores"),
        n_written=reading.n_judgements,
        rate_per_s=_rate(_tail(path, reading.offset)) if held else 0.0,
        estimate=str(card.get("estimate") or ""),
    )


def jobs(home: Home) -> list[Job]:
    """Every judging job of this home, newest first."""
    try:
        names = [entry.name for entry in os.scandir(home.runs) if entry.name.startswith(PREFIX) and entry.is_dir()]
    except OSError:
        return []
    return sorted((job(home.runs / name) for name in names), key=lambda each: (each.created_t, each.run_id), reverse=True)


def ask_to_stop(home: Home, run_id: str) -> None:
    """Ask a job to end; what it scored is kept.

    Raises:
        BadInput: There is no such job, or its folder cannot be written.
    """
    home.writable("Stopping a job")
    request = job_dir(home, run_id) / "control" / "stop"
    try:
        request.parent.mkdir(exist_ok=True)
        request.touch()
    except OSError as error:
        raise BadInput(f"{request}: cannot be written ({error.strerror})", "make the job's folder writable") from error


@dataclass(slots=True)
class _Reading:
    """What was read of one event file so far."""

    inode: int = 0
    offset: int = 0
    n_judgements: int = 0
    state: dict[str, Any] = field(default_factory=dict)


_readings: dict[str, _Reading] = {}


def _read_on(path: Path) -> _Reading:
    """The last state and the number of judgements; only what is new is read. Markers can't lie inside a string: JSON
    escapes their quotes."""
    reading = _readings.setdefault(str(path), _Reading())
    try:
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
            if reading.inode != stat.st_ino or stat.st_size < reading.offset:
                reading = _readings[str(path)] = _Reading(stat.st_ino)
            file.seek(reading.offset)
            while (end := (block := file.read(_BLOCK)).rfind(b"\n") + 1) > 0:
                reading.n_judgements += block.count(_JUDGEMENT, 0, end)
                reading.offset += end
                file.seek(reading.offset)
                at = block.rfind(_STATE, 0, end)
                if at >= 0:
                    with contextlib.suppress(ValueError):
                        reading.state = json.loads(block[at : block.index(b"\n", at)])
    except OSError:
        return _Reading()
    return reading


def _tail(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, offset - _TAIL_BYTES))
            return file.read(min(offset, _TAIL_BYTES))
    except OSError:
        return b""


def _rate(tail: bytes) -> float:
    times = []
    for line in tail.split(b"\n")[1:]:
        if line.startswith(_JUDGEMENT):
            try:
                times.append(float(line[27 : line.index(b",", 27)]))
            except ValueError:
                continue
    now = time.time()
    if len(times) < 2 or now - times[-1] > 60:
        return 0.0
    return len(times) / max(now - times[0], 2.0)


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
