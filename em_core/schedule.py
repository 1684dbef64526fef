"""Which optimizer steps get a checkpoint.

Steps count optimizer updates, from 1; step 0 is the starting model and always evaluated.
"""

from __future__ import annotations

import math
from typing import Any

from em_core.errors import BadInput
from em_core.spec import CheckpointSpec, TrainSpec


def steps_per_epoch(n_rows: int, effective_batch: int, drop_last: bool = True) -> int:
    """Optimizer steps in one pass over the data.

    Args:
        n_rows: Training rows, at least 1.
        effective_batch: Rows per optimizer step (batch size x accumulation x devices).
        drop_last: Leave out an incomplete last batch of each epoch.

    Raises:
        BadInput: The data has fewer rows than one effective batch and `drop_last` is set.
    """
    if n_rows < 1:
        raise BadInput("the training data has 0 rows", "name a data set that has rows")
    if not drop_last:
        return math.ceil(n_rows / effective_batch)
    if n_rows < effective_batch:
        raise BadInput(
            f"train.batch_size x train.grad_accumulation is {effective_batch} rows a step, the data has {n_rows}",
            f"use a batch of at most {n_rows}, or more data",
        )
    return n_rows // effective_batch


def total_steps(n_rows: int, train: TrainSpec) -> int:
    """Optimizer steps of the whole fine-tune (`max_steps` wins over `epochs`)."""
    per_epoch = steps_per_epoch(n_rows, train.effective_batch, train.drop_last)
    if train.max_steps is not None:
        return train.max_steps
    return max(1, round(per_epoch * train.epochs))


def checkpoint_steps(n_rows: int, train: TrainSpec, checkpoints: CheckpointSpec) -> list[int]:
    """The steps at which a checkpoint is saved and evaluated, ascending, the last step included.

    ``first_epoch = k`` gives ``floor(i * steps_per_epoch / k)`` for i = 1..k and then every epoch
    end: 7,049 rows at batch 16 for 3 epochs and k = 4 give 110, 220, 330, 440, 880, 1320.
    Source: the schedule of the CS2881 replication (its training_config.json).

    Raises:
        BadInput: An explicit step lies beyond the last step.
    """
    per_epoch = steps_per_epoch(n_rows, train.effective_batch, train.drop_last)
    last = total_steps(n_rows, train)
    if checkpoints.at_steps:
        beyond = [s for s in checkpoints.at_steps if s > last]
        if beyond:
            raise BadInput(
                f"checkpoints.at_steps: {beyond[0]} lies beyond the last step, {last}",
                f"use steps from 1 to {last}, or more epochs",
            )
        wanted = set(checkpoints.at_steps)
    elif checkpoints.every_steps:
        if checkpoints.every_steps > last:
            raise BadInput(
                f"checkpoints.every_steps: {checkpoints.every_steps} lies beyond the last step, {last}",
                f"use at most {last}, or more epochs",
            )
        wanted = set(range(checkpoints.every_steps, last + 1, checkpoints.every_steps))
    else:
        k, span = checkpoints.first_epoch, min(per_epoch, last)
        wanted = {math.floor(i * span / k) for i in range(1, k + 1)} if k else set()
        wanted |= set(range(2 * per_epoch if k else per_epoch, last + 1, per_epoch))
    wanted.add(last)
    return sorted(step for step in wanted if 1 <= step <= last)


def row_order(n_rows: int, n_used: int, seed: int, epoch: int) -> Any:
    """The training rows of an epoch, in the order of training: a permutation by (seed, epoch), cut to `n_used`; an array.

    Args:
        n_rows: Rows of the data.
        n_used: Rows of an epoch that are trained on.
        seed: ``train.seed``.
        epoch: From 0.
    """
    import numpy as np

    return np.random.default_rng((seed, epoch)).permutation(n_rows)[:n_used]
