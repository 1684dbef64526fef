"""What the runs at work hold, and what other programs do: the marks of their starts against what the driver says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from em_core.home import Home
from em_core.machine import GpuProcess, GpuUse
from em_core.organism.models import is_organism
from em_core.supervisor.evidence import RunStatus
from em_core.supervisor.marks import PROOF_VARIABLE, last_spawn
from em_core.supervisor.placing import Held, Memory, drivers_gib
from em_core.supervisor.slots import Seat, Slot, use_of


def look(
    home: Home,
    active: Sequence[RunStatus],
    slots: Sequence[Slot],
    uses: Sequence[GpuUse],
    problem: str = "",
    seats: Mapping[str, Seat] | None = None,
) -> tuple[list[Held], dict[str, Memory]]:
    """What each run at work has, and the GPUs' memory by slot name, other programs named.

    Args:
        home: Where the runs are.
        active: Runs at work.
        slots: Of this machine.
        uses: What the driver says of its GPUs now.
        problem: What is wrong with the driver; then no GPU can be used.
        seats: Of runs that the caller started itself, by run.

    Returns:
        The runs in the order of `active`; the memory without slots of which nothing is known.
    """
    marks = {status.run_id: last_spawn(home.runs / status.run_id) for status in active}
    ours = _owners({str(mark["token"]): run for run, mark in marks.items() if mark.get("token")}, uses)
    of_slot = {slot.name: found for slot in slots if (found := use_of(slot, uses)) is not None}
    held: list[Held] = []
    for status in active:
        seat, mark = (seats or {}).get(status.run_id), marks[status.run_id]
        taken = {name for run in held for name in run.slots}
        names = tuple(s.name for s in seat.slots) if seat else _slots_of(mark, status, slots, taken)
        budget = seat.gpu_gib if seat else mark.get("gpu_gib")
        held.append(
            Held(
                status.run_id,
                names,
                float(budget) if isinstance(budget, (int, float)) else None,
                _measured(status.run_id, names, of_slot, ours),
                status.state != "starting" and status.total_steps is not None,
            )
        )
    if problem:
        return held, {slot.name: Memory(problem=problem) for slot in slots if slot.is_gpu}
    return held, {name: _memory(each, ours) for name, each in of_slot.items()}


def _memory(use: GpuUse, ours: Mapping[int, str]) -> Memory:
    others = tuple(_words(process) for process in use.processes if process.pid not in ours)
    return Memory(use.total_gib, use.used_gib, others if _told(use) else (), use.problem)


def _slots_of(mark: Mapping[str, object], status: RunStatus, slots: Sequence[Slot], taken: set[str]) -> tuple[str, ...]:
    """From the mark of its start; a run without one (started by hand) is taken to be where it would have been put."""
    names = tuple(name for name in str(mark.get("slot") or "").split("+") if name)
    if names and (names[0].startswith("gpu:") or names[0] not in taken):
        return names
    toy = is_organism(status.base_model)
    free = [slot for slot in slots if slot.name not in taken]
    guess = min(free, key=lambda slot: (slot.is_gpu == toy, slots.index(slot)), default=None)
    return (guess.name,) if guess else ()


def _measured(run_id: str, names: Sequence[str], uses: Mapping[str, GpuUse], ours: Mapping[int, str]) -> dict[str, float] | None:
    """GiB that its processes hold, by slot; None where the driver does not tell."""
    found = {}
    for name in names:
        use = uses.get(name)
        if use is None or not use.total_gib or not _told(use):
            return None
        found[name] = sum(p.used_gib or 0.0 for p in use.processes if ours.get(p.pid) == run_id)
    return found


def _told(use: GpuUse) -> bool:
    """Whether the programs listed are all there are, with their memory, under the numbers that they have here.

    In a container the driver may list none, or those of the host under numbers that mean nothing here.
    """
    if any(process.used_gib is None or not Path(f"/proc/{process.pid}").exists() for process in use.processes):
        return False
    listed = sum(process.used_gib or 0.0 for process in use.processes)
    return use.used_gib - listed <= drivers_gib(use.total_gib)


def _owners(tokens: Mapping[str, str], uses: Sequence[GpuUse]) -> dict[int, str]:
    """Which of the programs on the GPUs belong to which run, by the token that only a run's processes have."""
    found: dict[int, str] = {}
    for process in (process for use in uses for process in use.processes):
        if process.pid in found:
            continue
        try:
            variables = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue  # gone, or somebody else's
        prefix = f"{PROOF_VARIABLE}=".encode()
        token = next((v.removeprefix(prefix).decode("ascii", "replace") for v in variables if v.startswith(prefix)), "")
        if token in tokens:
            found[process.pid] = tokens[token]
    return found


def _words(process: GpuProcess) -> str:
    name = process.name or "a program"
    if process.used_gib is None:
        return f"{name} (pid {process.pid})"
    return f"{name} (pid {process.pid}, {process.used_gib:.1f} GiB)"
