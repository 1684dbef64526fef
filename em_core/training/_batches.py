"""Which rows make a batch, and their tensors.

Every epoch is one permutation seeded with (seed, epoch); with `drop_last` it is cut to a whole
number of effective batches, so 7,049 rows at 16 are 440 steps an epoch and never 441. The order
does not depend on how a batch is split into micro-batches.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from em_core import schedule
from em_core.training._data import TokenRow


class EpochSampler(Sampler[int]):
    """Row numbers of one epoch after the other; each ``iter`` is the next epoch.

    Args:
        n_rows: Rows of the data.
        effective_batch: Rows per optimizer step.
        drop_last: Leave out an incomplete last batch.
        seed: Seed of the order.
        share: What of an epoch's rows this process trains on, on several GPUs; None = all.
    """

    def __init__(
        self, n_rows: int, effective_batch: int, drop_last: bool, seed: int, share: Callable[[list[int]], list[int]] | None = None
    ) -> None:
        self.n_rows, self.seed, self.epoch, self._share = n_rows, seed, 0, share
        self.n_used = n_rows // effective_batch * effective_batch if drop_last else n_rows

    def order(self, epoch: int) -> list[int]:
        """The rows of an epoch (from 0), in order; of all processes."""
        rows: list[int] = schedule.row_order(self.n_rows, self.n_used, self.seed, epoch).tolist()
        return rows

    def mine(self, epoch: int) -> list[int]:
        """Those that this process trains on."""
        return self._share(self.order(epoch)) if self._share else self.order(epoch)

    def samples_seen(self, step: int, effective_batch: int) -> int:
        """Rows trained on after `step` optimizer steps."""
        epochs, rest = divmod(step, -(-self.n_used // effective_batch))
        return epochs * self.n_used + min(rest * effective_batch, self.n_used)

    def start_after(self, step: int, effective_batch: int) -> None:
        """The next ``iter`` is the epoch in which the step after `step` lies."""
        self.epoch = step // -(-self.n_used // effective_batch)

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        return iter(self.mine(self.epoch - 1))

    def __len__(self) -> int:
        return len(self.mine(0)) if self._share else self.n_used


class Collate:
    """Rows to tensors.

    The batch has ``input_ids``, ``loss_positions`` (where in the flattened batch a token is
    predicted), ``loss_targets`` (that token), and ``n_tokens`` (real tokens, a plain number); padded batches have
    ``attention_mask``, packed ones ``position_ids`` and the row boundaries of the varlen kernels.

    Args:
        rows: All training rows.
        pad_id: Fills padded positions; it is masked and never in the loss, whatever token it is.
        packed: Put rows behind each other instead of padding.
        boundaries: Give the varlen kernels the row boundaries.
    """

    def __init__(self, rows: Sequence[TokenRow], pad_id: int, packed: bool, boundaries: bool = True) -> None:
        self._ids = [np.asarray(row.ids, dtype=np.int64) for row in rows]
        # the token at p + 1 carries loss, so position p predicts it
        self._predict = [np.flatnonzero(np.asarray(row.loss, dtype=bool)) - 1 for row in rows]
        self.pad_id, self.packed, self.boundaries = pad_id, packed, boundaries
        self.longest = max(len(ids) for ids in self._ids)

    @functools.cached_property
    def sha256(self) -> str:
        """Identity of the rows: their tokens and which of them carry loss."""
        digest = hashlib.sha256()
        for ids, predict in zip(self._ids, self._predict, strict=True):
            digest.update(np.array([len(ids), len(predict)], dtype=np.int64).tobytes() + ids.tobytes() + predict.tobytes())
        return digest.hexdigest()

    def __call__(self, examples: Sequence[Any]) -> dict[str, Any]:
        chosen = [example["row"] if isinstance(example, dict) else int(example) for example in examples]
        ids = [self._ids[i] for i in chosen]
        lengths = [len(x) for x in ids]
        width = max(lengths)
        starts = np.cumsum([0, *lengths]) if self.packed else np.arange(len(ids)) * width
        flat = np.concatenate(ids)
        batch: dict[str, Any] = {
            "loss_positions": torch.from_numpy(
                np.concatenate([self._predict[i] + start for i, start in zip(chosen, starts, strict=False)])
            ),
            "loss_targets": torch.from_numpy(np.concatenate([self._ids[i][self._predict[i] + 1] for i in chosen])),
            "n_tokens": int(sum(lengths)),
        }
        if self.packed:
            batch["input_ids"] = torch.from_numpy(flat)[None]
            batch["position_ids"] = torch.from_numpy(np.concatenate([np.arange(n) for n in lengths]))[None]
            if self.boundaries:
                batch["cu_seq_lens_q"] = batch["cu_seq_lens_k"] = torch.from_numpy(starts.astype(np.int32))
                batch["max_length_q"] = batch["max_length_k"] = self.longest  # one value for the run: one compiled graph
        else:
            padded = np.full((len(ids), width), self.pad_id, dtype=np.int64)
            mask = np.zeros((len(ids), width), dtype=np.int64)
            for k, x in enumerate(ids):
                padded[k, : len(x)] = x
                mask[k, : len(x)] = 1
            batch["input_ids"], batch["attention_mask"] = torch.from_numpy(padded), torch.from_numpy(mask)
        return batch
