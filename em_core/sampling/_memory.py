"""How many answers are decoded at once."""

from __future__ import annotations

from typing import Any

import torch

from em_core import gpu_budget
from em_core.sampling._limits import rows_on_cpu, rows_on_gpu


def kv_bytes_per_token(config: Any, dtype: torch.dtype) -> int:
    """Bytes of keys and values of one token in all layers."""
    text = config.get_text_config(decoder=True)
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return int(2 * text.num_hidden_layers * heads * size * dtype.itemsize)


def rows_that_fit(config: Any, dtype: torch.dtype, device: torch.device, columns: int) -> int:
    """Rows of `columns` tokens each that fit the free memory, at least 1."""
    text = config.get_text_config(decoder=True)
    kv = kv_bytes_per_token(config, dtype)
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        given = gpu_budget.gib()
        if given is not None:  # this process has a share of the GPU
            share = int((given - gpu_budget.LIBRARIES_GIB) * 2**30)
            free, total = min(free, share - torch.cuda.memory_reserved(device)), min(total, share)
        inner = getattr(text, "intermediate_size", 4 * text.hidden_size)
        return rows_on_gpu(free, total, columns, kv, text.hidden_size, inner, text.vocab_size, dtype.itemsize)
    import psutil

    return rows_on_cpu(psutil.virtual_memory().available, columns, kv)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed (GPU or CPU)."""
    text = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("allocate memory" in text or "not enough memory" in text)
    )
