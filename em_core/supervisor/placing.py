"""Which queued run gets which GPUs, with how much memory, and why the others wait: a function of plain values.

The rules, in the order of the queue:

- A run on a GPU that it has alone may use all of its memory. A run whose need is known and small
  (with some headroom no more than the GPU's memory divided by `Machine.runs_per_gpu`) shares a GPU with
  others of that kind and is given a budget. A run of unknown need, and one that wants several GPUs,
  gets GPUs that no run of ours is on.
- What other programs hold counts as taken. Nobody ends them.
- Runs of a toy model prefer the CPU, all others wait for a GPU where the machine has one, or may have one
  whose driver does not answer yet.
- **Nobody is overtaken for ever**: a run that cannot start now keeps the GPUs that it will have
  first (those with the fewest runs of ours), and no run behind it starts on these. It only keeps
  GPUs that would do once our own runs have ended, so that another program never stops the queue.
  Each kept GPU empties, since its runs end and none is added; so the run starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from em_core.supervisor import reasons
from em_core.supervisor.slots import Seat, Slot

HEADROOM = 1.15
"""A shared budget is at least the planned need times this: a plan may be off by 15 %."""
_DRIVERS_GIB, _DRIVERS_SHARE = 1.5, 0.03
UNKNOWN_SHARE = 0.5
"""A run of unknown need starts on a GPU when other programs leave at least this share of its memory."""


@dataclass(frozen=True)
class Memory:
    """One GPU's memory now.

    Args:
        total_gib: All of it, GiB; 0 = not known.
        used_gib: What is taken, by whomever, GiB.
        others: Programs that are not ours, the largest first, in words: ``60.1 GiB by python (pid 123)``.
        problem: Why no run can use it; empty when it is fine.
    """

    total_gib: float = 0.0
    used_gib: float = 0.0
    others: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Held:
    """What a run at work has.

    Args:
        run_id: The run.
        slots: Names of its slots.
        gpu_gib: Its budget on a shared GPU, GiB; None = it has its GPUs alone.
        used_gib: What it was measured to use, GiB by slot; None = the driver does not tell whose memory it is.
        settled: Its model is loaded, so that what it takes is in the GPU's used memory.
    """

    run_id: str
    slots: tuple[str, ...]
    gpu_gib: float | None = None
    used_gib: Mapping[str, float] | None = None
    settled: bool = True


@dataclass(frozen=True)
class Wanted:
    """What a queued run asks for.

    Args:
        run_id: The run.
        toy: Whether its model is an organism.
        gpus: How many GPUs.
        gpu_gib: Memory that it needs on each, GiB; None = not known.
    """

    run_id: str
    toy: bool = False
    gpus: int = 1
    gpu_gib: float | None = None


@dataclass(frozen=True)
class Machine:
    """What there is.

    Args:
        slots: All slots.
        memory: Of the GPUs, by slot name; a slot that is missing has an unknown memory.
        runs_per_gpu: How many small runs may share a GPU.
        hidden: Why there may be GPUs that are no slots yet (`em_core.supervisor.slots.hidden_gpus`); empty = there are none.
    """

    slots: tuple[Slot, ...]
    memory: Mapping[str, Memory] = field(default_factory=dict)
    runs_per_gpu: int = 2
    hidden: str = ""


@dataclass(frozen=True)
class Decision:
    """What becomes of a queued run now.

    Args:
        run_id: The run.
        seat: What it gets; None = it waits.
        reason: Why it waits, in words; empty when it starts.
        never: This machine can never run it as it is.
    """

    run_id: str
    seat: Seat | None
    reason: str = ""
    never: bool = False


def drivers_gib(total_gib: float) -> float:
    """Taken memory that belongs to no program, the driver's own: at most about so much, GiB."""
    return max(_DRIVERS_GIB, _DRIVERS_SHARE * total_gib)


def foreign_gib(memory: Memory, held: Sequence[Held], slot: str) -> float:
    """Memory of one GPU that is not ours (other programs and the driver), GiB.

    Where the driver does not tell whose memory it is (in a container), what is taken beyond our runs'
    budgets; a run that has only begun is taken to hold nothing yet.
    """
    here = [run for run in held if slot in run.slots]
    if any(run.used_gib is None and run.gpu_gib is None for run in here):
        return 0.0  # it has the GPU alone and may hold everything
    ours = 0.0
    for run in here:
        if run.used_gib is not None:
            ours += run.used_gib.get(slot, 0.0)
        elif run.settled:
            ours += run.gpu_gib or 0.0
    return max(0.0, memory.used_gib - ours)


def place(machine: Machine, held: Sequence[Held], queue: Sequence[Wanted]) -> list[Decision]:
    """Decide on every queued run.

    Args:
        machine: What there is.
        held: Runs at work.
        queue: Queued runs, in order.

    Returns:
        One decision per queued run, in the same order.
    """
    board = _Board(machine, held)
    return [board.decide(wanted) for wanted in queue]


class _Gpu:
    """One GPU while decisions are made."""

    def __init__(self, slot: Slot, memory: Memory, held: Sequence[Held]) -> None:
        self.slot, self.memory = slot, memory
        here = [run for run in held if slot.name in run.slots]
        self.runs = [run.run_id for run in here]
        self.alone = any(run.gpu_gib is None for run in here)
        self.foreign = foreign_gib(memory, held, slot.name)
        measured = [(run.used_gib or {}).get(slot.name, 0.0) for run in here]
        self.promised = sum(max(run.gpu_gib or 0.0, used) for run, used in zip(here, measured, strict=True))
        self.kept_for = ""

    @property
    def free_of_others(self) -> float:
        """Memory that our runs can have in all, GiB."""
        return self.memory.total_gib - self.foreign

    def would_do(self, wanted: Wanted) -> bool:
        """Whether the run could start here if no run of ours was here."""
        if self.memory.problem:
            return False
        total, need = self.memory.total_gib, wanted.gpu_gib
        if not total:
            return True
        if need is None:
            return self.free_of_others >= UNKNOWN_SHARE * total
        nobody = not self.memory.others and self.foreign <= drivers_gib(total)  # else the largest runs would wait for ever
        return need <= (total if nobody else self.free_of_others)

    def small(self, wanted: Wanted, most: int) -> bool:
        """Whether the run leaves room for others of its size, `most` in all."""
        need, total = wanted.gpu_gib, self.memory.total_gib
        return most > 1 and need is not None and total > 0 and need * HEADROOM <= total / most

    def budget(self, wanted: Wanted, most: int) -> float | None:
        """Memory for the run beside others, GiB; None when it cannot be beside others, or not here, or not now."""
        if wanted.gpus > 1 or self.memory.problem or self.alone or len(self.runs) >= most or not self.small(wanted, most):
            return None
        need = (wanted.gpu_gib or 0.0) * HEADROOM
        room = self.free_of_others - self.promised
        share = min(self.memory.total_gib / most, room / (most - len(self.runs)))
        return max(need, share) if need <= room else None


class _Board:
    """The slots while decisions are made, one run after another."""

    def __init__(self, machine: Machine, held: Sequence[Held]) -> None:
        self._most, self._hidden = machine.runs_per_gpu, machine.hidden
        taken = {name for run in held for name in run.slots}
        self._cpus = [slot for slot in machine.slots if not slot.is_gpu and slot.name not in taken]
        self._n_cpus = sum(not slot.is_gpu for slot in machine.slots)
        self._gpus = [_Gpu(s, machine.memory.get(s.name, Memory()), held) for s in machine.slots if s.is_gpu]

    def decide(self, wanted: Wanted) -> Decision:
        if self._hidden and not wanted.toy:  # on the CPU it would crawl
            return Decision(wanted.run_id, None, reasons.problem("the GPUs", self._hidden))
        prefers_cpu = wanted.toy and wanted.gpus == 1 and self._n_cpus > 0
        if (prefers_cpu or not self._gpus) and self._cpus:
            return Decision(wanted.run_id, Seat((self._cpus.pop(0),)))
        if not self._gpus:
            return Decision(wanted.run_id, None, reasons.no_cpu(self._n_cpus))
        impossible = self._impossible(wanted)
        if not impossible and (seat := self._seat(wanted)) is not None:
            return Decision(wanted.run_id, seat)
        if prefers_cpu:  # it keeps no GPU: a place on the CPU is free soon
            reason = reasons.no_cpu(self._n_cpus)
            return Decision(wanted.run_id, None, reason if impossible else f"{reason}, {reasons.NO_GPU_EITHER}")
        if impossible:
            return Decision(wanted.run_id, None, impossible, never=True)
        reason = self._reason(wanted)
        self._keep(wanted)
        return Decision(wanted.run_id, None, reason)

    def _impossible(self, wanted: Wanted) -> str:
        usable = [gpu for gpu in self._gpus if wanted.gpus == 1 or not gpu.slot.device.startswith("MIG-")]
        if wanted.gpus > len(usable):
            return reasons.too_many(wanted.gpus, len(usable), sliced=len(usable) < len(self._gpus))
        large = [g for g in usable if not g.memory.total_gib or g.memory.total_gib >= (wanted.gpu_gib or 0.0)]
        if wanted.gpus > len(large):
            return reasons.too_large(wanted.gpus, wanted.gpu_gib or 0.0, sorted(g.memory.total_gib for g in usable))
        return ""

    def _seat(self, wanted: Wanted) -> Seat | None:
        able = []
        for gpu in self._free(wanted.gpus):
            budget = gpu.budget(wanted, self._most)
            if budget is not None or (not gpu.runs and gpu.would_do(wanted)):
                able.append((gpu, budget))
        able.sort(key=lambda pair: _preferred(pair[0]))
        chosen = sorted(able[: wanted.gpus], key=lambda pair: self._gpus.index(pair[0]))
        if len(chosen) < wanted.gpus:
            return None
        for gpu, budget in chosen:
            gpu.runs.append(wanted.run_id)
            gpu.promised += budget or 0.0
            gpu.alone = budget is None
        return Seat(tuple(gpu.slot for gpu, _ in chosen), chosen[0][1])

    def _keep(self, wanted: Wanted) -> None:
        """Let nobody behind this run start on the GPUs that it will have first."""
        able = sorted((gpu for gpu in self._free(wanted.gpus) if gpu.would_do(wanted)), key=_preferred)
        if len(able) >= wanted.gpus:
            for gpu in able[: wanted.gpus]:
                gpu.kept_for = wanted.run_id

    def _free(self, n: int = 1) -> list[_Gpu]:
        """GPUs that nobody in front waits for; for several at once whole ones only."""
        return [gpu for gpu in self._gpus if not gpu.kept_for and (n == 1 or not gpu.slot.device.startswith("MIG-"))]

    def _reason(self, wanted: Wanted) -> str:
        return reasons.together([self._why_not(gpu, wanted) for gpu in self._gpus], wanted.gpus)

    def _why_not(self, gpu: _Gpu, wanted: Wanted) -> str:
        title, memory = gpu.slot.title, gpu.memory
        if memory.problem:
            return reasons.problem(title, memory.problem)
        if gpu.kept_for:
            return reasons.kept(title, gpu.kept_for)
        if gpu.alone:
            return reasons.alone(title, gpu.runs[-1])
        if gpu.runs and not (wanted.gpus == 1 and gpu.small(wanted, self._most)):
            return reasons.wanted_alone(title, gpu.runs)
        if len(gpu.runs) >= self._most:
            return reasons.places(title, gpu.runs)
        if not gpu.runs and gpu.would_do(wanted):
            return f"{title} is free"
        return reasons.full(title, memory.total_gib, gpu.foreign + gpu.promised, gpu.foreign, memory.others, wanted.gpu_gib)


def _preferred(gpu: _Gpu) -> tuple[int, bool, float]:
    """The fewest runs of ours, then no other program, then the smallest that does (large ones stay for large runs)."""
    return (len(gpu.runs), bool(gpu.memory.others), gpu.memory.total_gib)
