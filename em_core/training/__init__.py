"""Trainers: one module each, found by its name (`RunSpec.backend`).

A backend module has ``open(job) -> Session``. The session loads the base model once, keeps it for
the whole run, and lends it to the sampler at every checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from em_core import plugins
from em_core.records import Checkpoint, TrainMetric
from em_core.requests import Request
from em_core.spec import RunSpec

NOT_PLUGINS: tuple[str, ...] = ("memory", "adapters")
Messages = list[dict[str, str]]
"""One training row: ``[{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]``."""


@dataclass(frozen=True)
class TrainJob:
    """What a backend needs.

    Args:
        spec: The run.
        rows: Training rows in file order, already validated and cut to each part's `rows`.
        run_dir: Where ``checkpoints/step-N/`` go.
        base_path: Local folder of an organism, or None to load ``spec.base_model`` by name.
        parent_adapter: Adapter folder of the parent checkpoint, or None.
        steps: Checkpoint steps, ascending; the last one ends the training.
        resume_step: Go on from the complete checkpoint and resume state of this step; 0 = begin at the beginning.
    """

    spec: RunSpec
    rows: Sequence[Messages]
    run_dir: Path
    base_path: Path | None
    parent_adapter: Path | None
    steps: Sequence[int]
    resume_step: int = 0


@dataclass(frozen=True)
class TokenPreview:
    """One training row as the trainer sees it.

    Args:
        tokens: Decoded text of each token.
        loss: Whether each token carries loss, same length.
        truncated: Whether the row was cut to `max_length`.
        note: What a person should know about the rows (a silent system turn, rows cut), at the first row only.
    """

    tokens: list[str]
    loss: list[bool]
    truncated: bool
    note: str = ""


@dataclass(frozen=True)
class TrainOutcome:
    """How the training ended."""

    state: Literal["finished", "stopped"]
    last_step: int
    reason: str = ""


class Lent(Protocol):
    """A model in memory, lent to whoever samples answers from it."""

    @property
    def model(self) -> Any:
        """The model with its adapter on."""
        ...

    tokenizer: Any
    weights_sha256: str  # identity of the starting weights (base, revision, parent adapter)

    def starting_weights(self) -> AbstractContextManager[None]:
        """While entered, the model is the starting model (adapter off)."""
        ...


class Session(Lent, Protocol):
    """A loaded model with a fresh adapter."""

    n_params: int
    device: str
    gpu: str

    def preview(self, n_rows: int = 5) -> list[TokenPreview]:
        """The first rows as tokens with their loss mask."""
        ...

    def train(
        self,
        on_metric: Callable[[TrainMetric], None],
        on_checkpoint: Callable[[Checkpoint], None],
        request: Callable[[], Request],
    ) -> TrainOutcome:
        """Train from `TrainJob.resume_step` to the last step. `on_checkpoint` is called with the checkpoint
        complete on disk and the same weights in `model`; training goes on when it returns. `request` is
        asked after each optimizer step; ``stop`` and ``save`` save a checkpoint first."""
        ...

    def close(self) -> None:
        """Free the model's memory."""
        ...


def open_session(job: TrainJob) -> Session:
    """Open the backend that the spec names.

    Raises:
        EMError: The backend is unknown, or cannot run here (CUDA missing, model not found).
    """
    session: Session = plugins.load(__name__, "backend", job.spec.backend).open(job)
    return session
