"""How good plans were: what was said when a run was launched against what it then took.

Planned figures are those in the run's ``spec.json`` (`em_core.plan.forecast`), measured ones those of its events. Only
finished runs of one attempt count: an interrupted one has waited, loaded twice, or trained a part of it on another day.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from em_core.home import Home
from em_core.plan import past
from em_core.store import history

MOST_RUNS = 200
TITLES = {
    "memory_train": "memory in training, GiB", "memory_sample": "memory in sampling, GiB", "load": "loading, s",
    "train": "training, s", "sample": "sampling, s", "total": "whole run, s",
}  # fmt: skip
"""What is compared, in the order in which it is shown."""


@dataclass(frozen=True)
class Compared:
    """One figure of one run.

    Args:
        run_id: The run.
        base_model: What it started from.
        device: The GPU's name, or ``cpu``.
        what: A key of `TITLES`.
        planned: As said before; for times the middle of the range.
        low, high: The range that was said; for memory the figure itself.
        measured: As it was.
        source: Where the planned figure came from.
    """

    run_id: str
    base_model: str
    device: str
    what: str
    planned: float
    low: float
    high: float
    measured: float
    source: str

    @property
    def ratio(self) -> float:
        """Planned over measured: above 1 the plan was too high."""
        return self.planned / self.measured

    @property
    def error(self) -> float:
        """|ratio - 1|."""
        return abs(self.ratio - 1)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, with title and ratio."""
        return {**asdict(self), "title": TITLES[self.what], "ratio": round(self.ratio, 3)}


@dataclass(frozen=True)
class Summary:
    """All runs' figures of one kind.

    Args:
        what: A key of `TITLES`.
        n: Runs.
        median_ratio: Planned over measured.
        median_error: Median of |ratio - 1|.
        worst_error: The largest.
        n_inside: Times only: how many were inside the range that was said; for memory, within 15 %.
    """

    what: str
    n: int
    median_ratio: float
    median_error: float
    worst_error: float
    n_inside: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, with its title."""
        return {**asdict(self), "title": TITLES[self.what]}


def compared(home: Home, most: int = MOST_RUNS) -> list[Compared]:
    """Every planned figure that was also measured, newest run first.

    Args:
        home: Whose runs: those of this machine.
        most: At most so many of the newest.

    Raises:
        WorkFailed: The database cannot be read.
    """
    if not home.database.is_file():
        return []
    found: list[Compared] = []
    for run in history.of_run(history.runs(home, socket.gethostname(), most=most)):
        if (run["n_attempts"] or 1) <= 1 and (planned := past.planned(home, run["run_id"])):
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):  # a file that somebody changed
                found += _of_run(run, planned)
    return found


def summaries(rows: Sequence[Compared]) -> list[Summary]:
    """One per kind of figure, in the order of `TITLES`."""
    result = []
    for what in TITLES:
        of = [row for row in rows if row.what == what]
        if not of:
            continue
        inside = [row.error <= 0.15 if what.startswith("memory") else row.low <= row.measured <= row.high for row in of]
        errors = [row.error for row in of]
        middle = statistics.median(row.ratio for row in of)
        result.append(Summary(what, len(of), middle, statistics.median(errors), max(errors), sum(inside)))
    return result


def sentence(found: Sequence[Summary]) -> str:
    """One line for the plan of the next run; empty where nothing was measured yet."""
    by = {each.what: each for each in found}
    parts = []
    for what, words in (("memory_train", "memory"), ("total", "time")):
        if what in by:
            parts.append(
                f"{words} off by {by[what].median_error:.0%} (median of {by[what].n} run{'s' if by[what].n > 1 else ''})"
            )
    return f"Earlier plans on this machine: {', '.join(parts)}." if parts else ""


def _of_run(run: dict[str, Any], planned: dict[str, Any]) -> list[Compared]:
    result: list[Compared] = []

    def add(what: str, figures: tuple[Any, Any, Any], measured: Any, source: str) -> None:
        low, middle, high = figures
        if middle and measured and measured > 0:
            device = run["gpu"] or "cpu"
            result.append(Compared(run["run_id"], run["base_model"], device, what, middle, low, high, float(measured), source))

    for what, measured in (("memory_train", run["train_gib"]), ("memory_sample", run["sample_gib"])):
        gib = planned.get(f"{what}_gib")
        add(what, (gib, gib, gib), measured, "arithmetic")
    phases = {str(phase["name"]): phase for phase in planned.get("phases") or []}
    evaluations = max(1, int(planned.get("n_evaluations") or 1))
    shared = (evaluations - 1) / evaluations if not run["step0_s"] else 1.0  # another run had sampled step 0 already
    took = {"load": run["load_s"], "train": run["train_s"], "sample": (run["sample_s"] or 0.0) + run["step0_s"]}
    whole = [0.0, 0.0, 0.0]
    for name, phase in phases.items():
        part = shared if name == "sample" else 1 / evaluations if name == "judge" else 1.0
        figures = (part * phase["low_s"], part * phase["middle_s"], part * phase["high_s"])
        whole = [total + seconds for total, seconds in zip(whole, figures, strict=True)]
        if name in took:
            add(name, figures, took[name], str(phase["source"]))
    add("total", (whole[0], whole[1], whole[2]), run["wall_s"], str(planned.get("time_source") or ""))
    return result
