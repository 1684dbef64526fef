"""What this machine has, asked without loading torch."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

from em_core import machine
from em_core.machine import Gpu

_ASK_AGAIN_S = 30.0
_found: tuple[float, tuple[Gpu, ...]] | None = None


def gpus() -> tuple[Gpu, ...]:
    """The GPUs of known memory that a run may use: those that ``CUDA_VISIBLE_DEVICES`` names by number, or all."""
    global _found
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return ()
    if _found is None or time.monotonic() - _found[0] > _ASK_AGAIN_S:
        _found = time.monotonic(), tuple(gpu for gpu in machine.gpus() if gpu.total_gib)
    if visible is None or not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", visible):
        return _found[1]  # named by id: which of them is not known here
    numbers = {int(number) for number in visible.split(",")}
    return tuple(gpu for gpu in _found[1] if gpu.index in numbers)


def largest_gpu() -> Gpu | None:
    """The GPU that plans are made for; None = there is none."""
    return max(gpus(), key=lambda gpu: gpu.total_gib, default=None)


def memory_gib() -> float:
    """Memory that is free for a run: the largest GPU's whole memory, else the machine's available memory."""
    if (gpu := largest_gpu()) is not None:
        return gpu.total_gib
    import psutil

    return float(psutil.virtual_memory().available) / 2**30


def total_gib() -> float:
    """All the memory that a run could ever have: the largest GPU's, else the machine's."""
    if (gpu := largest_gpu()) is not None:
        return gpu.total_gib
    import psutil

    return float(psutil.virtual_memory().total) / 2**30


def existing(folder: Path) -> Path:
    """The nearest folder on the way up that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def disk_free_gib(folder: Path) -> float:
    """Free disk space where `folder` is or would be, GiB."""
    return shutil.disk_usage(existing(folder)).free / 2**30
