"""The training session's model, lent for decoding: what is switched for the time, and its masks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from em_core.errors import BadInput

_PLAIN = {"full_attention", "sliding_attention"}


def unwrap(model: Any) -> Any:
    """The transformers model inside a PEFT model (adapter layers included), or the model itself."""
    return model.get_base_model() if hasattr(model, "peft_config") and hasattr(model, "get_base_model") else model


@contextmanager
def lent(model: Any) -> Iterator[Any]:
    """Ready to decode: eval mode, sdpa attention, compiled layers bypassed; afterwards as before.

    Training may have set an attention for packed rows, compiled the layers for its own shapes, and
    train mode (which also turns on gradient checkpointing); none of it is for decoding.

    Yields:
        The transformers model to call.
    """
    inner = unwrap(model)
    modes = [(module, module.training) for module in model.modules()]
    compiled = [(m, m._compiled_call_impl) for m in model.modules() if m._compiled_call_impl is not None]
    attention = inner.config._attn_implementation
    try:
        model.eval()
        for module, _ in compiled:
            module._compiled_call_impl = None
        if attention not in ("sdpa", "eager"):
            inner.set_attn_implementation("sdpa")
        yield inner
    finally:
        if inner.config._attn_implementation != attention:
            inner.set_attn_implementation(attention)
        for module, call in compiled:
            module._compiled_call_impl = call
        for module, mode in modes:
            module.training = mode


class Masks:
    """Attention masks of one decoding step, each row at its own position.

    Args:
        model: The transformers model.

    Raises:
        BadInput: The model has layers that are not attention over a plain cache (state-space, chunked).
    """

    def __init__(self, model: Any) -> None:
        config = model.config.get_text_config(decoder=True)
        self._window: int | None = getattr(config, "sliding_window", None)
        kinds = set(getattr(config, "layer_types", None) or [])
        if not kinds:
            kinds = {"sliding_attention"} if self._window else {"full_attention"}
        if kinds - _PLAIN:
            raise BadInput(
                f"sampler 'local' cannot decode {type(model).__name__}: its layers are {', '.join(sorted(kinds))}",
                "use a model whose layers are plain or sliding-window attention",
            )
        self._kinds = kinds
        self._additive = model.config._attn_implementation == "eager"
        self._dtype = model.get_input_embeddings().weight.dtype

    def at(self, positions: Tensor, width: int) -> Tensor | dict[str, Tensor]:
        """Which cache columns each row sees.

        Args:
            positions: Column of the token that is being fed, shape (rows,).
            width: Columns of the cache in view.

        Returns:
            Shape (rows, 1, 1, width), or one such mask per layer kind.
        """
        columns = torch.arange(width, device=positions.device)
        seen = columns[None, :] <= positions[:, None]
        if "sliding_attention" not in self._kinds or not self._window or width <= self._window:
            return self._shape(seen)
        near = seen & (columns[None, :] > positions[:, None] - self._window)
        if self._kinds == {"sliding_attention"}:
            return self._shape(near)
        return {"full_attention": self._shape(seen), "sliding_attention": self._shape(near)}

    def _shape(self, seen: Tensor) -> Tensor:
        if self._additive:
            added = torch.zeros(seen.shape, dtype=self._dtype, device=seen.device)
            seen = added.masked_fill_(~seen, torch.finfo(self._dtype).min)
        return seen[:, None, None, :]
