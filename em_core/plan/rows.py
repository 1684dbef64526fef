"""The training rows as a plan needs them: how many, how long, from where. Kept, so that a form's next keystroke asks nobody."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from em_core import datasets, schedule
from em_core.plan import tokens
from em_core.plan.tokens import TokenCount
from em_core.spec import DataPart, RunSpec, TrainSpec

_EPOCHS_LOOKED_AT = 8
"""As the trainer: the largest batch of more epochs is hardly larger."""


@dataclass(frozen=True)
class Rows:
    """The training data of a run, its texts left out.

    Args:
        n: Rows.
        domain: Domain label.
        sources: One JSON-able object a part (`datasets.DataInfo.sources`).
        notes: What a person should know about the files.
        toy: Whether a part belongs to the toy world.
        lengths: Tokens of each row, uncut; of evenly chosen rows where there are very many.
        estimated: Whether the lengths are guessed from characters.
    """

    n: int
    domain: str
    sources: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]
    toy: bool
    lengths: tuple[int, ...]
    estimated: bool

    def count(self, max_length: int) -> TokenCount:
        """Their tokens, cut to the longest length."""
        return tokens.summary(self.lengths, self.n, max_length, self.estimated)

    def in_order(self, train: TrainSpec, n_steps: int) -> Any:
        """Tokens of the rows in the order of training, each cut: an array; of a long run its first epochs."""
        import numpy as np

        known = np.minimum(np.asarray(self.lengths), train.max_length)
        n_used = self.n // train.effective_batch * train.effective_batch if train.drop_last else self.n
        epochs = min(_EPOCHS_LOOKED_AT, 1 + n_steps * train.effective_batch // max(n_used, 1))
        orders = [schedule.row_order(self.n, n_used, train.seed, epoch) for epoch in range(epochs)]
        return known[np.concatenate(orders) % len(known)]


def sources(spec: RunSpec) -> tuple[str, tuple[dict[str, Any], ...]]:
    """The data's domain label, and one JSON-able object a part; what a launch of many runs asks for each.

    Raises:
        BadInput: The data cannot be read.
    """
    return _sources(*_identity(spec))


def read(spec: RunSpec, folder: Path | None) -> Rows:
    """The rows of a run.

    Args:
        spec: The run.
        folder: Where its model's tokenizer is; None = not on this machine.

    Raises:
        BadInput: The data cannot be read.
    """
    return _read(*_identity(spec), folder)


def _identity(spec: RunSpec) -> tuple[tuple[DataPart, ...], int, tuple[Any, ...]]:
    """What decides the rows: the parts, the seed where rows are drawn, and the files as they are now."""
    stats = [datasets.locate(part.source)[0].stat() for part in spec.data]
    seed = spec.train.seed if any(part.rows is not None for part in spec.data) else 0
    return spec.data, seed, tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)


def _load(parts: tuple[DataPart, ...], seed: int) -> tuple[list[Any], datasets.DataInfo]:
    return datasets.load_all(RunSpec.model_validate({"data": list(parts), "train": {"seed": seed}}))


@lru_cache(maxsize=64)
def _sources(parts: tuple[DataPart, ...], seed: int, stamps: tuple[Any, ...]) -> tuple[str, tuple[dict[str, Any], ...]]:
    info = _load(parts, seed)[1]
    return info.domain, tuple(info.sources())


@lru_cache(maxsize=64)
def _read(parts: tuple[DataPart, ...], seed: int, stamps: tuple[Any, ...], folder: Path | None) -> Rows:
    rows, info = _load(parts, seed)
    lengths, exact = tokens.lengths(rows, folder)
    return Rows(
        n=len(rows),
        domain=info.domain,
        sources=tuple(info.sources()),
        notes=tuple(info.notes),
        toy=any(part.toy for part in info.parts),
        lengths=lengths,
        estimated=not exact,
    )
