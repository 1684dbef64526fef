"""The plan of many runs together, from the plans of a few: runs that differ only in a seed or a learning rate cost the same.

kinds(specs)              groups of specs that one plan stands for
total(specs, home)        their sums; at most `MOST_PLANS` kinds are planned, the others are estimated from these
validate(specs, home)     one check for each kind; raises with all problems
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from em_core.errors import EMError, ManyProblems
from em_core.home import Home
from em_core.plan import Plan
from em_core.plan import plan as plan_one
from em_core.plan import validate as validate_one
from em_core.spec import RunSpec
from em_core.view.run_words import time_range

MOST_PLANS = 12
_INDIFFERENT: Any = {
    "name": True,
    "experiment": True,
    "train": {"seed", "learning_rate", "schedule", "warmup_steps", "weight_decay", "max_grad_norm"},
    "lora": {"alpha", "dropout", "rslora"},
    "evaluation": {"seed"},
}
"""Knobs that change what is learned and neither what is done nor what it takes."""


@dataclass(frozen=True)
class Total:
    """What several runs would do together. Times are those of one run after another.

    Args:
        n_runs: Runs.
        n_kinds: Groups of runs whose plans are the same.
        n_planned: Of these, how many were planned; the others count as much as the mean run of these.
        n_steps: Optimizer steps of all runs.
        n_checkpoints: Saved checkpoints of all runs.
        n_answers: Answers of all runs, step 0 of each counted (runs share it where their base and questions are the same).
        judge_calls: Calls of all judges.
        cost_usd: (low, high) of all judges; None where a price is not known.
        time_s: (low, high) for all runs one after another; None where one is not known.
        longest_s: (low, high) of the longest run; None where one is not known.
        disk_gib: Disk for all of them.
        disk_free_gib: Free disk space of the home.
        memory_gib: The largest run's peak; None where one is not known.
        memory_free_gib: Memory there is.
        n_too_big: Runs that need more memory than there is.
        device: Where they would run.
        warnings: What is likely to disappoint, each said once.
    """

    n_runs: int
    n_kinds: int
    n_planned: int
    n_steps: int
    n_checkpoints: int
    n_answers: int
    judge_calls: int
    cost_usd: tuple[float, float] | None
    time_s: tuple[float, float] | None
    longest_s: tuple[float, float] | None
    disk_gib: float
    disk_free_gib: float
    memory_gib: float | None
    memory_free_gib: float
    n_too_big: int
    device: str
    warnings: tuple[str, ...]

    @property
    def scaled(self) -> bool:
        """Whether some kinds of run were not planned but estimated."""
        return self.n_planned < self.n_kinds

    def text(self) -> str:
        """The sums for a person, a few lines."""
        cost = "unknown price" if self.cost_usd is None else f"{self.cost_usd[0]:,.2f} to {self.cost_usd[1]:,.2f} US dollars"
        time = "unknown" if self.time_s is None else f"{time_range(*self.time_s)}, one after another"
        how = f"{self.n_planned} of {self.n_kinds} kinds of run planned, the others estimated from these" if self.scaled else ""
        lines = [
            f"together: {self.n_runs:,} runs" + (f" ({how})" if how else ""),
            f"  steps {self.n_steps:,}, checkpoints {self.n_checkpoints:,}, answers {self.n_answers:,} (a shared step 0 counted "
            "for each run)",
            f"  judge calls {self.judge_calls:,}, {cost}",
            f"  time {time} on {self.device}",
            f"  disk {self.disk_gib:,.2f} GiB of {self.disk_free_gib:,.1f} GiB free",
        ]
        if self.n_too_big:
            lines.append(f"  {self.n_too_big:,} of them need more memory than there is")
        return "\n".join(lines)


def kinds(specs: Sequence[RunSpec]) -> list[list[RunSpec]]:
    """Groups of specs that do and take the same, in order of appearance."""
    found: dict[str, list[RunSpec]] = {}
    for spec in specs:
        found.setdefault(json.dumps(spec.model_dump(mode="json", exclude=_INDIFFERENT), sort_keys=True), []).append(spec)
    return list(found.values())


def total(specs: Sequence[RunSpec], home: Home | None = None, most: int = MOST_PLANS) -> Total:
    """Add up the plans of several runs.

    Args:
        specs: At least one.
        home: Where they would be kept.
        most: Kinds that are planned; of more, evenly chosen ones.

    Raises:
        BadInput: Something of one of them cannot be read (`validate` reports all).
    """
    groups = kinds(specs)
    chosen = [groups[round(i * (len(groups) - 1) / (most - 1))] for i in range(most)] if len(groups) > most > 1 else groups
    planned = [(plan_one(group[0], home), len(group)) for group in chosen]
    weight = len(specs) / sum(n for _, n in planned)

    def add(values: Sequence[float]) -> float:
        return weight * sum(value * n for value, (_, n) in zip(values, planned, strict=True))

    def ranges(values: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
        known = [value for value in values if value is not None]
        return (add([low for low, _ in known]), add([high for _, high in known])) if len(known) == len(values) else None

    plans = [each for each, _ in planned]
    downloads = [each.disk_split.get("download", 0.0) for each in plans]  # once for all runs of that model
    times, costs = [each.time_s for each in plans], [_cost(each) for each in plans]
    memory = [each.memory_gib for each in plans if each.memory_gib is not None]
    known = [each for each in times if each is not None]
    return Total(
        n_runs=len(specs),
        n_kinds=len(groups),
        n_planned=len(planned),
        n_steps=round(add([each.total_steps for each in plans])),
        n_checkpoints=round(add([len(each.checkpoint_steps) for each in plans])),
        n_answers=round(add([each.n_answers for each in plans])),
        judge_calls=round(add([each.judge_calls for each in plans])),
        cost_usd=ranges(costs),
        time_s=ranges(times),
        longest_s=(max(low for low, _ in known), max(high for _, high in known)) if len(known) == len(times) else None,
        disk_gib=add([each.disk_gib - download for each, download in zip(plans, downloads, strict=True)])
        + sum({(group[0].base_model, group[0].revision): gib for group, gib in zip(chosen, downloads, strict=True)}.values()),
        disk_free_gib=min(each.disk_free_gib for each in plans),
        memory_gib=max(memory) if memory else None,
        memory_free_gib=min(each.memory_free_gib for each in plans),
        n_too_big=round(add([each.fit == "too_big" for each in plans])),
        device=plans[0].device,
        warnings=tuple(dict.fromkeys(warning for each in plans for warning in each.warnings)),
    )


def _cost(plan: Plan) -> tuple[float, float] | None:
    costs: list[Any] = [judge["cost_usd"] for judge in plan.judges]
    if any(cost is None for cost in costs):
        return None
    return sum(float(cost[0]) for cost in costs), sum(float(cost[1]) for cost in costs)


def validate(specs: Sequence[RunSpec], home: Home | None = None, online: bool = True) -> None:
    """Make sure that all of them can start; one of each kind is looked at.

    Raises:
        ManyProblems: With every problem of any of them, each once.
    """
    problems: list[tuple[str, str, str]] = []
    for group in kinds(specs):
        try:
            validate_one(group[0], home, online)
        except ManyProblems as error:
            problems += error.problems
        except EMError as error:
            if error.exit_code != 2:
                raise  # refused: nothing of a spec is wrong
            problems.append(("", error.message, error.hint))
    if problems:
        raise ManyProblems("", list(dict.fromkeys(problems)))
