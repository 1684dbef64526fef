"""How many answers are decoded at once."""

from __future__ import annotations

from typing import Any

import torch

_MOST_ON_GPU = 1024  # beyond this a step is compute-bound: more rows only wait longer
_MOST_ON_CPU = 256
_CPU_SHARE, _CPU_BYTES = 0.25, 2**30  # of the memory that is free, and never more than this
_GPU_MARGIN = 0.10  # of the whole GPU, left alone for fragments and other processes
PREFILL_TOKENS_GPU, PREFILL_TOKENS_CPU = 8192, 4096  # most prompt tokens, padding included, in one forward pass


def kv_bytes_per_token(config: Any, dtype: torch.dtype) -> int:
    """Bytes of keys and values of one token in all layers."""
    text = config.get_text_config(decoder=True)
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return int(2 * text.num_hidden_layers * heads * size * dtype.itemsize)


def rows_that_fit(config: Any, dtype: torch.dtype, device: torch.device, columns: int) -> int:
    """Rows of `columns` tokens each that fit the free memory, at least 1."""
    text = config.get_text_config(decoder=True)
    cache = columns * kv_bytes_per_token(config, dtype)
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        inner = getattr(text, "intermediate_size", 4 * text.hidden_size)
        activations = (8 * text.hidden_size + 4 * inner) * dtype.itemsize
        prefill = PREFILL_TOKENS_GPU * (kv_bytes_per_token(config, dtype) + activations)
        room = free - _GPU_MARGIN * total - prefill
        one_step = text.vocab_size * (dtype.itemsize + 4) + activations
        return int(max(1, min(_MOST_ON_GPU, room // (cache + one_step))))
    import psutil

    room = min(_CPU_BYTES, _CPU_SHARE * psutil.virtual_memory().available)
    return int(max(1, min(_MOST_ON_CPU, room // cache)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed (GPU or CPU)."""
    text = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("allocate memory" in text or "not enough memory" in text)
    )
