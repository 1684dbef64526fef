"""What the NVIDIA driver says about its GPUs right now, through its own library (NVML), without torch.

`read` talks to ``libnvidia-ml.so.1``, which comes with the driver, through the package
``nvidia-ml-py``. It may hang when the driver does: `em_core.machine` calls it and waits no longer than it
must. A field that a card does not have (power on a laptop, utilisation of a MIG slice, memory on a
chip that shares the CPU's) is None or 0, never an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

_GIB = float(2**30)
_T = TypeVar("_T")


class Unavailable(Exception):
    """The library cannot be used; the message says why, and is empty when there is no NVIDIA driver."""


@dataclass(frozen=True)
class GpuProcess:
    """A program that holds memory of a GPU.

    Args:
        pid: As the driver counts: in a container perhaps a number of the host, unknown here.
        used_gib: Memory that it holds there, GiB; None when the driver does not tell (no permission).
        name: File name of its program, without arguments; empty when unknown. Untrusted text.
    """

    pid: int
    used_gib: float | None
    name: str


@dataclass(frozen=True)
class GpuUse:
    """One GPU, or one MIG slice of a GPU, at this moment.

    Args:
        index: Number of the GPU in PCI order; slices share their GPU's.
        name: As the driver calls it.
        uuid: ``GPU-…`` or ``MIG-…``.
        total_gib: Its memory, GiB; 0 when the driver does not say.
        free_gib: How much of that is free, GiB.
        util_percent: Share of the last moment in which it computed, 0-100.
        temperature_c: Degrees Celsius.
        power_w: Watts drawn.
        power_limit_w: Watts that it may draw.
        processes: Who holds memory of it, largest first; empty also in a container that sees none.
        driver: Version of the driver.
        mig: It is a MIG slice: a program can use one of these only.
        problem: Why no program can use it; empty when it is fine.
    """

    index: int
    name: str
    uuid: str
    total_gib: float = 0.0
    free_gib: float = 0.0
    util_percent: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    processes: tuple[GpuProcess, ...] = ()
    driver: str = ""
    mig: bool = False
    problem: str = ""

    @property
    def used_gib(self) -> float:
        """Memory that is taken, by whomever, the driver included, GiB."""
        return max(0.0, self.total_gib - self.free_gib)


_open = False


def read() -> tuple[GpuUse, ...]:
    """Ask the driver now; some milliseconds a GPU.

    Raises:
        Unavailable: No library, no driver, or the two do not fit each other.
    """
    global _open
    try:
        import pynvml
    except ImportError as error:
        raise Unavailable("") from error
    try:
        if not _open:
            pynvml.nvmlInit()
            _open = True
        driver = str(pynvml.nvmlSystemGetDriverVersion())
        return tuple(use for index in range(pynvml.nvmlDeviceGetCount()) for use in _gpu(pynvml, index, driver))
    except pynvml.NVMLError as error:
        _open = False  # the driver went away or was replaced: begin anew next time
        absent = error.value in (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
        raise Unavailable("" if absent else f"the NVIDIA driver's library says: {error}") from error


def _gpu(nvml: Any, index: int, driver: str) -> list[GpuUse]:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError as error:
        if error.value == nvml.NVML_ERROR_UNINITIALIZED:
            raise
        return [GpuUse(index, f"GPU {index}", "", driver=driver, problem=f"the driver has lost it ({error})")]
    name = _maybe(nvml, nvml.nvmlDeviceGetName, handle) or f"GPU {index}"
    modes = _maybe(nvml, nvml.nvmlDeviceGetMigMode, handle)
    whole = _use(nvml, index, str(name), handle, driver)
    if not modes or modes[0] != 1:
        return [whole]
    slices = []
    for number in range(_maybe(nvml, nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        part = _maybe(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)
        if part is not None:
            title = str(_maybe(nvml, nvml.nvmlDeviceGetName, part) or f"{name} slice {number}")
            slices.append(_use(nvml, index, title, part, driver, mig=True))
    return slices or [GpuUse(index, str(name), whole.uuid, driver=driver, problem="it is in MIG mode and has no slice")]


def _use(nvml: Any, index: int, name: str, handle: Any, driver: str, *, mig: bool = False) -> GpuUse:
    memory = _maybe(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    busy = _maybe(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)
    power, limit = (_maybe(nvml, ask, handle) for ask in (nvml.nvmlDeviceGetPowerUsage, nvml.nvmlDeviceGetEnforcedPowerLimit))
    return GpuUse(
        index,
        name,
        str(_maybe(nvml, nvml.nvmlDeviceGetUUID, handle) or ""),
        memory.total / _GIB if memory else 0.0,
        memory.free / _GIB if memory else 0.0,
        busy.gpu if busy else None,
        _maybe(nvml, nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
        power / 1000 if power is not None else None,
        limit / 1000 if limit is not None else None,
        _processes(nvml, handle),
        driver,
        mig,
    )


def _processes(nvml: Any, handle: Any) -> tuple[GpuProcess, ...]:
    """Programs that compute or draw on it, each once."""
    held: dict[int, int | None] = {}
    for kind in ("Compute", "Graphics"):
        listed = None
        for version in ("_v3", "_v2"):  # drivers before 510 know the second only
            ask = getattr(nvml, f"nvmlDeviceGet{kind}RunningProcesses{version}", None)
            listed = _maybe(nvml, ask, handle) if ask and listed is None else listed
        for process in listed or ():
            before, now = held.get(process.pid), process.usedGpuMemory
            held[process.pid] = now if before is None else max(before, now or 0)  # one that does both is in both lists
    found = [GpuProcess(pid, None if used is None else used / _GIB, _name(nvml, pid)) for pid, used in held.items()]
    return tuple(sorted(found, key=lambda p: (-(p.used_gib or 0.0), p.pid)))


def _name(nvml: Any, pid: int) -> str:
    told = _maybe(nvml, nvml.nvmlSystemGetProcessName, pid)
    words = str(told or "").split()
    return os.path.basename(words[0]) if words else ""  # arguments may hold what is nobody's business


def _maybe(nvml: Any, ask: Callable[..., _T], *arguments: Any) -> _T | None:
    """The answer, None where this card or this account has none."""
    try:
        return ask(*arguments)
    except nvml.NVMLError as error:
        if error.value == nvml.NVML_ERROR_UNINITIALIZED:
            raise
        return None
    except UnicodeDecodeError:
        return None
