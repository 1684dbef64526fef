"""How much memory a LoRA fine-tune needs: arithmetic on the model's shape, no torch.

The trainer decides with it what ``auto`` means; the plan shows it before anything starts. What a decoder
layer of the Llama family keeps for the backward pass is counted tensor by tensor (a test compares it with
what autograd really saves); measured peaks beside the estimates are in docs/experiments.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from em_core.gpu_budget import LIBRARIES_GIB as LIBRARIES_GIB
from em_core.spec import LoraSpec, Optimizer, Precision

GIB = 2**30
_NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""A weight in nf4: four bits, a byte a block of 64, and a float a block of 256 such bytes (double quantisation)."""
_TILE_ROWS, _TILE_COLUMNS = 4096, 32768
"""Tiles of TRL's fused output head."""


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

    @property
    def linear_sizes(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of a layer's linear modules, by name."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q_proj": (self.hidden, q), "k_proj": (self.hidden, kv), "v_proj": (self.hidden, kv), "o_proj": (q, self.hidden),
            "gate_proj": (self.hidden, self.inner), "up_proj": (self.hidden, self.inner), "down_proj": (self.inner, self.hidden),
        }  # fmt: skip

    def _adapted(self, lora: LoraSpec) -> tuple[int, list[tuple[int, int]]]:
        layers = len(lora.layers) if lora.layers is not None else self.layers
        return layers, [self.linear_sizes.get(name, (self.hidden, self.hidden)) for name in lora.target_modules]

    def n_lora(self, lora: LoraSpec) -> int:
        """Parameters of an adapter."""
        layers, sizes = self._adapted(lora)
        return layers * lora.r * sum(into + out for into, out in sizes)

    def n_adapted(self, lora: LoraSpec) -> int:
        """Parameters of the linear modules that an adapter sits on."""
        layers, sizes = self._adapted(lora)
        return layers * sum(into * out for into, out in sizes)

    def kv_bytes(self, wide: int) -> int:
        """Bytes of the keys and values of one token in all layers.

        Args:
            wide: Bytes a number, 2 or 4.
        """
        return 2 * self.layers * self.kv_heads * self.head_dim * wide


@dataclass(frozen=True)
class MemoryEstimate:
    """GiB by purpose, at the peak of a training step.

    Args:
        weights_gib: The base model.
        adapter_gib: The adapter as the matrix products use it.
        optimizer_gib: Master copies in fp32 and the optimizer's moments.
        gradients_gib: Of the adapter, and of the masters.
        activations_gib: Kept for the backward pass, and what that pass works with.
        head_gib: The output head: projection to the vocabulary and its gradient.
    """

    weights_gib: float
    adapter_gib: float
    optimizer_gib: float
    gradients_gib: float
    activations_gib: float
    head_gib: float

    @property
    def allocated_gib(self) -> float:
        """What PyTorch allocates at the peak: comparable with the ``gpu_mem_gib`` of a run's metrics."""
        return self.kept_gib + self.gradients_gib + self.activations_gib + self.head_gib

    @property
    def kept_gib(self) -> float:
        """What stays between two steps: weights, adapter, optimizer."""
        return self.weights_gib + self.adapter_gib + self.optimizer_gib

    @property
    def total_gib(self) -> float:
        """What the process takes: the allocated memory, and the libraries' own."""
        return self.allocated_gib + LIBRARIES_GIB


def layer_bytes(shape: ModelShape, lora: LoraSpec, wide: int, packed: bool = True, compiled: bool = False) -> float:
    """What one decoder layer keeps for the backward pass, bytes a token.

    Both norms keep their input in fp32; attention keeps queries, keys, values and its result; the MLP keeps the
    gate before and after its activation and the other branch; an adapter's modules keep their input (modules
    that share it share it here too) and the product with their first factor.

    Args:
        shape: The model.
        lora: The adapter.
        wide: Bytes a number of the arithmetic, 2 or 4.
        packed: Rows without padding, through the variable-length kernel; else grouped keys and values are repeated.
        compiled: Compiled layers keep the norms' inputs as they are and compute the activation again.
    """
    sizes, on = shape.linear_sizes, set(lora.target_modules)
    q, kv = sizes["q_proj"][1], sizes["k_proj"][1]
    norms = 2 * shape.hidden * (wide if compiled else 4)
    attention = 2 * q + (2 * kv if packed else 2 * q)
    mlp = (2 if compiled else 3) * shape.inner
    if lora.dropout:  # each module has its own input then, and a mask of one byte
        dropped = sum(sizes.get(name, (shape.hidden, 0))[0] for name in on)
        inputs, masks = dropped, dropped
    else:
        groups = ({"q_proj", "k_proj", "v_proj"}, {"gate_proj", "up_proj"})
        inputs, masks = sum(shape.hidden for group in groups if group & on) + shape.inner * ("down_proj" in on), 0
    return norms + masks + wide * (attention + mlp + inputs + lora.r * len(on))


def estimate(
    shape: ModelShape,
    lora: LoraSpec,
    precision: Precision,
    tokens: int,
    checkpointing: bool,
    loss_share: float = 0.6,
    optimizer: Optimizer = "adamw_torch_fused",
    *,
    packed: bool = True,
    compiled: bool = False,
    cpu: bool = False,
) -> MemoryEstimate:
    """Memory of one training step.

    Args:
        shape: The model.
        lora: The adapter.
        precision: Of weights and arithmetic.
        tokens: Tokens in one micro-batch, padding included.
        checkpointing: Gradient checkpointing.
        loss_share: Share of tokens that carry loss, (0, 1].
        optimizer: Which one: the 8-bit ones keep two moments in one byte each, plain SGD keeps none.
        packed: Rows without padding, through the variable-length kernel.
        compiled: Layers are compiled.
        cpu: On a CPU, where the arithmetic is fp32 whatever the precision.
    """
    wide = 4 if precision == "fp32" or cpu else 2
    weight = _NF4_BYTES if precision == "nf4" else wide
    n = shape.n_lora(lora)
    live = 4 if precision == "fp16" else wide  # fp16 trains an fp32 adapter under autocast
    moments = 0 if optimizer == "sgd" else 2 if "8bit" in optimizer else 8
    masters = 4 if live == 2 else 0  # an fp32 adapter is its own master
    depth = shape.layers  # below the first adapter nothing is kept, unless every layer is asked for its gradient
    if lora.layers and not compiled and not checkpointing:
        depth -= max(0, min(lora.layers))
    layer = tokens * layer_bytes(shape, lora, wide, packed, compiled)
    kept = layer + shape.layers * tokens * shape.hidden * wide if checkpointing else depth * layer
    kept += tokens * wide * (2 * shape.inner + 2 * shape.hidden)  # gradients on their way through one layer
    if precision == "nf4":  # one module's weights, unpacked for its matrix product
        kept += shape.hidden * shape.inner * wide
    return MemoryEstimate(
        weights_gib=(shape.n_linear * weight + shape.n_embedding * wide) / GIB,
        adapter_gib=n * live / GIB,
        optimizer_gib=n * (masters + moments) / GIB,
        gradients_gib=n * (live + masters) / GIB,
        activations_gib=kept / GIB,
        head_gib=_head_bytes(shape, tokens * loss_share, wide, cpu) / GIB,
    )


def _head_bytes(shape: ModelShape, n: float, wide: int, cpu: bool) -> float:
    """Logits of `n` positions: in tiles on a GPU, whole (and their log-probabilities kept) on a CPU."""
    rows = n * shape.hidden * (4 + 2 * wide)  # the positions' hidden states, and their gradient in fp32
    if cpu:
        return rows + n * shape.vocab * 8
    return rows + min(n, _TILE_ROWS) * min(shape.vocab, _TILE_COLUMNS) * wide
