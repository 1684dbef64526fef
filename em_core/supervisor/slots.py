"""Where runs are worked on: one run per GPU, and a few on the CPU.

``EM_SLOTS`` overrides what is found: ``EM_SLOTS=cpu,cpu`` (two runs on the CPU), ``EM_SLOTS=gpu:0,gpu:1``
(one on each GPU), or a number (that many on the CPU, beside the GPUs).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from em_core import machine
from em_core.errors import BadInput

MAX_CPU_SLOTS = 2


@dataclass(frozen=True)
class Slot:
    """Room for one run.

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

    def environment(self) -> dict[str, str]:
        """Variables for the worker; on the CPU one thread per run, since small runs go side by side."""
        if self.is_gpu:
            order = {} if "CUDA_VISIBLE_DEVICES" in os.environ else {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}  # as nvidia-smi counts
            return {"CUDA_VISIBLE_DEVICES": self.device, **order}
        return {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


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
    slots = [Slot(f"gpu:{device}", device) for device in visible_gpus()] + [Slot(f"cpu:{i}") for i in range(n_cpu)]
    if not slots:
        raise BadInput(f"EM_SLOTS={wanted}: no slot is left", "use a number from 1, or a list such as cpu,cpu")
    return slots


def choose(slots: Sequence[Slot], taken: Collection[str], *, toy: bool) -> Slot | None:
    """The free slot that a run should take, or None when it has to wait.

    Args:
        slots: All slots.
        taken: Names of those with a run.
        toy: Whether the run's model is an organism: these keep the GPUs free where they can, while
            other models wait for a GPU, if the machine has any, rather than crawl on the CPU.
    """
    usable = [slot for slot in slots if toy or slot.is_gpu or not any(s.is_gpu for s in slots)]
    free = [slot for slot in usable if slot.name not in taken]
    return min(free, key=lambda slot: (slot.is_gpu == toy, slots.index(slot)), default=None)


def visible_gpus() -> list[str]:
    """Indices (or ids) of the CUDA GPUs that this process may use; asks ``nvidia-smi``, never torch."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return [device.strip() for device in allowed.split(",") if re.fullmatch(r"\d+|(GPU|MIG)-[\w./-]+", device.strip())]
    return [str(gpu.index) for gpu in machine.gpus()]


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
        raise BadInput(f"EM_SLOTS={wanted}: a GPU is named twice", "one run per GPU; name each once")
    return slots


def _cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
