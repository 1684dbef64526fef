"""Why a queued run waits, in words."""

from __future__ import annotations

from collections.abc import Sequence

_LISTED = 4
PAUSED = "the queue is paused; what runs goes on"
SOON = "starts in a moment"
NO_GPU_EITHER = "and no GPU has room"
UNATTENDED = "nobody works on the queue: open the app, or run `python -m em_core queue start`"


def no_cpu(n_slots: int) -> str:
    """Every place on the CPU has a run."""
    return "the CPU place is taken" if n_slots == 1 else f"all {n_slots} CPU places are taken"


def too_many(wanted: int, there: int, *, sliced: bool) -> str:
    """It wants more GPUs than there are."""
    have = "one GPU" if there == 1 else f"{there} GPUs"
    part = " that can work together (slices of a divided GPU cannot)" if sliced else ""
    return f"it wants {wanted} GPUs and this machine has {have}{part}: it will never start here; set train.gpus lower"


def too_large(gpus: int, need_gib: float, totals_gib: Sequence[float]) -> str:
    """It needs more memory than there is, whoever else is there; `totals_gib` ascend."""
    what = "on one GPU" if gpus == 1 else f"on each of {gpus} GPUs"
    have = f"the largest here has {totals_gib[-1]:.0f}" if gpus == 1 else f"{_listed([f'{t:.0f}' for t in totals_gib])} are here"
    return (
        f"it needs about {need_gib:.1f} GiB {what}, {have}: it will never start here; "
        "train.precision = nf4, a smaller batch or a smaller model takes less"
    )


def problem(what: str, why: str) -> str:
    """A GPU, or all of them, that no run can use."""
    return f"{what} cannot be used: {why}"


def kept(what: str, for_run: str) -> str:
    """A GPU that a run further ahead waits for."""
    return f"{what} is kept for {for_run}, which is first"


def alone(what: str, run: str) -> str:
    """A GPU that one run has for itself."""
    return f"{what} is taken by {run}"


def wanted_alone(what: str, runs: Sequence[str]) -> str:
    """A GPU with runs of ours that this one cannot be beside."""
    return f"{what} has {_listed(runs)}, and this run needs it alone"


def places(what: str, runs: Sequence[str]) -> str:
    """A GPU with as many runs as may share it."""
    return f"{what} has {_listed(runs)}; no more share a GPU (EM_RUNS_PER_GPU)"


def full(what: str, total_gib: float, taken_gib: float, foreign_gib: float, others: Sequence[str], need_gib: float | None) -> str:
    """A GPU without enough free memory.

    Args:
        what: The GPU.
        total_gib: Its memory, GiB.
        taken_gib: In use or promised to our runs, GiB.
        foreign_gib: Of that, what is not ours, GiB.
        others: Other programs, in words.
        need_gib: What this run needs, GiB; None = not known.
    """
    who = f" ({_listed(others)})" if others else ""
    foreign = f", {foreign_gib:.1f} by other programs{who}" if foreign_gib >= 1 or others else ""
    need = "it is not known how much this run needs" if need_gib is None else f"this run needs {need_gib:.1f}"
    return f"{what} is full: {taken_gib:.1f} of {total_gib:.0f} GiB taken{foreign}; {need}"


def together(lines: Sequence[str], gpus: int) -> str:
    """All GPUs' reasons as one sentence."""
    start = f"it waits for {gpus} GPUs at once: " if gpus > 1 else ""
    return start + _listed(list(lines), "; ", "more GPUs")


def _listed(items: Sequence[str], between: str = ", ", more: str = "more") -> str:
    shown = between.join(items[:_LISTED])
    return shown if len(items) <= _LISTED else f"{shown}{between}{len(items) - _LISTED} {more}"
