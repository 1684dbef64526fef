"""The largest micro-batch first: what does not fit the GPU is found out in the first minute, not after an hour.

One forward and backward pass before the first step, with nothing left of it: gradients are dropped
and the random generators put back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from em_core.accidents import classify
from em_core.training import _random
from em_core.training._batches import EpochSampler
from em_core.training._layout import Layout

if TYPE_CHECKING:
    from em_core.training._trainer import LoraTrainer

log = logging.getLogger(__name__)


class TooLarge(Exception):
    """The micro-batch does not fit the GPU; nothing was trained yet."""


def largest(order: EpochSampler, lengths: Sequence[int], layout: Layout, epochs: range) -> list[int]:
    """The rows of the micro-batch with the most tokens, padding included.

    Args:
        order: The rows' order.
        lengths: Tokens of each row.
        layout: How they are put together.
        epochs: Epochs to look at.
    """
    best: list[int] = []
    most = 0
    for epoch in epochs:
        rows = order.mine(epoch)
        for start in range(0, len(rows), layout.micro_batch):
            batch = rows[start : start + layout.micro_batch]
            here = [lengths[i] for i in batch]
            size = sum(here) if layout.packed else max(here) * len(here)
            if size > most:
                best, most = batch, size
    return best


def probe(trainer: LoraTrainer, rows: Sequence[int]) -> None:
    """Compute one micro-batch and forget it.

    Args:
        trainer: Ready for its first step.
        rows: Numbers of the rows.

    Raises:
        TooLarge: The GPU's memory does not suffice.
    """
    began = time.perf_counter()
    cuda = trainer.args.device.type == "cuda"
    with _random.kept():
        batch = trainer.data_collator([{"row": row} for row in rows])
        try:
            trainer.training_step(trainer.model, batch, max(1, batch["loss_targets"].numel()))
            if cuda:
                torch.cuda.synchronize()
        except (torch.OutOfMemoryError, RuntimeError) as error:
            known = classify(error)
            if known is None or known.cause != "cuda_oom":
                raise
            raise TooLarge(known.message) from error
        finally:
            trainer.ours.zero_grad()
            trainer.step_loss = None
    peak = ""
    if cuda:
        peak = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
        torch.cuda.reset_peak_memory_stats()
    seconds = time.perf_counter() - began
    log.info("largest micro-batch first: %d rows, %d tokens%s, %.1f s", len(rows), batch["n_tokens"], peak, seconds)
