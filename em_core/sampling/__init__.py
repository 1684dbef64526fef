"""Samplers: one module each, found by its name (`EvaluationSpec.sampler`).

A sampler module has ``open(model, tokenizer, batch_size=None) -> Sampler``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from em_core import plugins
from em_core.records import Answer, Prompt

NOT_PLUGINS: tuple[str, ...] = ()


class Sampler(Protocol):
    """Answers prompts from weights that are already in memory."""

    name: str
    merged: bool  # whether the adapter was folded into the weights in the last `sample`
    batch_size: int  # most answers decoded at once in the last `sample`

    def sample(self, prompts: Sequence[Prompt]) -> Iterator[Answer]:
        """One answer per prompt, in any order, as they finish. The model is afterwards as before
        (mode, adapter, caches). An answer depends on its prompt and seed, not on its neighbours."""
        ...


def open_sampler(name: str, model: Any, tokenizer: Any, batch_size: int | None = None) -> Sampler:
    """Open the sampler of that name.

    Raises:
        BadInput: There is none.
    """
    sampler: Sampler = plugins.load(__name__, "sampler", name).open(model, tokenizer, batch_size)
    return sampler
