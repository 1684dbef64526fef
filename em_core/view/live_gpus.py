"""GPUs in words and rows for the Live page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from em_core.gpu_history import GpuTrace


@dataclass(frozen=True)
class Tile:
    """One number with its last minutes.

    Args:
        label: What.
        value: Now, with its unit; a dash where the driver does not say.
        history: Before, oldest first; empty where there is none.
    """

    label: str
    value: str
    history: list[float]


def name(gpu: GpuTrace) -> str:
    """``GPU 0: NVIDIA H200``."""
    return f"GPU {gpu.now.index}{' (MIG slice)' if gpu.now.mig else ''}: {gpu.now.name}"


def tiles(gpu: GpuTrace) -> list[Tile]:
    """Load, memory, heat, power."""
    now = gpu.now
    limit = f" of {now.power_limit_w:,.0f}" if now.power_limit_w else ""
    return [
        Tile("Load", _shown(now.util_percent, "%"), _known(gpu.util_percent)),
        Tile("Memory", _memory(gpu), _known(gpu.used_gib) if now.total_gib else []),
        Tile("Temperature", _shown(now.temperature_c, "°C"), _known(gpu.temperature_c)),
        Tile("Power", f"{now.power_w:,.0f}{limit} W" if now.power_w is not None else "–", _known(gpu.power_w)),
    ]


def table(gpus: Sequence[GpuTrace]) -> pd.DataFrame:
    """One row per GPU."""
    return pd.DataFrame(
        {
            "GPU": [name(gpu).removeprefix("GPU ") for gpu in gpus],
            "Load": [gpu.now.util_percent for gpu in gpus],
            "Last minutes": [_known(gpu.util_percent) for gpu in gpus],
            "Memory": [100 * gpu.now.used_gib / gpu.now.total_gib if gpu.now.total_gib else None for gpu in gpus],
            "GiB": [_memory(gpu) for gpu in gpus],
            "°C": [gpu.now.temperature_c for gpu in gpus],
            "W": [tiles(gpu)[3].value.removesuffix(" W") for gpu in gpus],
            "Problem": [gpu.now.problem for gpu in gpus],
        }
    )


def _memory(gpu: GpuTrace) -> str:
    return f"{gpu.now.used_gib:,.1f} of {gpu.now.total_gib:,.0f} GiB" if gpu.now.total_gib else "–"


def _shown(value: int | None, unit: str) -> str:
    return f"{value} {unit}" if value is not None else "–"


def _known(values: Sequence[float | None]) -> list[float]:
    return [float(value) for value in values if value is not None]
