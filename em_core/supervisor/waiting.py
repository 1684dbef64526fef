"""Why each queued run waits, and what the slots hold: the supervisor's own decision, asked by pages and commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from em_core import machine
from em_core.home import Home
from em_core.machine import GpuUse
from em_core.supervisor import queue_order, reasons
from em_core.supervisor.evidence import RunStatus, list_runs
from em_core.supervisor.filling import Told, in_turn, told, wanted
from em_core.supervisor.holding import look
from em_core.supervisor.placing import Held, Machine, Memory, foreign_gib, place
from em_core.supervisor.queue_order import QueueOrder
from em_core.supervisor.slots import Slot, use_of
from em_core.supervisor.start import is_running


@dataclass(frozen=True)
class Waiting:
    """A queued run.

    Args:
        status: The run.
        place: From 1.
        priority: A higher one is taken first; 0 unless a person set it.
        reason: Why it waits, in words.
        never: This machine can never run it as it is.
    """

    status: RunStatus
    place: int
    priority: int
    reason: str
    never: bool = False


@dataclass(frozen=True)
class SlotUse:
    """A slot and what is in it.

    Args:
        slot: The slot.
        use: What the driver says of its GPU; None for the CPU and where it says nothing.
        held: The runs in it.
        others: Other programs on it, in words.
        foreign_gib: Memory that is not ours, GiB, the driver's own included; None where it is not known.
        problem: Why no run can use it; empty when it is fine.
    """

    slot: Slot
    use: GpuUse | None
    held: tuple[Held, ...]
    others: tuple[str, ...] = ()
    foreign_gib: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class Overview:
    """The queue and the slots at this moment.

    Args:
        order: What people said about the queue.
        waiting: Queued runs in the order in which they will be taken.
        slots: Every slot.
        attended: Whether a supervisor works on the queue.
    """

    order: QueueOrder
    waiting: tuple[Waiting, ...]
    slots: tuple[SlotUse, ...]
    attended: bool


def overview(home: Home, statuses: Sequence[RunStatus] | None = None) -> Overview:
    """The queue with its reasons, and the slots with what they hold; at most two seconds, some milliseconds as a rule.

    Args:
        home: The home.
        statuses: Of its runs, where the caller has looked already.

    Raises:
        BadInput: No supervisor runs, and ``EM_SLOTS`` or ``EM_RUNS_PER_GPU`` is not understood.
    """
    statuses = list_runs(home) if statuses is None else statuses
    order, attended = queue_order.read(home), is_running(home)
    known = told(home, attended)
    active, queue = [status for status in statuses if status.active], order.queued(statuses)
    uses, problem = machine.ask_usage() if any(slot.is_gpu for slot in known.slots) else ((), "")
    held, memory = look(home, active, known.slots, uses, problem)
    turns = [wanted(status) for status in in_turn(queue, known.refused)]
    decisions = {d.run_id: d for d in place(Machine(known.slots, memory, known.runs_per_gpu, known.hidden), held, turns)}
    waiting = []
    for number, status in enumerate(queue, 1):
        decision = decisions[status.run_id]
        reason = _words(decision.reason, status, order, known, attended)
        waiting.append(Waiting(status, number, order.priority(status.run_id), reason, decision.never))
    return Overview(order, tuple(waiting), tuple(_in(slot, uses, held, memory) for slot in known.slots), attended)


def _words(reason: str, status: RunStatus, order: QueueOrder, known: Told, attended: bool) -> str:
    if order.paused:
        return reasons.PAUSED
    if attended and (why := known.refused.get(status.run_id)):
        return why
    return reason or (reasons.SOON if attended else reasons.UNATTENDED)


def _in(slot: Slot, uses: Sequence[GpuUse], held: Sequence[Held], memory: dict[str, Memory]) -> SlotUse:
    here = tuple(run for run in held if slot.name in run.slots)
    of = memory.get(slot.name)
    if of is None:
        return SlotUse(slot, use_of(slot, uses), here)
    known = None if any(run.used_gib is None for run in here) or not of.total_gib else foreign_gib(of, held, slot.name)
    return SlotUse(slot, use_of(slot, uses), here, of.others, known, of.problem)
