"""What ``auto`` means on this machine: rows at once, padding, gradient checkpointing.

The effective batch and its loss are the same whatever is chosen here; only speed and memory differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from em_core.errors import WorkFailed
from em_core.spec import LoraSpec, TrainSpec
from em_core.training.memory import ModelShape, estimate

FEW_TOKENS = 1000
"""A GPU needs about this many tokens at once to be busy: smaller micro-batches cost more than checkpointing."""


@dataclass(frozen=True)
class Layout:
    """How one optimizer step is computed.

    Args:
        micro_batch: Rows at once; divides the effective batch (on several GPUs, this one's part of it).
        accumulation: Micro-batches per optimizer step.
        packed: Rows follow each other without padding.
        checkpointing: Activations are recomputed in the backward pass.
        estimate_gib: Memory of a step, by arithmetic.
    """

    micro_batch: int
    accumulation: int
    packed: bool
    checkpointing: bool
    estimate_gib: float

    @property
    def rows(self) -> int:
        """Rows of an optimizer step that this process computes."""
        return self.micro_batch * self.accumulation


def choose(
    train: TrainSpec,
    lora: LoraSpec,
    shape: ModelShape,
    lengths: Sequence[int],
    budget_gib: float,
    packed: bool,
    cpu: bool = False,
) -> Layout:
    """The fastest layout that fits.

    Args:
        train: The recipe; what it fixes is kept, ``auto`` is decided.
        lora: The adapter.
        shape: The model.
        lengths: Tokens of each training row, in the order of training.
        budget_gib: Memory that a step may take, the weights included.
        packed: Whether padding-free batches are used (decided by the caller: it depends on the kernels).
        cpu: Whether it is a CPU's memory, where the arithmetic is fp32.

    Raises:
        WorkFailed: Not even one row at a time fits.
    """
    tried = _candidates(train, lora, shape, lengths, packed, cpu)
    most = tried[0][0].micro_batch
    fitting = [layout for layout, _ in tried if layout.estimate_gib <= budget_gib]
    busy = [
        layout
        for layout, tokens in tried
        if layout in fitting and (tokens >= FEW_TOKENS or layout.checkpointing or layout.micro_batch == most)
    ]
    if fitting:
        return (busy or fitting)[0]
    best, _ = tried[-1]
    if train.gradient_checkpointing == "auto" and train.micro_batch == "auto" and best.estimate_gib > 1.5 * budget_gib:
        raise WorkFailed(
            f"one row of {max(lengths)} tokens needs about {best.estimate_gib:.1f} GiB, {budget_gib:.1f} GiB are free",
            "use train.precision = nf4, a smaller base model, a shorter train.max_length, or a larger GPU",
            "cuda_oom",
        )
    return best  # the person fixed it, or the estimate is close: try


def smaller(
    than: Layout, train: TrainSpec, lora: LoraSpec, shape: ModelShape, lengths: Sequence[int], packed: bool, cpu: bool = False
) -> Layout | None:
    """The next thing to try when a layout did not fit although it should have: half the rows, then checkpointing.

    Args:
        than: What did not fit.
        train: The recipe, `lora`, `shape`, `lengths`, `packed` and `cpu` as in `choose`.

    Returns:
        None when nothing smaller is left, or the person fixed it.
    """
    tried = _candidates(train, lora, shape, lengths, packed, cpu)
    ways = [layout.checkpointing for layout, _ in tried]
    later = [
        (layout, tokens)
        for layout, tokens in tried
        if (layout.checkpointing, -layout.micro_batch) > (than.checkpointing, -than.micro_batch)
    ]
    for layout, tokens in later:
        if layout.checkpointing != than.checkpointing:
            return layout
        busy = tokens >= FEW_TOKENS or layout.checkpointing or all(way == ways[0] for way in ways)
        if busy and 2 * layout.micro_batch <= than.micro_batch:
            return layout
    return later[-1][0] if later else None


def _candidates(
    train: TrainSpec, lora: LoraSpec, shape: ModelShape, lengths: Sequence[int], packed: bool, cpu: bool
) -> list[tuple[Layout, int]]:
    """What the recipe allows, in the order of preference, each with the tokens of its largest micro-batch."""
    effective = train.effective_batch
    sizes = [train.batch_size]
    if train.micro_batch == "auto":
        sizes = [m for m in range(effective, 0, -1) if effective % m == 0]
    switches = {"on": [True], "off": [False], "auto": [False, True]}[train.gradient_checkpointing]
    return [
        _layout(train, lora, shape, largest_batch(lengths, size, packed), size, packed, checkpointing, cpu)
        for checkpointing in switches
        for size in sizes
    ]


def _layout(
    train: TrainSpec, lora: LoraSpec, shape: ModelShape, tokens: int, size: int, packed: bool, checkpointing: bool, cpu: bool
) -> tuple[Layout, int]:
    kernel = packed and not cpu
    need = estimate(
        shape, lora, train.precision, tokens, checkpointing, optimizer=train.optimizer, packed=kernel, cpu=cpu
    ).total_gib
    return Layout(size, train.effective_batch // size, packed, checkpointing, need), tokens


def largest_batch(lengths: Sequence[int], size: int, packed: bool) -> int:
    """Tokens of the largest micro-batch, padding included.

    Args:
        lengths: Tokens of each row, in the order of training; an incomplete last batch is left out.
        size: Rows at once.
        packed: Rows follow each other without padding.
    """
    n = len(lengths) // size * size
    batches = np.asarray(lengths[:n] if n else lengths).reshape(-1, size if n else len(lengths))
    return int(batches.sum(axis=1).max() if packed else batches.max(axis=1).max() * size)
