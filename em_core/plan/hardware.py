"""What this machine has, asked without loading torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

_ASK_AGAIN_S = 30.0
_found: tuple[float, tuple[Gpu, ...]] | None = None


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU: its name, memory in GiB, and how much of that is free."""

    name: str
    total_gib: float
    free_gib: float


def gpus() -> tuple[Gpu, ...]:
    """The GPUs that a run may use (``CUDA_VISIBLE_DEVICES`` honoured when it hides all of them)."""
    global _found
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or not shutil.which("nvidia-smi"):
        return ()
    if _found is None or time.monotonic() - _found[0] > _ASK_AGAIN_S:
        _found = time.monotonic(), _ask()
    return _found[1]


def _ask() -> tuple[Gpu, ...]:
    query = ["nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=15, check=True)
        rows = [line.split(", ") for line in done.stdout.strip().splitlines()]
        return tuple(Gpu(name, float(total) / 1024, float(free) / 1024) for name, total, free in rows)
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()


def memory_gib() -> float:
    """Memory that is free for a run: the largest GPU's whole memory, else the machine's available memory."""
    found = gpus()
    if found:
        return max(gpu.total_gib for gpu in found)
    import psutil

    return float(psutil.virtual_memory().available) / 2**30


def existing(folder: Path) -> Path:
    """The nearest folder on the way up that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def disk_free_gib(folder: Path) -> float:
    """Free disk space where `folder` is or would be, GiB."""
    return shutil.disk_usage(existing(folder)).free / 2**30
