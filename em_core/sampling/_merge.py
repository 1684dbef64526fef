"""The adapter folded into the weights while answers are sampled, and taken out again to the bit.

Merged weights decode about twice as fast as base plus adapter. Adding and subtracting the product
would leave rounding behind, so the pristine weights are kept aside and written back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from em_core.sampling._limits import COPIES_SHARE


@contextmanager
def merged(model: Any) -> Iterator[bool]:
    """Fold the active LoRA adapters into the base weights: ``W0 + scale * B A`` in fp32, rounded once.

    Everything or nothing: where one target cannot be merged exactly (quantised or tied weights,
    DoRA and other variants, a bias in the adapter, another layer type), the model stays unmerged.
    An adapter that is switched off (the starting weights) stays off.

    Yields:
        Whether the adapter is merged.
    """
    layers = _targets(model)
    pristine: list[tuple[Tensor, Tensor]] = []
    done: list[tuple[Any, list[str]]] = []
    try:
        if layers:
            to_cpu = _copies_on_cpu(layers)
            for layer in layers:
                weight = layer.get_base_layer().weight.data
                names = [name for name in layer.active_adapters if name in layer.lora_A]
                pristine.append((weight, weight.to("cpu", copy=True) if to_cpu else weight.clone()))
                weight.copy_(_merged_weight(layer, weight, names))
                layer.merged_adapters.extend(names)  # the layer now calls its base layer alone
                done.append((layer, names))
        yield bool(layers)
    finally:
        for layer, names in done:
            for name in names:
                layer.merged_adapters.remove(name)
        for weight, copy in pristine:
            weight.copy_(copy)


@torch.no_grad()
def _merged_weight(layer: Any, weight: Tensor, names: list[str]) -> Tensor:
    total = weight.float()
    for name in names:
        a, b = layer.lora_A[name].weight.float(), layer.lora_B[name].weight.float()
        total = torch.addmm(total, b, a, alpha=layer.scaling[name])
    return total


def _targets(model: Any) -> list[Any]:
    """The LoRA layers to merge; empty when there are none, they are off, or one cannot be merged."""
    try:
        from peft.tuners.lora import LoraLayer
        from peft.tuners.lora.layer import Linear
        from peft.tuners.tuners_utils import BaseTunerLayer
    except ImportError:
        return []
    tuned = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    layers: list[Any] = []
    owners: dict[int, int] = {}
    for _, parameter in model.named_parameters(remove_duplicate=False):
        owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    for layer in tuned:
        if layer.disable_adapters or layer.merged:
            return []
        names = [name for name in layer.active_adapters if name in getattr(layer, "lora_A", {})]
        if isinstance(layer, LoraLayer) and not names and not getattr(layer, "lora_embedding_A", None):
            continue
        base = layer.get_base_layer()
        exact = (
            isinstance(layer, Linear)
            and type(base) is nn.Linear
            and base.weight.dtype in (torch.float32, torch.bfloat16, torch.float16)
            and owners[id(base.weight)] == 1
            and not layer.fan_in_fan_out
            and not layer.lora_variant
            and not any(layer.lora_bias.get(name) for name in names)
        )
        if not exact:
            return []
        layers.append(layer)
    return layers


def _copies_on_cpu(layers: list[Any]) -> bool:
    weights = [layer.get_base_layer().weight for layer in layers]
    if not weights[0].is_cuda:
        return False
    needed = sum(weight.numel() * weight.element_size() for weight in weights)
    return needed > COPIES_SHARE * torch.cuda.mem_get_info(weights[0].device)[0]
