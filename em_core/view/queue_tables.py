"""The queue and the slots as rows of a table, the same for pages and commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from em_core.nvml import GpuUse


def waiting_row(place: int, priority: int, run_id: str, experiment: str, reason: str) -> dict[str, Any]:
    """A queued run.

    Args:
        place: From 1.
        priority: A higher one is taken first.
        run_id: The run.
        experiment: Its group; may be empty.
        reason: Why it waits.
    """
    return {"place": place, "run_id": run_id, "reason": reason, "priority": priority, "experiment": experiment}


def slot_row(
    title: str,
    use: GpuUse | None,
    runs: Sequence[tuple[str, float | None]],
    others: Sequence[str],
    foreign_gib: float | None,
    problem: str,
) -> dict[str, str]:
    """A slot and what it holds.

    Args:
        title: ``GPU 0``.
        use: What the driver says of it; None for the CPU.
        runs: Runs in it, each with its budget in GiB (None = it has the slot alone).
        others: Other programs on it, in words.
        foreign_gib: Memory that is not ours, GiB; None = not known.
        problem: Why no run can use it; empty when it is fine.
    """
    held = [run if budget is None else f"{run} (up to {budget:.1f} GiB)" for run, budget in runs]
    return {
        "slot": title,
        "runs": ", ".join(held) or ("cannot be used" if problem else "none of ours" if others else "free"),
        "memory": f"{use.used_gib:.1f} of {use.total_gib:.0f} GiB taken" if use is not None and use.total_gib else "",
        "other programs": problem or _others(others, foreign_gib),
    }


def _others(others: Sequence[str], foreign_gib: float | None) -> str:
    if others:
        return ", ".join(others)
    if foreign_gib is not None and foreign_gib >= 2:  # below that it is the driver's own
        return f"{foreign_gib:.1f} GiB by programs that cannot be seen from here"
    return ""
