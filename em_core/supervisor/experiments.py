"""Runs that were launched together, and belong together by the name of their experiment: found, stopped, resumed, deleted as one.

States come from evidence as for single runs; what varies comes from the runs' ``spec.json``.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from em_core.errors import BadInput, Busy, EMError, WorkFailed
from em_core.home import Home
from em_core.specs_io.varied import fields
from em_core.supervisor import control
from em_core.supervisor.evidence import RunStatus, list_runs, run_status
from em_core.supervisor.json_files import JsonFiles
from em_core.supervisor.live import LiveRun
from em_core.supervisor.marks import last_spawn
from em_core.view.experiments import Group, Member

_RECENT = 12
_knobs = JsonFiles(lambda stored: fields(stored["spec"]))


def groups(home: Home, statuses: Sequence[RunStatus] | None = None) -> list[Group]:
    """Every experiment of this home, newest first, its runs in the order of the queue.

    Args:
        home: Whose runs.
        statuses: Their states, where they are known already.
    """
    by_name: dict[str, list[Member]] = {}
    for status in list_runs(home) if statuses is None else statuses:
        if status.experiment and status.kind == "train":
            by_name.setdefault(status.experiment, []).append(_member(home, status))
    return sorted((Group(name, tuple(runs)) for name, runs in by_name.items()), key=lambda group: -group.created_t)


def members(home: Home, name: str) -> list[RunStatus]:
    """The runs of an experiment and the evaluations of them, in the order of the queue.

    Raises:
        BadInput: There is none of that name.
    """
    found = [status for status in list_runs(home) if status.experiment == name]
    if not name or not found:
        raise BadInput(f"experiment {name!r} is unknown", "`python -m em_core experiments` lists them")
    return found


def stop(home: Home, name: str, discard: bool = False, *, now: bool = False) -> list[str]:
    """Stop what runs and waits, the last of the queue first, so that nothing else begins meanwhile.

    Args:
        home: Whose runs.
        name: The experiment.
        discard, now: As of `em_core.supervisor.control.stop`.

    Returns:
        What happened, a sentence a run.

    Raises:
        BadInput: There is no such experiment.
        Busy: Nothing of it runs or waits.
        WorkFailed: A run could not be stopped; the others were.
    """
    home.writable("Stopping runs")
    runs = members(home, name)
    waiting = [status for status in reversed(runs) if status.state == "queued"]
    said = _each(waiting + [s for s in runs if s.active], lambda run_id: control.stop(home, run_id, discard, now=now))
    if not said:
        raise Busy(f"experiment {name}: nothing of it runs or waits", f"`python -m em_core experiments {name}` shows it")
    return said


def resume(home: Home, name: str) -> list[str]:
    """Queue again what ended early, each from its last checkpoint.

    Returns:
        What happened, a sentence a run.

    Raises:
        BadInput: There is no such experiment.
        Busy: Nothing of it ended early.
        WorkFailed: A run could not be resumed; the others were.
    """
    home.writable("Resuming runs")
    early = [s for s in members(home, name) if s.final and s.state != "finished"]
    said = _each(early, lambda run_id: control.resume(home, run_id))
    if not said:
        raise Busy(f"experiment {name}: nothing of it ended early", f"`python -m em_core experiments {name}` shows it")
    return said


def _each(statuses: Sequence[RunStatus], act: Callable[[str], str]) -> list[str]:
    said: list[str] = []
    problems: list[tuple[str, EMError]] = []
    for status in statuses:
        try:
            said.append(act(status.run_id))
        except Busy:  # it ended, or somebody else was quicker
            continue
        except EMError as error:  # of this run alone: the others get what was asked for
            problems.append((status.run_id, error))
    if problems:
        run_id, first = problems[0]
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        raise WorkFailed(f"{run_id}{more}: {first.message}; {len(said)} other runs were dealt with", first.hint)
    return said


def time_left_s(home: Home, group: Group, working: Sequence[LiveRun]) -> float | None:
    """Seconds until the last run of an experiment has ended, at the pace of its runs so far; None = not known yet, 0 = it has.

    Active runs go by their own estimates, waiting ones by the median of what its last finished runs took (or, before one
    has finished, by what the active ones will have taken), as many at a time as are at work now.

    Args:
        home: Whose runs.
        group: The experiment.
        working: `em_core.supervisor.live.active_runs`.
    """
    states = {member.run_id: member.state for member in group.members}
    done = {member.run_id: member.progress for member in group.members}
    active = [run for run in working if run.status.run_id in states]
    n_waiting = sum(state == "queued" for state in states.values())
    if not active and not n_waiting:
        return 0.0
    etas = [run.eta_s for run in active if run.eta_s is not None]
    took = _durations_s(home, group) or [
        t - run.started_t + run.eta_s
        for run in active
        if run.eta_s is not None and run.started_t is not None and (t := run.status.last_event_t) is not None
    ]
    if (n_waiting or len(etas) < len(active)) and not took:
        return None
    one = statistics.median(took) if took else 0.0
    left = [run.eta_s if run.eta_s is not None else one * (1 - done[run.status.run_id]) for run in active]
    return max([(sum(left) + n_waiting * one) / max(1, len(active)), *left])


def _durations_s(home: Home, group: Group) -> list[float]:
    """What the last finished runs took, from the start of their worker; a resumed one counts its last attempt."""
    found = []
    for run_id in [m.run_id for m in group.members if m.own and m.state == "finished"][-_RECENT:]:
        started = last_spawn(home.run_dir(run_id)).get("t")
        ended = run_status(home.run_dir(run_id)).last_event_t  # its own: evaluations of it come later
        if isinstance(started, (int, float)) and ended is not None and ended > started:
            found.append(ended - started)
    return found


def _member(home: Home, status: RunStatus) -> Member:
    return Member(
        run_id=status.run_id,
        label=status.label or status.run_id,
        state=status.state,
        reason=status.reason,
        step=status.step,
        total_steps=status.total_steps,
        created_t=status.created_t,
        fields=_knobs.of(home.run_dir(status.run_id) / "spec.json") or {},
        own=True,
    )
