"""The time of a run by phase: load, train, sample, judge; each with a range and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from em_core.home import Home
from em_core.plan import past, timing
from em_core.plan.past import Correction
from em_core.plan.timing import Work
from em_core.spec import JudgeSpec

_RULES_PER_S, _LOCAL_PER_S = 1500.0, 40.0
_REPLY_S = 1.5
"""Seconds to a judge model's reply."""


@dataclass(frozen=True)
class Phase:
    """The time of one phase.

    Args:
        name: ``load``, ``train``, ``sample`` or ``judge``.
        low_s, middle_s, high_s: Seconds.
        source: Where it comes from: ``from 3 runs on this machine``, ``rough``.
        beside: Whether it goes on beside others (judging does), so that it adds only what is left in the end.
    """

    name: str
    low_s: float
    middle_s: float
    high_s: float
    source: str
    beside: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "name": self.name, "low_s": round(self.low_s, 1), "middle_s": round(self.middle_s, 1),
            "high_s": round(self.high_s, 1), "source": self.source, "beside": self.beside,
        }  # fmt: skip


def phases(
    home: Home,
    work: Work,
    n_steps: int,
    step_tokens: float,
    n_checkpoints: int,
    n_evaluations: int,
    answers: int,
    rows: int,
    longest: int,
    judging: list[tuple[JudgeSpec, int]],
) -> list[Phase]:
    """All four of a run.

    Args:
        home: Whose past runs are looked at.
        work: The model on its device.
        n_steps: Optimizer steps.
        step_tokens: Tokens of a step.
        n_checkpoints: Saved checkpoints.
        n_evaluations: Times that answers are sampled, step 0 included.
        answers: Answers at each of them.
        rows: Decoded at once.
        longest: Most tokens of an answer.
        judging: Each judge and the judgements that it has to make in all.
    """
    found = past.corrections(home, work)
    train = _training(found, n_steps * timing.step_s(work, step_tokens), timing.around_s(work, n_checkpoints))
    load, *rest = without_training(home, work, [answers] * n_evaluations if answers else [], rows, longest, judging)
    return [load, train, *rest]


def without_training(
    home: Home, work: Work, answers: Sequence[int], rows: int, longest: int, judging: list[tuple[JudgeSpec, int]]
) -> list[Phase]:
    """Loading, sampling and judging.

    Args:
        home: As in `phases`; `work`, `rows`, `longest` and `judging` too.
        answers: How many are sampled each time; none = nothing is sampled or judged.
    """
    found = past.corrections(home, work)
    result = [_phase("load", found["load"], *[timing.load_s(work.n_params, work.gpu)] * 3)]
    if not answers:
        return result
    mean = past.mean_answer_tokens(home, work)
    shares = (0.8, 1.0, 1.25) if mean else (0.3, 0.5, 1.0)
    first = timing.FIRST_SAMPLING_S if work.gpu else 0.0
    low, middle, high = (
        first + sum(timing.sample_s(work, n, rows, min(share * (mean or longest), longest), longest) for n in answers)
        for share in shares
    )
    result.append(_phase("sample", found["sample"], low, middle, high))
    if judging:
        result.append(_judging(home, judging))
    return result


def total_s(found: list[Phase], n_evaluations: int) -> tuple[float, float]:
    """(low, high) of the whole run: judging adds what is left of it after the last checkpoint's answers."""

    def total(which: str) -> float:
        seconds = {phase.name: float(getattr(phase, which)) for phase in found}
        judge = seconds.pop("judge", 0.0)
        during = seconds.get("train", 0.0) + seconds.get("sample", 0.0)
        return sum(seconds.values()) + max(judge / max(1, n_evaluations), judge - during)

    return total("low_s"), total("high_s")


def _phase(name: str, by: Correction, low: float, middle: float, high: float) -> Phase:
    return Phase(name, low * by.low, middle * by.middle, high * by.high, by.source)


def _training(found: dict[str, Correction], steps_s: float, around_s: float) -> Phase:
    step, around = found["step"], found["around"]
    low, middle, high = (steps_s * getattr(step, end) + around_s * getattr(around, end) for end in ("low", "middle", "high"))
    return Phase("train", low, middle, high, step.source)


def _judging(home: Home, judging: list[tuple[JudgeSpec, int]]) -> Phase:
    low = middle = high = 0.0
    sources = set()
    for judge, n in judging:
        known = past.judgements_per_s(home, judge.name, judge.model)
        if known:
            by = Correction(0.7, 1.0, 1.5, known[1], True)
            speed = known[0]
        else:
            by = Correction(0.4, 1.0, 3.0)
            speed = {"organism": _RULES_PER_S, "local": _LOCAL_PER_S}.get(judge.name, judge.max_concurrency / _REPLY_S)
        low, middle, high = low + n / speed * by.low, middle + n / speed, high + n / speed * by.high
        sources.add(by.source)
    return Phase("judge", low, middle, high, sources.pop() if len(sources) == 1 else "in part rough", True)
