"""The state of a run, from evidence only: its lease, its events, its spec. No record of a pid is believed.

    lease held                                     running (starting before the worker's first event;
                                                   stopping once a stop was asked for)
    lease free, newest `run` state is final        that state (newest attempt first)
    lease free, the worker had begun, no end       crashed
    lease free, spec.json only                     queued
    lease free, spawned twice, nothing heard       crashed

The probe comes before the reading: a lease found free means that everything its worker wrote is there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from em_core import alive, lease, requests
from em_core.errors import BadInput
from em_core.events import by_attempt
from em_core.home import Home
from em_core.records import FinalState
from em_core.supervisor import failures
from em_core.supervisor.json_files import JsonFiles
from em_core.supervisor.marks import read_spawns
from em_core.supervisor.tails import FileFacts, events_of

ShownState = Literal["queued", "starting", "running", "stopping", "finished", "failed", "stopped", "crashed"]
ACTIVE = ("starting", "running", "stopping")
MAX_SPAWNS = 2
"""A run whose worker was started this often without a word from it is not tried again."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What is known about a run.

    Args:
        run_id: The run.
        state: See the module's table.
        phases: State of ``train``, ``evaluate`` and ``judge`` in the current attempt, where begun.
        step: Last optimizer step heard of.
        total_steps: Optimizer steps in all, once the worker knows.
        reason: Why it failed, stopped or crashed.
        hint: What to do about it.
        cause: What kind of end it was, a word of `em_core.causes.Cause`; ``automatic`` = queued again by itself.
        attempt: Which attempt this is about, from 1; 0 before the first.
        last_event_t: When the run last wrote an event, seconds since 1970; None before the first.
        quiet_s: Seconds since the last sign of life of a run at work, by the wall clock; None when no process works on it.
        pid: The worker's, only when the lease is held and the pid is proven to be its holder.
        created_t: When it was launched, seconds since 1970; 0 when the spec is unreadable.
        order: Place within its launch, for the queue.
        recorded: Whether the state is in the run's events (a crash is, once the supervisor saw it).
        spawns: How often a worker was started for the attempt that has not spoken yet.
        spec_hash: Of the spec; empty when unreadable.
        label: Short readable name.
        experiment: Group of the run.
        base_model: What it starts from.
        kind: What it does: ``train``, or ``evaluate`` (answers without training).
        parent_run: The run whose checkpoint it starts from, of an evaluation the run that it asks; empty = none.
        baseline_run: The run that holds its step 0; empty before its model is loaded.
        gpus: GPUs that it wants, when it runs on GPUs at all.
        gpu_gib: Memory that it needs on each of them, GiB, as planned; None = not known.
    """

    run_id: str
    state: ShownState
    phases: dict[str, str] = field(default_factory=dict)
    step: int | None = None
    total_steps: int | None = None
    reason: str = ""
    hint: str = ""
    cause: str = ""
    attempt: int = 0
    last_event_t: float | None = None
    quiet_s: float | None = None
    pid: int | None = None
    created_t: float = 0.0
    order: int = 0
    recorded: bool = False
    spawns: int = 0
    spec_hash: str = ""
    label: str = ""
    experiment: str = ""
    base_model: str = ""
    kind: str = "train"
    parent_run: str = ""
    baseline_run: str = ""
    gpus: int = 1
    gpu_gib: float | None = None

    @property
    def active(self) -> bool:
        """Whether a process works on it."""
        return self.state in ACTIVE

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self.state in FinalState


def run_status(run_dir: Path, *, with_pid: bool = False) -> RunStatus:
    """The state of one run.

    Args:
        run_dir: The run's folder.
        with_pid: Also find the worker's pid (costs a look into the process table).
    """
    status = decide(run_dir, held=lease.run_held(run_dir))
    if status.state == "crashed" and not status.recorded:  # a worker may have begun between the probe and the reading
        status = decide(run_dir, held=lease.run_held(run_dir))
        if status.state == "crashed" and not status.recorded:
            found = failures.classify(run_dir, status, pid=lease.signed_pid(run_dir / "lease"))
            status = replace(status, reason=found.reason, hint=found.hint, cause=found.cause)
    if status.active and lease.signed_pid(run_dir / "lease") is None:  # no worker: a supervisor looks after a run that has ended
        ended = decide(run_dir, held=False)
        status = ended if ended.recorded else status
    if with_pid and status.active:
        status = replace(status, pid=lease.holder_pid(run_dir / "lease"))
    return status


def status_of(home: Home, run_id: str) -> RunStatus:
    """The state of a run that a person named.

    Raises:
        BadInput: There is no such run.
    """
    run_dir = home.run_dir(run_id)
    if not (run_dir / "spec.json").exists():
        raise BadInput(f"run {run_id!r} is unknown", "`python -m em_core runs` lists the ids")
    return run_status(run_dir)


def list_runs(home: Home) -> list[RunStatus]:
    """Every run that was launched in this home, oldest first."""
    runs = home.runs
    return sorted((run_status(runs / name) for name in run_names(home)), key=queue_key)


def run_names(home: Home) -> list[str]:
    """Folders of ``runs/`` that have a spec, in no particular order."""
    try:
        with os.scandir(home.runs) as entries:
            return [e.name for e in entries if not e.name.startswith(".") and os.path.exists(f"{e.path}/spec.json")]
    except OSError:
        return []


def queue_key(status: RunStatus) -> tuple[float, int, str]:
    """Runs are taken in the order in which they were launched."""
    return (status.created_t, status.order, status.run_id)


def decide(run_dir: Path, *, held: bool) -> RunStatus:
    """The state, given whether somebody holds the lease (for callers that hold it themselves)."""
    files = events_of(run_dir)
    heard = [event for facts in files.values() for event in facts.states.values()]
    last = max((e for e in heard if e.get("phase") == "run"), key=by_attempt, default=None)
    spoken = max((_attempt(e) for name, f in files.items() if name.startswith("worker") for e in f.states.values()), default=0)
    value = str(last["state"]) if last else "queued"
    spawns = 0
    if value not in FinalState:
        asked_for = _attempt(last) if last else 0  # marks of an attempt that was given up before do not count
        spawns = sum(1 for mark in read_spawns(run_dir) if mark["attempt"] > spoken and mark["attempt"] >= asked_for)
    state: str
    if held:
        begun = value == "running" or value in FinalState
        state = "stopping" if requests.end_asked(run_dir) else "running" if begun and not spawns else "starting"
    elif value == "running":
        state = "crashed"
    elif value == "queued":
        state = "crashed" if spawns >= MAX_SPAWNS else "queued"
    else:
        state = value
    recorded = last is not None and state == value and value in FinalState
    attempt = max(spoken, _attempt(last) if last else 0)
    phases = _phases(heard, attempt, state)
    newest = _newest(files)
    return RunStatus(
        run_id=run_dir.name,
        state=state,  # type: ignore[arg-type]
        phases=phases,
        step=newest.step if newest else None,
        total_steps=newest.total_steps if newest else None,
        reason=str(last.get("reason") or "") if last and recorded else "",
        hint=str(last.get("hint") or "") if last and recorded else "",
        cause=str(last.get("cause") or "") if last and (recorded or state == "queued") else "",
        attempt=attempt,
        last_event_t=max((f.mtime for name, f in files.items() if not name.startswith("evaluate-")), default=None),
        quiet_s=alive.quiet_s(run_dir) if held else None,
        recorded=recorded,
        spawns=spawns,
        baseline_run=next((f.baseline_run_id for f in files.values() if f.baseline_run_id), ""),
        **(_identities.of(run_dir / "spec.json") or {}),
    )


def _phases(heard: list[dict[str, Any]], attempt: int, state: str) -> dict[str, str]:
    newest: dict[str, dict[str, Any]] = {}
    for event in heard:
        phase = str(event.get("phase"))
        if (
            phase != "run"
            and _attempt(event) == attempt
            and (phase not in newest or by_attempt(event) >= by_attempt(newest[phase]))
        ):
            newest[phase] = event
    ended = state in FinalState
    return {p: state if ended and e["state"] == "running" else str(e["state"]) for p, e in sorted(newest.items())}


def _newest(files: dict[str, FileFacts]) -> FileFacts | None:
    workers = [(_attempt(f.states.get("run") or {}), f.mtime, name) for name, f in files.items() if name.startswith("worker")]
    return files[max(workers)[2]] if workers else None


def _attempt(event: dict[str, Any]) -> int:
    attempt = event.get("attempt")
    return attempt if isinstance(attempt, int) else 0


def _identity(stored: dict[str, Any]) -> dict[str, Any]:
    """The fields of the status that come from ``spec.json``."""
    spec = stored["spec"]
    return {
        "created_t": float(stored.get("created_t", 0.0)),
        "order": int(stored.get("order", 0)),
        "spec_hash": str(stored.get("spec_hash", "")),
        "label": str(stored.get("label", "")),
        "kind": str(stored.get("kind") or "train"),
        "experiment": str(spec.get("experiment", "")),
        "base_model": str(spec.get("base_model", "")),
        "parent_run": _parent(stored.get("target") if stored.get("kind") else spec.get("parent")),
        **_needs(stored.get("needs"), spec),
    }


_identities = JsonFiles(_identity)


def _parent(of: object) -> str:
    return str(of.get("run") or of.get("run_id") or "") if isinstance(of, dict) else ""


def _needs(needs: object, spec: dict[str, Any]) -> dict[str, Any]:
    """What the plan said that it needs; without its word (an earlier version's run) the GPUs that the spec asks for."""
    found = needs if isinstance(needs, dict) else {}
    gpus, gib = found.get("gpus") or (spec.get("train") or {}).get("gpus"), found.get("gpu_gib")
    return {
        "gpus": gpus if isinstance(gpus, int) and gpus > 0 else 1,
        "gpu_gib": float(gib) if isinstance(gib, (int, float)) and 0 < gib < float("inf") else None,
    }
