"""How many answers fit on a device, by arithmetic on the model's shape; no torch, so that the plan can ask before a run."""

from __future__ import annotations

MOST_ON_GPU = 1024  # beyond this a step is compute-bound: more rows only wait longer
MOST_ON_CPU = 256
CPU_SHARE, CPU_BYTES = 0.25, 2**30  # of the memory that is free, and never more than this
GPU_MARGIN = 0.10  # of the whole GPU, left alone for fragments and other processes
PREFILL_TOKENS_GPU, PREFILL_TOKENS_CPU = 8192, 4096  # most prompt tokens, padding included, in one forward pass
BUCKET_GPU, BUCKET_CPU = 64, 16  # columns of the cache are rounded up to this
COPIES_SHARE = 0.25  # pristine weights stay on the GPU when they take at most this much of its free memory


def rows_on_gpu(free: float, total: float, columns: int, kv: int, hidden: int, inner: int, vocab: int, wide: int) -> int:
    """Rows of `columns` tokens each, at least 1.

    Args:
        free: Bytes that are free, the model being there already.
        total: Bytes of the whole GPU.
        columns: Tokens of the longest row, prompt and answer.
        kv: Bytes of the keys and values of one token.
        hidden: Width of the model.
        inner: Width of its MLP.
        vocab: Size of its vocabulary.
        wide: Bytes a number.
    """
    activations = (8 * hidden + 4 * inner) * wide
    room = free - GPU_MARGIN * total - PREFILL_TOKENS_GPU * (kv + activations)
    one_step = vocab * (wide + 4) + activations
    return int(max(1, min(MOST_ON_GPU, room // (columns * kv + one_step))))


def rows_on_cpu(available: float, columns: int, kv: int) -> int:
    """Rows of `columns` tokens each, at least 1; `available` is the machine's free memory in bytes."""
    return int(max(1, min(MOST_ON_CPU, min(CPU_BYTES, CPU_SHARE * available) // (columns * kv))))
