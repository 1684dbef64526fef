"""Chains of runs: starting from another run's adapter, and saving adapters that need no parent.

A checkpoint is always an adapter of the base model that its config names. For a run with a parent
the saved adapter is therefore the sum of both, which low-rank factors can write exactly:
``B1 A1 s1 + B2 A2 s2 = [B1 s1 | B2 s2] [A1; A2]``, of rank r1 + r2.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from em_core.errors import BadInput

NAME = "parent"
Factors = dict[str, tuple[Tensor, Tensor]]
"""By module: A (r x in) and B (out x r), fp32 on the CPU, the scale folded into B."""


def attach(base: Any, folder: Path, keep: bool) -> tuple[Any, Factors]:
    """Apply a parent's adapter to the base model.

    Args:
        base: The base model.
        folder: The parent's checkpoint.
        keep: Keep it as a frozen adapter instead of folding it into the weights.

    Returns:
        The model (a PEFT model when kept), and the parent's factors.

    Raises:
        BadInput: It is no plain LoRA adapter, or not one of this model.
    """
    from peft import PeftModel

    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA" or config.get("use_dora") or config.get("modules_to_save"):
        raise BadInput(f"parent adapter {folder}: only plain LoRA adapters can be trained further", "choose another parent")
    try:
        model = PeftModel.from_pretrained(base, str(folder), adapter_name=NAME)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(
            f"parent adapter {folder} does not fit base model: {reason}", "use the base model that the parent was trained on"
        ) from error
    found = factors(model, NAME)
    if keep:
        return model, found
    tuner: Any = model.base_model
    return tuner.merge_and_unload(), found


def activate(model: Any, names: Sequence[str]) -> None:
    """Make these the active adapters; only ``default`` trains."""
    model.base_model.set_adapter(list(names))
    for name, p in model.named_parameters():
        if "lora_" in name:
            p.requires_grad_(".default." in name)


def factors(model: Any, adapter: str) -> Factors:
    """An adapter's low-rank factors, by module."""
    from peft.tuners.lora import LoraLayer

    found: Factors = {}
    tuner: Any = model.base_model
    modules: list[tuple[str, Any]] = list(tuner.model.named_modules())
    for name, module in modules:
        if isinstance(module, LoraLayer) and adapter in getattr(module, "lora_A", {}):
            layer: Any = module
            a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
            found[name] = (a.detach().float().cpu(), b.detach().float().cpu() * layer.scaling[adapter])
    return found


def add(first: Factors, second: Factors) -> Factors:
    """The sum of two adapters of one model."""
    total = dict(first)
    for name, (a, b) in second.items():
        if name in total:
            a, b = torch.cat([total[name][0], a]), torch.cat([total[name][1], b], dim=1)
        total[name] = (a, b)
    return total


def as_adapter(total: Factors) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Factors as PEFT stores them.

    Returns:
        The tensors, and the fields of ``LoraConfig`` that describe them (scale 1 in every module).
    """
    ranks = {name: a.shape[0] for name, (a, _) in total.items()}
    top = max(ranks.values())
    tensors = {}
    for name, (a, b) in total.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = a.contiguous()
        tensors[f"base_model.model.{name}.lora_B.weight"] = b.contiguous()
    other = {name: r for name, r in ranks.items() if r != top}
    fields = {
        "r": top, "lora_alpha": top, "use_rslora": False, "target_modules": sorted(total), "layers_to_transform": None,
        "rank_pattern": other, "alpha_pattern": dict(other),
    }  # fmt: skip
    return tensors, fields
