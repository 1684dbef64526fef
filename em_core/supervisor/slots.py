"""What a run can be given on this machine: a CPU slot, a GPU, a share of one, or several.

A *slot* is one GPU (or MIG slice) or one place on the CPU; a *seat* is what one run gets of them.
``EM_SLOTS`` fixes the slots (``3`` = three CPU places, or a list such as ``gpu:0,gpu:1,cpu``);
``EM_RUNS_PER_GPU`` says how many small runs may share a GPU (1 = none).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from em_core import gpu_budget, machine, ranks
from em_core.errors import BadInput
from em_core.machine import GpuUse

MAX_CPU_SLOTS = 2
RUNS_PER_GPU = 2
_PCI_ORDER = "PCI_BUS_ID"


@dataclass(frozen=True)
class Slot:
    """Room for one run, or on a GPU for several small ones.

    Args:
        name: ``cpu:0``, ``gpu:1``, unique in a home.
        device: Value for ``CUDA_VISIBLE_DEVICES``; empty = no GPU.
    """

    name: str
    device: str = ""

    @property
    def is_gpu(self) -> bool:
        """Whether runs in it see a GPU."""
        return bool(self.device)

    @property
    def title(self) -> str:
        """For people: ``GPU 1``, ``CPU place 1``."""
        kind, _, number = self.name.partition(":")
        return f"GPU {number}" if kind == "gpu" else f"CPU place {int(number) + 1}" if number.isdecimal() else self.name


@dataclass(frozen=True)
class Seat:
    """What one run works on.

    Args:
        slots: One slot, or several GPUs.
        gpu_gib: Memory that it may use on its GPU, GiB, others being there too; None = all that it finds.
    """

    slots: tuple[Slot, ...]
    gpu_gib: float | None = None

    @property
    def name(self) -> str:
        """``gpu:0+gpu:1``; the slots' names in order."""
        return "+".join(slot.name for slot in self.slots)

    @property
    def n_gpus(self) -> int:
        """How many GPUs; 0 on the CPU."""
        return sum(slot.is_gpu for slot in self.slots)

    def environment(self) -> dict[str, str]:
        """Variables for the worker; on the CPU one thread per run, since small runs go side by side."""
        if not self.n_gpus:
            return {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        given = {"CUDA_VISIBLE_DEVICES": ",".join(slot.device for slot in self.slots)}
        if "CUDA_VISIBLE_DEVICES" not in os.environ:
            given["CUDA_DEVICE_ORDER"] = _PCI_ORDER  # as the driver counts
        if self.n_gpus > 1:
            given[ranks.GPUS_VARIABLE] = str(self.n_gpus)
        if self.gpu_gib is not None:
            given[gpu_budget.VARIABLE] = f"{self.gpu_gib:.2f}"
        return given


def find_slots() -> list[Slot]:
    """The slots of this machine.

    Raises:
        BadInput: ``EM_SLOTS`` is not understood.
    """
    wanted = os.environ.get("EM_SLOTS", "").strip()
    n_cpu = min(MAX_CPU_SLOTS, _cpus())
    if wanted and not wanted.isdecimal():
        return _named(wanted)
    if wanted:
        n_cpu = int(wanted)
    slots = [*_gpu_slots(), *(Slot(f"cpu:{i}") for i in range(n_cpu))]
    if not slots:
        raise BadInput(f"EM_SLOTS={wanted}: no slot is left", "use a number from 1, or a list such as cpu,cpu")
    return slots


def runs_per_gpu() -> int:
    """How many small runs may share a GPU.

    Raises:
        BadInput: ``EM_RUNS_PER_GPU`` is no number from 1.
    """
    wanted = os.environ.get("EM_RUNS_PER_GPU", "").strip() or str(RUNS_PER_GPU)
    if not wanted.isdecimal() or int(wanted) < 1:
        raise BadInput(f"EM_RUNS_PER_GPU={wanted}: not a number of runs", "use a number from 1; 1 = no GPU is shared")
    return int(wanted)


def hidden_gpus(slots: Sequence[Slot], problem: str) -> str:
    """Why there may be GPUs beside these slots: the driver does not answer, and nobody said what to use. Empty = there are none.

    Args:
        slots: `find_slots`.
        problem: What is wrong with the driver, of `em_core.machine.ask_usage`.
    """
    wanted = os.environ.get("EM_SLOTS", "").strip()
    said = "CUDA_VISIBLE_DEVICES" in os.environ or (wanted and not wanted.isdecimal())
    return problem if problem == machine.HANGS and not said and not any(slot.is_gpu for slot in slots) else ""


def use_of(slot: Slot, uses: Sequence[GpuUse]) -> GpuUse | None:
    """What the driver says of a slot's GPU; None where it says nothing, or where it is not certain which one is meant.

    With ``CUDA_VISIBLE_DEVICES`` set and unequal GPUs, a number counts from the fastest one unless
    ``CUDA_DEVICE_ORDER=PCI_BUS_ID`` is set as well, and only CUDA knows that order.
    """
    if not slot.is_gpu:
        return None
    if not slot.device.isdecimal():
        named = [use for use in uses if use.uuid.startswith(slot.device)]  # CUDA takes the beginning of an id too
        return named[0] if len(named) == 1 else None
    by_speed = "CUDA_VISIBLE_DEVICES" in os.environ and os.environ.get("CUDA_DEVICE_ORDER") != _PCI_ORDER
    if by_speed and len({use.name for use in uses if not use.mig}) > 1:
        return None
    whole = [use for use in uses if use.index == int(slot.device) and not use.mig]
    return whole[0] if len(whole) == 1 else None


def _gpu_slots() -> list[Slot]:
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None:
        found = [use for use in machine.usage() if not use.problem]
        numbers = [str(use.index) for use in found if not use.mig]
        return [Slot(f"gpu:{n}", n) for n in numbers] + [Slot(f"gpu:{use.uuid}", use.uuid) for use in found if use.mig]
    slots: list[Slot] = []
    for device in (part.strip() for part in allowed.split(",")):
        if not re.fullmatch(r"\d+|(GPU|MIG)-[\w./-]+", device):
            break  # as CUDA does: what follows something unknown does not count
        slots.append(Slot(f"gpu:{device}", device))
    return slots


def _named(wanted: str) -> list[Slot]:
    slots: list[Slot] = []
    for item in (part.strip().lower() for part in wanted.split(",")):
        if item == "cpu":
            slots.append(Slot(f"cpu:{sum(not slot.is_gpu for slot in slots)}"))
        elif re.fullmatch(r"gpu:\d+", item):
            slots.append(Slot(item, item.removeprefix("gpu:")))
        else:
            raise BadInput(f"EM_SLOTS: {item!r} is not a slot", "use a number, or a list such as gpu:0,gpu:1,cpu")
    if len({slot.name for slot in slots}) < len(slots):
        raise BadInput(f"EM_SLOTS={wanted}: a GPU is named twice", "name each once; small runs share one (EM_RUNS_PER_GPU)")
    return slots


def _cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
