"""State dictionaries as plain tensors and JSON: nothing is ever unpickled.

``{"step": tensor(3.), "betas": (0.9, 0.999), 0: [...]}`` becomes tensors by name and a skeleton in JSON
that says where each belongs. A tensor that occurs several times is kept once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def pack(value: Any, tensors: dict[str, Tensor], name: str) -> Any:
    """The skeleton of a value.

    Args:
        value: Tensors, arrays, plain values, and dictionaries, lists and tuples of them.
        tensors: Gets the tensors, on the CPU.
        name: Of this value; its tensors' names begin with it.

    Raises:
        TypeError: It holds something else.
    """
    return _pack(value, tensors, name, {})


def _pack(value: Any, tensors: dict[str, Tensor], name: str, known: dict[int, tuple[str, Any]]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        return {"array": _pack(torch.from_numpy(value.copy()), tensors, name, known)["tensor"]}
    if isinstance(value, Tensor):
        if id(value) not in known:
            known[id(value)] = name, value  # the reference keeps the id from being given to another
            tensors[name] = torch.empty_like(value, device="cpu", memory_format=torch.contiguous_format).copy_(value.detach())
        return {"tensor": known[id(value)][0]}
    if isinstance(value, dict):
        return {"dict": [[key, _pack(each, tensors, f"{name}.{key}", known)] for key, each in value.items()]}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        if all(each is None or isinstance(each, bool | int | float | str) for each in value):
            return {kind: list(value)}
        return {kind: [_pack(each, tensors, f"{name}.{i}", known) for i, each in enumerate(value)]}
    raise TypeError(f"{name}: a {type(value).__name__} cannot be kept")


def unpack(skeleton: Any, tensors: dict[str, Tensor]) -> Any:
    """The value again.

    Raises:
        KeyError: A tensor is missing.
        ValueError: The skeleton is none.
    """
    if not isinstance(skeleton, dict):
        return skeleton
    if len(skeleton) != 1:
        raise ValueError("not a packed value")
    ((kind, body),) = skeleton.items()
    if kind == "tensor":
        return tensors[body]
    if kind == "array":
        return tensors[body].numpy()
    if kind == "dict":
        return {key: unpack(each, tensors) for key, each in body}
    if kind in ("list", "tuple"):
        values = [unpack(each, tensors) for each in body]
        return tuple(values) if kind == "tuple" else values
    raise ValueError(f"not a packed value: {kind}")
