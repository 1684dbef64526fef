"""What surrounds training in its process: the GPU's memory, compiled layers, chatter of libraries."""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from em_core import gpu_budget


def free_gib(device: str, model: Any) -> float:
    """Memory that training may take, the loaded weights included, GiB."""
    if device == "cpu":
        import psutil

        free = psutil.virtual_memory().available
    else:
        import torch

        free = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    given = gpu_budget.gib() if device != "cpu" else None
    return float(0.92 * min((free + weights) / 2**30, given or math.inf))


def limit_gpu() -> None:
    """Hold this process to its share of the GPU: beyond it PyTorch says "out of memory" and takes nothing from others."""
    import torch

    budget = gpu_budget.gib()
    if budget is not None and torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory / 2**30
        torch.cuda.set_per_process_memory_fraction(min(1.0, max(0.01, (budget - gpu_budget.LIBRARIES_GIB) / total)), 0)


def compile_layers(model: Any) -> None:
    """Compile each decoder layer; all layers share the same two graphs. A layer that cannot be compiled runs as it is."""
    import torch

    layers = getattr(model.get_base_model().base_model, "layers", None)
    if layers is None:
        return
    torch._dynamo.config.suppress_errors = True
    model.enable_input_require_grads()  # else the first layer, whose input has no gradient, is a graph of its own
    for layer in layers:
        layer.compile()


@contextmanager
def third_party_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(torch|transformers|trl|peft|accelerate|bitsandbytes)(\..*)?")
        yield


def quiet() -> None:
    """No bars and no chatter of libraries in the worker's log."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    for name in ("trl", "accelerate", "peft"):
        logging.getLogger(name).setLevel(logging.ERROR)


def release() -> None:
    """Give unused GPU memory back."""
    import torch

    gc.collect()
    with contextlib.suppress(RuntimeError):  # after a driver error every call fails
        torch.cuda.empty_cache()
