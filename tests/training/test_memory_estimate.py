"""The memory of a training step by arithmetic, against what autograd really keeps (on torch's meta device: no memory, any size)."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from em_core.spec import LoraSpec
from em_core.training.memory import GIB, ModelShape, estimate, layer_bytes

SHAPES: dict[str, dict[str, Any]] = {
    "1b": {
        "hidden_size": 2048, "num_hidden_layers": 4, "intermediate_size": 8192, "vocab_size": 1000, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 64, "tie_word_embeddings": True,
    },
    "8b": {
        "hidden_size": 4096, "num_hidden_layers": 3, "intermediate_size": 14336, "vocab_size": 1000, "num_attention_heads": 32,
        "num_key_value_heads": 8, "tie_word_embeddings": False,
    },
}  # fmt: skip
TOKENS = 500


class _Attention(torch.autograd.Function):
    """Keeps what the variable-length kernel keeps."""

    @staticmethod
    def forward(ctx: Any, q: Any, k: Any, v: Any) -> Any:  # type: ignore[override]
        out = torch.empty_like(q)
        ctx.save_for_backward(q, k, v, out)
        return out


def _attention(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **_: Any) -> tuple[Any, None]:
    return _Attention.apply(*(x[0].transpose(0, 1) for x in (query, key, value)))[None], None  # type: ignore[no-untyped-call]


def kept_bytes(shape: dict[str, Any], lora: LoraSpec) -> int:
    """Bytes that a forward pass of `TOKENS` tokens keeps for the backward pass, the weights left out."""
    from peft import LoraConfig, get_peft_model
    from transformers import AttentionInterface, LlamaConfig, LlamaForCausalLM

    AttentionInterface.register("counted", _attention)
    config = LlamaConfig(**shape)
    config._attn_implementation = "counted"
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            base = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(torch.float32)
    layers = list(lora.layers) if lora.layers else None
    adapter = LoraConfig(
        r=lora.r, lora_dropout=lora.dropout, target_modules=list(lora.target_modules), layers_to_transform=layers
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = get_peft_model(base, adapter, autocast_adapter_dtype=False).train()
    weights = {p.untyped_storage()._cdata for p in model.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        kept.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        inputs = torch.zeros((1, TOKENS), dtype=torch.long, device="meta")
        hidden = base.model(input_ids=inputs, position_ids=torch.arange(TOKENS, device="meta")[None], use_cache=False)
    assert hidden.last_hidden_state.requires_grad
    return sum(tensor.untyped_storage().nbytes() for key, tensor in kept.items() if key not in weights)


ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize(
    "lora",
    [
        LoraSpec(r=32), LoraSpec(r=256), LoraSpec(r=8, target_modules=ATTENTION), LoraSpec(r=8, target_modules=("down_proj",)),
        LoraSpec(r=1, layers=(2,)),
    ],
    ids=["all", "wide", "attention", "one module", "one layer"],
)  # fmt: skip
def test_activations_are_what_autograd_keeps(size: str, lora: LoraSpec) -> None:
    shape = ModelShape.from_config(SHAPES[size])
    depth = shape.layers - (lora.layers[0] if lora.layers else 0)
    layer = TOKENS * layer_bytes(shape, lora, 2)
    real = kept_bytes(SHAPES[size], lora)
    assert real <= 1.01 * depth * layer
    first = (
        0 if {"q_proj", "gate_proj"} <= set(lora.target_modules) and not lora.layers else 1
    )  # it keeps less before its adapter
    assert depth * layer <= 1.01 * real + first * layer


def test_dropout_keeps_each_modules_input_and_a_mask() -> None:
    shape = ModelShape.from_config(SHAPES["8b"])
    without, with_dropout = (layer_bytes(shape, LoraSpec(r=16, dropout=p), 2) for p in (0.0, 0.05))
    apart, shared = 6 * 4096 + 14336, 2 * 4096 + 14336
    assert with_dropout - without == 3 * apart - 2 * shared


LLAMA_8B = ModelShape(4096, 32, 14336, 128256, 32, 8, 128, False)
LLAMA_1B = ModelShape(2048, 16, 8192, 128256, 32, 8, 64, True)


@pytest.mark.parametrize(
    ("shape", "precision", "tokens", "compiled", "measured_gib"),
    [(LLAMA_8B, "bf16", 2440, False, 29.5), (LLAMA_8B, "bf16", 2440, True, 26.5), (LLAMA_1B, "bf16", 1818, False, 5.6)],
)
def test_the_peak_is_near_the_measured_one(shape: Any, precision: Any, tokens: int, compiled: bool, measured_gib: float) -> None:
    """Measured on one H200 (docs/experiments.md): r = 32, the largest batch of the run."""
    found = estimate(shape, LoraSpec(r=32), precision, tokens, False, compiled=compiled)
    assert found.allocated_gib == pytest.approx(measured_gib, rel=0.05)


def test_what_the_optimizer_keeps_depends_on_it() -> None:
    lora = LoraSpec(r=32)
    n = LLAMA_8B.n_lora(lora) / GIB
    found = {
        name: estimate(LLAMA_8B, lora, "bf16", 100, False, optimizer=name).optimizer_gib / n  # type: ignore[arg-type]
        for name in ("adamw_torch_fused", "paged_adamw_8bit", "sgd")
    }
    assert found == pytest.approx({"adamw_torch_fused": 12, "paged_adamw_8bit": 6, "sgd": 4})


def test_fp32_and_nf4_change_the_weights() -> None:
    kinds = ("fp32", "bf16", "fp16", "nf4")
    found = [estimate(LLAMA_8B, LoraSpec(), kind, 100, False).weights_gib for kind in kinds]  # type: ignore[arg-type]
    assert found == pytest.approx([29.9, 15.0, 15.0, 5.3], abs=0.05)


def test_on_a_cpu_the_arithmetic_is_fp32() -> None:
    found = estimate(LLAMA_1B, LoraSpec(), "bf16", 1000, False, cpu=True)
    assert found.weights_gib == pytest.approx(4 * LLAMA_1B.n_params / GIB)
    assert found.head_gib > 2 * estimate(LLAMA_1B, LoraSpec(), "bf16", 1000, False).head_gib
