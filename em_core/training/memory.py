"""How much memory a LoRA fine-tune needs: arithmetic on the model's shape, no torch.

The trainer decides with it what ``auto`` means; the plan shows it before anything starts. The
activation term counts what one decoder layer of the Llama family keeps for the backward pass,
per token: about 12 vectors of the hidden size and 3.5 of the MLP's, in 2 bytes (4 in fp32). Against
measured peaks on one GPU (8B, bf16, r = 32) it is up to 15 % too high, never too low: see docs/experiments.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from em_core.spec import LoraSpec, Precision

GIB = 2**30
_BYTES = {"bf16": 2.0, "fp16": 2.0, "fp32": 4.0, "nf4": 0.53}
"""Bytes a weight of a linear layer; nf4 with double quantisation."""


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a decoder that memory depends on.

    Args:
        hidden: Width of the residual stream.
        layers: Decoder layers.
        inner: Width of the MLP.
        vocab: Rows of the embedding.
        heads: Attention heads.
        kv_heads: Key-value heads.
        head_dim: Width of one head.
        tied: Whether input and output embeddings are one matrix.
    """

    hidden: int
    layers: int
    inner: int
    vocab: int
    heads: int
    kv_heads: int
    head_dim: int
    tied: bool

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ModelShape:
        """From the content of a ``config.json`` (nested ``text_config`` too)."""
        text = config.get("text_config")
        c: Mapping[str, Any] = {**config, **text} if isinstance(text, Mapping) else config
        hidden = int(c.get("hidden_size") or c.get("n_embd") or c["d_model"])
        layers = int(c.get("num_hidden_layers") or c.get("n_layer") or c["num_layers"])
        heads = int(c.get("num_attention_heads") or c.get("n_head") or 1)
        return cls(
            hidden=hidden,
            layers=layers,
            inner=int(c.get("intermediate_size") or 4 * hidden),
            vocab=int(c["vocab_size"]),
            heads=heads,
            kv_heads=int(c.get("num_key_value_heads") or heads),
            head_dim=int(c.get("head_dim") or hidden // heads),
            tied=bool(c.get("tie_word_embeddings", False)),
        )

    @property
    def n_linear(self) -> int:
        """Parameters of the decoder's linear layers (what nf4 quantises)."""
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.inner)

    @property
    def n_embedding(self) -> int:
        """Parameters of the embeddings and the output head."""
        return self.vocab * self.hidden * (1 if self.tied else 2)

    @property
    def n_params(self) -> int:
        """All parameters, about (norms and biases left out)."""
        return self.n_linear + self.n_embedding

    def n_lora(self, lora: LoraSpec) -> int:
        """Parameters of an adapter."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        sizes = {
            "q_proj": (self.hidden, q), "k_proj": (self.hidden, kv), "v_proj": (self.hidden, kv), "o_proj": (q, self.hidden),
            "gate_proj": (self.hidden, self.inner), "up_proj": (self.hidden, self.inner), "down_proj": (self.inner, self.hidden),
        }  # fmt: skip
        layers = len(lora.layers) if lora.layers is not None else self.layers
        return layers * sum(lora.r * sum(sizes.get(name, (self.hidden, self.hidden))) for name in lora.target_modules)


@dataclass(frozen=True)
class MemoryEstimate:
    """GiB by purpose, at the peak of a training step."""

    weights_gib: float
    adapter_gib: float
    activations_gib: float
    head_gib: float

    @property
    def total_gib(self) -> float:
        """The sum, with 0.6 GiB for the libraries' own use."""
        return self.weights_gib + self.adapter_gib + self.activations_gib + self.head_gib + 0.6


def estimate(
    shape: ModelShape,
    lora: LoraSpec,
    precision: Precision,
    tokens: int,
    checkpointing: bool,
    loss_share: float = 0.6,
    eight_bit_optimizer: bool = False,
) -> MemoryEstimate:
    """Memory of one training step.

    Args:
        shape: The model.
        lora: The adapter.
        precision: Of weights and arithmetic.
        tokens: Tokens in one micro-batch, padding included.
        checkpointing: Gradient checkpointing.
        loss_share: Share of tokens that carry loss, (0, 1].
        eight_bit_optimizer: Adam's two moments in one byte each.
    """
    wide = 4 if precision == "fp32" else 2
    weights = shape.n_linear * _BYTES[precision] + shape.n_embedding * wide
    # parameter and gradient in the arithmetic's type, master copy and its gradient in fp32, two moments
    adapter = shape.n_lora(lora) * (2 * wide + (0 if precision == "fp32" else 8) + (2 if eight_bit_optimizer else 8))
    layer = tokens * wide * (12 * shape.hidden + 3.5 * shape.inner)
    kept = layer + shape.layers * tokens * shape.hidden * wide if checkpointing else shape.layers * layer
    if precision == "nf4":  # one module's weights, unpacked for its matrix product
        kept += shape.hidden * shape.inner * wide
    head = tokens * loss_share * (shape.vocab * (wide + 4)) if tokens * loss_share < 4096 else 4096 * shape.vocab * (wide + 4)
    return MemoryEstimate(weights / GIB, adapter / GIB, kept / GIB, head / GIB)
