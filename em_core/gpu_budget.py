"""How much of a GPU this process may use: all that is free, or what the supervisor gave it on a shared GPU."""

from __future__ import annotations

import math
import os

from em_core.errors import BadInput

VARIABLE = "EM_GPU_GIB"
LIBRARIES_GIB = 0.6
"""CUDA context, cuBLAS workspaces, kernels: of the process, but not of PyTorch's tensors."""


def gib() -> float | None:
    """The budget of this process, GiB, its libraries included; None = no limit but the GPU's own.

    Raises:
        BadInput: The variable is no number of GiB.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise BadInput(f"{VARIABLE}: {text!r} is no number of GiB", f"unset {VARIABLE}, or set it to a number such as 24.5")
    return value
