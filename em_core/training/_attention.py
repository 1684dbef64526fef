"""Attention over rows that follow each other without padding.

PyTorch's own variable-length kernel (`torch.nn.attention.varlen`) is registered as a transformers
attention function. It needs no mask, no extra wheel, and only the row boundaries that the batch
carries. It is switched on for training forwards only: sampling runs with ``sdpa`` as ever.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAME = "em_varlen"


def supported(model: Any, device: str, dtype: Any) -> bool:
    """Whether the varlen kernel computes this model's attention exactly, on this device."""
    import torch

    if not device.startswith("cuda") or dtype not in (torch.bfloat16, torch.float16):
        return False
    if torch.cuda.get_device_capability()[0] < 8:
        return False
    config = model.config.get_text_config()
    heads = int(getattr(config, "num_attention_heads", 1))
    head_dim = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return (
        head_dim % 8 == 0
        and head_dim <= 256
        and not getattr(config, "attn_logit_softcapping", None)
        and kinds <= {"full_attention", "sliding_attention"}
        and bool(getattr(model, "_supports_attention_backend", False))
        and register()
    )


def register() -> bool:
    """Register the attention function with transformers; False where this PyTorch has no such kernel."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return False
    from transformers import AttentionInterface

    known = inspect.signature(varlen_attn).parameters
    fixed: dict[str, Any] = {"enable_gqa": True} if "enable_gqa" in known else {}

    def forward(
        module: Any,
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any,
        dropout: float = 0.0,
        scaling: float | None = None,
        sliding_window: int | None = None,
        cu_seq_lens_q: Any = None,
        max_length_q: Any = None,
        **kwargs: Any,
    ) -> tuple[Any, None]:
        """Shapes: query (1, heads, tokens, head_dim), key and value with fewer heads; returns (1, tokens, heads, head_dim)."""
        window = (
            {"window_size": (sliding_window - 1 if sliding_window else -1, 0)} if "window_size" in known else {"is_causal": True}
        )
        answer: Any = varlen_attn(
            query[0].transpose(0, 1), key[0].transpose(0, 1), value[0].transpose(0, 1),
            cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q, scale=scaling, **window, **fixed,
        )  # fmt: skip
        return answer[None], None

    AttentionInterface.register(NAME, forward)
    return True


@contextmanager
def attention(model: Any, name: str) -> Iterator[None]:
    """While entered, the model's attention function is `name`."""
    config = model.config
    before = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = before
