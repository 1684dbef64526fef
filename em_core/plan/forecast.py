"""What a plan says of a run, short enough to be kept beside its spec: for the queue, and to compare with what it took.

{"needs": {"gpus": 1, "gpu_gib": 31.2},
 "plan": {"version": 1, "device": ..., "memory_train_gib": ..., "memory_sample_gib": ..., "phases": [...], ...}}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from em_core import plan as planning
from em_core.errors import EMError
from em_core.home import Home
from em_core.plan import Plan, many
from em_core.spec import RunSpec

VERSION = 1
MOST_PLANS = 40
"""Of a large launch so many kinds of run are planned whole; of the others only what the queue needs is worked out."""
MOST_NEEDS = 400
_KEPT = (
    "device", "layout", "memory_gib", "memory_train_gib", "memory_sample_gib", "fit", "total_steps", "tokens_total",
    "n_answers", "n_evaluations", "judge_calls", "disk_gib", "phases", "time_source", "time_s",
)  # fmt: skip


def of_plan(plan: Plan) -> dict[str, Any]:
    """The figures of one plan."""
    body = plan.as_dict()
    needs = {"gpus": plan.gpus, "gpu_gib": plan.gpu_gib}
    return {"needs": needs, "plan": {"version": VERSION, **{name: body[name] for name in _KEPT}}}


def of_specs(specs: Sequence[RunSpec], home: Home) -> list[dict[str, Any]]:
    """The figures of each spec, in order. Runs that differ only in what changes neither work nor size share one plan.

    Whatever cannot be planned is launched all the same, with less known about it: an empty object then.
    """
    groups = many.kinds(specs)
    found: dict[int, dict[str, Any]] = {}
    for number, group in enumerate(groups):
        figures = _figures(group[0], home, whole=number < MOST_PLANS) if number < MOST_NEEDS else {}
        found |= {id(spec): figures for spec in group}
    return [found[id(spec)] for spec in specs]


def _figures(spec: RunSpec, home: Home, whole: bool) -> dict[str, Any]:
    try:
        return of_plan(planning.plan(spec, home)) if whole else {"needs": asdict(planning.needs(spec))}
    except (EMError, OSError, ValueError, KeyError, TypeError, ArithmeticError):
        return {}
