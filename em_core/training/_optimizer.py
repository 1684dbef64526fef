"""The optimizer of the adapter: fp32 master weights, gradient clipping, one place for all kinds.

A low-precision adapter (bf16) is what the matrix products use; the optimizer keeps and updates an
fp32 copy, so that small updates are not rounded away, and writes it back after each step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from em_core.errors import BadInput
from em_core.spec import TrainSpec


class LoraOptimizer(torch.optim.Optimizer):
    """Wraps the spec's optimizer.

    Args:
        parameters: The adapter's parameters as the model uses them.
        train: The recipe.
        masters: Their values in fp32, kept apart when the model uses a narrower type.

    `grad_norm` is the norm of the last step's gradients before clipping (a tensor: reading it waits for the GPU).
    """

    def __init__(self, parameters: Sequence[Parameter], train: TrainSpec, masters: Sequence[Tensor]) -> None:
        # Optimizer.__init__ is left out on purpose: groups and state are the inner optimizer's
        self.live: list[Any] = list(parameters)
        self.masters: list[Any] = self.live
        if self.live[0].dtype in (torch.bfloat16, torch.float16):
            self.masters = [Parameter(m) for m in masters]
            for master in self.masters:
                master.grad = torch.zeros_like(master)
        self.max_grad_norm = train.max_grad_norm
        self.grad_norm: Tensor | None = None
        self.inner = _inner(self.masters, train)
        self.defaults = self.inner.defaults

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        return self.inner.param_groups

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:
        self.inner.param_groups = groups

    @property
    def state(self) -> Any:  # type: ignore[override]
        return self.inner.state

    def state_dict(self) -> dict[str, Any]:
        """The inner optimizer's."""
        return self.inner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Into the inner optimizer."""
        self.inner.load_state_dict(state_dict)
        if getattr(self.inner, "is_paged", False):
            self._page()

    @torch.no_grad()
    def put_masters(self, values: Sequence[Tensor]) -> None:
        """Give the masters these values, in the parameters' order; what the model uses is theirs, rounded."""
        for master, value in zip(self.masters, values, strict=True):
            master.copy_(value)
        if self.masters is not self.live:
            torch._foreach_copy_(self.live, self.masters)

    def _page(self) -> None:
        """Put moments back into memory that may be paged out; bitsandbytes loads them onto the GPU to stay."""
        inner: Any = self.inner
        for p, state in inner.state.items():
            for name in ("state1", "state2"):
                if name in state and not getattr(state[name], "is_paged", False):
                    paged = inner.get_state_buffer(p, dtype=state[name].dtype)
                    state[name] = paged.copy_(state[name]) if getattr(paged, "is_paged", False) else state[name]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Of the adapter's parameters."""
        for p in self.live:
            p.grad = None

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Clip, update the masters, write them back."""
        if self.masters is not self.live:
            have = [(m.grad, p.grad) for m, p in zip(self.masters, self.live, strict=True) if p.grad is not None]
            torch._foreach_copy_([m for m, _ in have], [p for _, p in have])
        self.grad_norm = torch.nn.utils.clip_grad_norm_(self.masters, self.max_grad_norm, foreach=True)
        self.inner.step()
        if self.masters is not self.live:
            torch._foreach_copy_(self.live, self.masters)


def _inner(parameters: list[Any], train: TrainSpec) -> torch.optim.Optimizer:
    lr, decay = train.learning_rate, train.weight_decay
    if train.optimizer == "adamw_torch_fused":
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=decay, fused=True)
    if train.optimizer == "adamw_torch":
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=decay)
    if train.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=lr, weight_decay=decay)
    if not parameters[0].is_cuda and train.optimizer == "paged_adamw_8bit":
        raise BadInput("train.optimizer: paged_adamw_8bit needs a GPU", "use adamw_torch_fused on a CPU")
    try:
        from bitsandbytes.optim import AdamW8bit, PagedAdamW8bit  # type: ignore[attr-defined]
    except ImportError as error:
        raise BadInput(f"train.optimizer: {train.optimizer} needs bitsandbytes", "pip install bitsandbytes") from error
    kind = AdamW8bit if train.optimizer == "adamw_8bit" else PagedAdamW8bit
    inner: torch.optim.Optimizer = kind(parameters, lr=lr, weight_decay=decay)
    return inner
