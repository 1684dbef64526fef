"""What the processes of one run on several GPUs tell each other while they train.

Every rank holds the whole model, takes its share of each effective batch, and adds up the adapter's
gradients with the others once a step; so the loss and the updates are those of one process, up to
the order of additions. What is decided (stop, save) is decided by rank 0. With one process nothing
here does anything.
"""

from __future__ import annotations

import datetime
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from em_core.accidents import classify
from em_core.ranks import Place, failure_of_another
from em_core.requests import Request

log = logging.getLogger(__name__)
_PATIENCE = datetime.timedelta(days=7)
"""While rank 0 samples and judges, the others wait; a rank that dies ends all of them at once, whatever this says."""
_CODES: tuple[Request, ...] = ("", "stop", "discard", "save")


class Ranks:
    """The processes of one run.

    Args:
        place: This process.
        cuda: Whether the gradients are on a GPU.
        run_dir: The run's folder, where a rank says why it ended.

    Its methods raise `PeerGone` when another rank has ended.
    """

    def __init__(self, place: Place, cuda: bool, run_dir: Path) -> None:
        self.rank, self.world, self._run_dir = place.rank, place.world, run_dir
        if self.world > 1 and not dist.is_initialized():
            with _environment(place.meeting):
                dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_PATIENCE)

    @property
    def leads(self) -> bool:
        """Whether this process writes, samples and judges."""
        return self.rank == 0

    def share(self, rows: Sequence[int], effective_batch: int) -> list[int]:
        """This rank's rows of an epoch: of each effective batch every `world`-th.

        Args:
            rows: The epoch's rows in order, whole effective batches.
            effective_batch: Rows of an optimizer step, a multiple of `world`.
        """
        if self.world == 1:
            return list(rows)
        batches = (rows[start : start + effective_batch] for start in range(0, len(rows), effective_batch))
        return [row for batch in batches for row in batch[self.rank :: self.world]]

    def total(self, *counts: int) -> tuple[int, ...]:
        """Sums of whole numbers over all ranks."""
        if self.world == 1:
            return counts
        sums = torch.tensor(counts, dtype=torch.int64)
        with self._together():
            dist.all_reduce(sums)
        return tuple(int(n) for n in sums.tolist())

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all ranks, in one exchange; all of one device, of any types."""
        if self.world == 1:
            return
        flat = torch.cat([t.reshape(-1).float() for t in tensors])
        with self._together():
            dist.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def same_start(self, tensors: Sequence[Tensor]) -> None:
        """Give every rank the values of rank 0."""
        if self.world > 1:
            with self._together():
                for tensor in tensors:
                    dist.broadcast(tensor, src=0)

    def agree(self, request: Request) -> Request:
        """What rank 0 says."""
        if self.world == 1:
            return request
        code = torch.tensor(_CODES.index(request))
        with self._together():
            dist.broadcast(code, src=0)
        return _CODES[int(code)]

    def wait(self) -> None:
        """Until every rank is here: rank 0 may be sampling."""
        self.agree("")

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            known = classify(error)
            if known is not None and known.cause != "driver":
                raise  # of this process, not of the exchange
            log.warning("the exchange with the other processes failed: %s", error)
            gone = failure_of_another(self._run_dir)
            if known is not None and gone.cause == "killed":
                raise
            raise gone from error

    def close(self) -> None:
        """Leave the others."""
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def _environment(values: Sequence[tuple[str, str]]) -> Iterator[None]:
    """The launcher's variables, as long as torch reads them."""
    before = {name: os.environ.get(name) for name, _ in values}
    os.environ.update(dict(values))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
