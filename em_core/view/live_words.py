"""What the Live page says: sentences of phases, what an end means, and which buttons help, the right one first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from em_core.causes import KNOWN
from em_core.view.run_words import duration

QUIET_S = 120.0
"""A run that has given no sign of life for so long is said to be quiet, and no time left is told of it."""

ActionName = Literal["resume", "smaller", "retry", "clone", "evaluate", "delete"]


class PhaseLike(Protocol):
    """A phase of a run (`em_core.supervisor.phases.Phase`)."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int | None: ...
    @property
    def per_s(self) -> float | None: ...
    @property
    def work_s(self) -> float | None: ...
    @property
    def eta_s(self) -> float | None: ...
    @property
    def took_s(self) -> float | None: ...
    @property
    def at_work(self) -> bool: ...
    @property
    def extra(self) -> int: ...


@dataclass(frozen=True)
class Action:
    """Something that can be done with a run that has ended.

    Args:
        name: What.
        label: Of its button.
        icon: Material icon.
        first: It is the right thing to do after this end.
        about: What it does, one sentence.
    """

    name: ActionName
    label: str
    icon: str
    first: bool = False
    about: str = ""


_TITLES = {"load": "Load", "train": "Train", "sample": "Sample", "judge": "Judge"}
_UNITS = {"train": "steps", "sample": "answers", "judge": "judged"}
_ENDS = {"failed": "failed", "stopped": "stopped", "crashed": "crashed"}


def sentence(phase: PhaseLike) -> str:
    """``Train: 120 of 400 steps, 2.1 s each, about 9 min left``."""
    title = _TITLES[phase.name]
    if phase.name == "load":
        return f"{title}: {_load(phase)}"
    if phase.state == "skipped":
        return f"{title}: nothing to do"
    unit = _UNITS[phase.name]
    count = f"{phase.done:,} of {phase.total:,} {unit}" if phase.total is not None else f"{phase.done:,} {unit}"
    parts = [count]
    if phase.extra:
        parts.append(f"{phase.extra:,} more beside the plan")
    if phase.state in _ENDS:
        return f"{title}: {', '.join([*parts, _ENDS[phase.state]])}"
    if phase.state == "finished" or (phase.total is not None and phase.done >= phase.total):
        return f"{title}: {', '.join([*parts, 'done'])}"
    if (pace := _pace(phase)) is not None:
        parts.append(pace)
    parts.append(_left(phase))
    return f"{title}: {', '.join(parts)}"


def _left(phase: PhaseLike) -> str:
    if phase.eta_s is not None:
        return f"about {duration(phase.eta_s)} left"
    if phase.work_s is not None:  # what comes in between is not measured yet
        return f"at least {duration(phase.work_s)} left"
    return "time left not known yet"


def _load(phase: PhaseLike) -> str:
    if phase.state == "finished":
        return f"done in {duration(phase.took_s)}" if phase.took_s is not None else "done"
    if phase.state == "running":
        return f"model and data, {duration(phase.took_s)} so far"
    return "not begun"


def _pace(phase: PhaseLike) -> str | None:
    if not phase.per_s:
        return None
    if phase.name == "train" and phase.per_s < 1:
        return f"{1 / phase.per_s:.1f} s each"
    if phase.per_s < 1:
        return f"{60 * phase.per_s:,.0f} a minute"
    return f"{phase.per_s:,.1f} a second" if phase.per_s < 10 else f"{phase.per_s:,.0f} a second"


def time_left(state: str, eta_s: float | None) -> str:
    """Of the whole run."""
    if state == "stopping":
        return "stops after this step, and answers and judges what is there"
    return "time left not known yet" if eta_s is None else f"about {duration(eta_s)} left"


def reached(kind: str, step: int | None, total_steps: int | None) -> str:
    """``step 120 of 400``; empty for a job that does not train."""
    if kind != "train":
        return ""
    return f"step {step or 0:,}" + (f" of {total_steps:,}" if total_steps else "")


def attempts(found: list[tuple[int, int | None]]) -> str:
    """Attempts with the step each went on from: ``attempt 2, from step 120``; empty for a first one."""
    if not found or found[-1][0] <= 1:
        return ""
    number, step = found[-1]
    return f"attempt {number}" + (", loading" if step is None else f", from step {step:,}" if step else ", from the beginning")


def quiet(quiet_s: float | None) -> str:
    """``no sign of life for 7 min``; empty while there are signs."""
    return f"no sign of life for {int(quiet_s // 60)} min" if quiet_s is not None and quiet_s >= QUIET_S else ""


def title_of(cause: str, state: str) -> str:
    """What kind of end it was, for a badge; empty when nothing is to be said beyond the state."""
    if state == "finished" or cause not in KNOWN:
        return ""
    return KNOWN[cause].title


def next_step(cause: str, state: str, hint: str) -> str:
    """What to do about an end, one sentence; the run's own hint where it says something else."""
    if state == "finished":
        return ""
    known = KNOWN[cause].next_step if cause in KNOWN else ""
    return known or hint


def actions(state: str, cause: str, kind: str, step: int) -> list[Action]:
    """What can be done with a run that has ended, the right thing first.

    Args:
        state: ``finished``, ``stopped``, ``failed`` or ``crashed``.
        cause: Why, a word of `em_core.causes`.
        kind: ``train`` or another kind of job.
        step: The step that it would go on from; 0 = the beginning.
    """
    resume = Action(
        "resume",
        f"Resume from step {step:,}" if step else "Start it again",
        "resume",
        about="Goes on in the same run, with optimiser, random states and place in the data." if step else "Begins anew.",
    )
    smaller = Action(
        "smaller", "Retry with a smaller micro-batch", "compress", about="A new run: half as many rows at once, the same batch."
    )
    retry = Action("retry", "Retry", "replay", about="A new run with the same settings.")
    clone = Action("clone", "Clone and edit", "content_copy", about="Opens its settings on Launch.")
    evaluate = Action("evaluate", "Evaluate only", "quiz", about="More questions to its checkpoints, without training.")
    delete = Action("delete", "Delete", "delete", about="Moves it to the trash.")
    if kind != "train":
        return _led([delete] if state == "finished" else [resume, delete])
    if state == "finished":
        return _led([evaluate, clone, retry, delete])
    if cause == "cuda_oom":
        return _led([smaller, clone, resume, delete])
    if cause in ("bad_input", "not_a_number"):
        return _led([clone, retry, resume, delete])
    return _led([resume, retry, clone, *([evaluate] if step else []), delete])


def _led(found: list[Action]) -> list[Action]:
    """The first one leads, unless it takes something away."""
    lead, *rest = found
    return [Action(lead.name, lead.label, lead.icon, lead.name != "delete", lead.about), *rest]
