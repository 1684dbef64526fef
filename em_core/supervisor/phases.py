"""The four phases of a run at work, each with its own count, pace and time left.

Load, train, sample, judge. Nothing is guessed: a total is known or None, a pace is measured or None, and the time left
is None until it can be told from a measured pace. A count never falls but when a run is resumed, which repeats steps.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from em_core.supervisor.live_reading import Reading

PhaseName = Literal["load", "train", "sample", "judge"]
PhaseState = Literal["waiting", "running", "finished", "failed", "stopped", "skipped", "crashed"]
_IDLE_GAPS = 10.0
"""A gap between judgements longer than this many usual ones is a pause (nothing to judge), not the judge's pace."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a run.

    Args:
        name: ``load``, ``train``, ``sample`` or ``judge``.
        state: How it stands.
        done: Units done: steps, answers, judged answers; of ``load`` 1 when loaded.
        total: Units in all; None = not known yet.
        per_s: Units a second, measured; None before there is a measurement.
        work_s: Seconds of its own work that are left at the measured pace; None = not known yet; 0 when it is through.
        eta_s: Seconds until it is through, by the clock: steps and answers take turns, the judge needs both; None = not
            known yet.
        took_s: Seconds since it began, of ``load``.
        at_work: Whether it is what the worker is doing this moment.
        extra: Answers beside the plan (a checkpoint that a stop asked for).
    """

    name: PhaseName
    state: PhaseState
    done: int = 0
    total: int | None = None
    per_s: float | None = None
    work_s: float | None = None
    eta_s: float | None = None
    took_s: float | None = None
    at_work: bool = False
    extra: int = 0

    @property
    def share(self) -> float:
        """Share done, 0-1; 0 while the total is not known."""
        if self.state == "finished" and not self.total:
            return 1.0
        return min(1.0, self.done / self.total) if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Counts:
    """What is to be counted of a run, beside what its events say.

    Args:
        scheduled: Steps that get a checkpoint; None = not known, then every answer counts as planned.
        shared: Answers and judged answers of the starting model, kept in a folder of their own; None = not looked at.
        mine: Those of them that this attempt samples.
    """

    scheduled: frozenset[int] | None = None
    shared: Reading | None = None
    mine: Reading | None = None


def phases_of(reading: Reading, states: dict[str, str], counts: Counts, now: float) -> tuple[Phase, ...]:
    """The phases of a run at work.

    Args:
        reading: Its events.
        states: State of ``train``, ``evaluate`` and ``judge``, where begun (`RunStatus.phases`).
        counts: What else is counted.
        now: Seconds since 1970.
    """
    train, sample = _train(reading, states.get("train", ""), now), _sample(reading, states.get("evaluate", ""), counts)
    judge = _judge(reading, states.get("judge", ""), counts, sample)
    return (_load(reading, now), *_by_the_clock(train, sample, judge, reading))


def without_times(phases: Sequence[Phase]) -> tuple[Phase, ...]:
    """The same of a run that has gone silent: how long it takes is not known any more, whatever its pace was."""
    return tuple(phase if _through(phase) else replace(phase, work_s=None, eta_s=None, at_work=False) for phase in phases)


def time_left(phases: Sequence[Phase]) -> float | None:
    """Seconds until all phases are through; None = not known."""
    open_phases = [phase for phase in phases if phase.state in ("waiting", "running") and not _through(phase)]
    if any(phase.eta_s is None for phase in open_phases):
        return None
    return max((phase.eta_s or 0.0 for phase in open_phases), default=0.0)


def _by_the_clock(train: Phase, sample: Phase, judge: Phase, reading: Reading) -> tuple[Phase, Phase, Phase]:
    """The phases with the time until each is through, from the work that each has left."""
    each, n_judges = _each(reading), len(reading.judge_ids)
    if train.work_s is not None and sample.work_s is not None:
        last = min(sample.work_s, each / sample.per_s) if sample.per_s else 0.0  # it comes after the last step
        before = train.work_s + sample.work_s
        train = replace(train, eta_s=0.0 if train.work_s == 0 else before - last)
        sample = replace(sample, eta_s=0.0 if sample.work_s == 0 else before)
        if judge.work_s is not None:
            left = (judge.total or 0) - judge.done
            newest = min(left, each * n_judges) / judge.per_s if judge.per_s and before else 0.0
            judge = replace(judge, eta_s=0.0 if judge.work_s == 0 else max(before + newest, judge.work_s))
    elif train.work_s == 0:
        train = replace(train, eta_s=0.0)
    return train, sample, judge


def _through(phase: Phase) -> bool:
    return phase.name != "load" and phase.total is not None and phase.done >= phase.total


def _load(reading: Reading, now: float) -> Phase:
    began = reading.attempts[-1].started_t if reading.attempts else None
    if reading.facts_t is not None:
        took = None if began is None else max(0.0, reading.facts_t - began)
        return Phase("load", "finished", 1, 1, took_s=took)
    if began is None:
        return Phase("load", "waiting", 0, 1)
    return Phase("load", "running", 0, 1, took_s=max(0.0, now - began), at_work=True)


def _train(reading: Reading, state: str, now: float) -> Phase:
    facts = reading.facts if reading.facts_t is not None else {}
    total = _whole(facts.get("total_steps"))
    if facts and not total:
        return Phase("train", "skipped", work_s=0.0)
    step = reading.last_metric[0] if reading.last_metric else reading.from_step
    per_step = statistics.median(reading.step_gaps) if reading.step_gaps else None
    shown = _state(state, "waiting")
    at_work = shown == "running" and reading.sampling_t is None
    work = None
    if total is not None and step >= total:
        work = 0.0
    elif total is not None and per_step is not None and shown == "running":
        since = now - reading.last_metric[1] if reading.last_metric and at_work else 0.0
        work = max(0.0, (total - step) * per_step - min(max(0.0, since), per_step))
    return Phase("train", shown, step, total, 1 / per_step if per_step else None, work, at_work=at_work)


def _sample(reading: Reading, state: str, counts: Counts) -> Phase:
    facts = reading.facts if reading.facts_t is not None else {}
    planned, each = _whole(facts.get("n_answers_planned")), _each(reading)
    if planned == 0:
        return Phase("sample", "skipped", work_s=0.0)
    scheduled, everything = _planned_answers(reading, counts), sum(reading.n_answers.values())
    shared, total = _shared_answers(counts), planned
    if planned is not None and counts.shared is not None:
        total = planned + each
        shared = min(shared, each)
    done = min(scheduled, planned) + shared if planned is not None else scheduled
    per_s = _sampled_per_s(reading, counts.mine)
    work = _work_s(done, total, per_s)
    shown = _state(state, "waiting")
    at_work = reading.sampling_t is not None and shown == "running"
    return Phase("sample", shown, done, total, per_s, work, at_work=at_work, extra=everything - scheduled)


def _judge(reading: Reading, state: str, counts: Counts, sample: Phase) -> Phase:
    if sample.state == "skipped" or (reading.facts_t is not None and not reading.judge_ids):
        return Phase("judge", "skipped", work_s=0.0)
    n_judges = len(reading.judge_ids)
    total = sample.total * n_judges if sample.total is not None else None
    judged = sum(reading.n_judged.values())
    if counts.shared is not None:
        judged += sum(n for judge, n in counts.shared.n_judged.items() if judge in reading.judge_ids)
    done = min(judged, total) if total is not None else judged
    times = [*reading.judged_t, *(counts.shared.judged_t if counts.shared is not None and not reading.judged_t else ())]
    per_s = _without_pauses(times)
    work = _work_s(done, total, per_s)
    shown = _state(state, "running" if done else "waiting")  # judging goes beside; its state is written at the end
    at_work = (sample.done + sample.extra) * n_judges - judged > 0
    return Phase("judge", shown, done, total, per_s, work, at_work=at_work and shown == "running")


def _work_s(done: int, total: int | None, per_s: float | None) -> float | None:
    if total is not None and done >= total:
        return 0.0
    return (total - done) / per_s if total is not None and per_s else None


def _state(state: str, otherwise: PhaseState) -> PhaseState:
    return state if state in ("running", "finished", "failed", "stopped", "skipped", "crashed") else otherwise  # type: ignore[return-value]


def _planned_answers(reading: Reading, counts: Counts) -> int:
    if counts.scheduled is None:
        return sum(reading.n_answers.values())
    return sum(n for step, n in reading.n_answers.items() if step is None or step in counts.scheduled)


def _shared_answers(counts: Counts) -> int:
    return sum(counts.shared.n_answers.values()) if counts.shared is not None else 0


def _each(reading: Reading) -> int:
    """Answers at each checkpoint."""
    planned, n = _whole(reading.facts.get("n_answers_planned")), _whole(reading.facts.get("n_checkpoints"))
    return planned // n if planned and n else 0


def _sampled_per_s(reading: Reading, mine: Reading | None) -> float | None:
    """Answers a second over all samplings of this attempt, the one that goes on included."""
    ended = [*reading.sampled, *(mine.sampled if mine is not None else ())]
    n, wall = sum(n for n, _ in ended), sum(wall for _, wall in ended)
    if reading.sampling_t is not None:
        now = reading if reading.sampling_n or mine is None or mine.sampled else mine
        more = reading.sampling_n if now is reading else sum(now.n_answers.values())
        if more and now.newest_answer_t is not None:
            n, wall = n + more, wall + max(0.0, now.newest_answer_t - reading.sampling_t)
    return n / wall if n and wall > 0 else None


def _without_pauses(times: Sequence[float]) -> float | None:
    """Events a second while there is something to do; None before there are two at different times."""
    gaps = [b - a for a, b in itertools.pairwise(times) if b >= a]
    busy = [gap for gap in gaps if gap > 0]
    if not busy:
        return None
    most = max(1.0, _IDLE_GAPS * statistics.median(busy))
    return len(gaps) / sum(min(gap, most) for gap in gaps)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
