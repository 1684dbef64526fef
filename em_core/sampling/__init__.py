"""Samplers: one module each, found by its name (`EvaluationSpec.sampler`).

A sampler module has ``open(model, tokenizer, batch_size=None) -> Sampler``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from em_core import plugins
from em_core.records import Answer, Prompt

NOT_PLUGINS: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SampleStats:
    """Throughput of one `Sampler.sample`, complete when its iterator is exhausted.

    Args:
        n_answers: Answers given.
        n_tokens: Generated tokens, end-of-turn tokens not counted.
        wall_s: Seconds inside the sampler, the caller's work between two answers not counted.
        batch_size: Most answers decoded at once.
        merged: Whether the adapter was folded into the weights.
        gpu_mem_gib: Peak of allocated GPU memory, GiB; None on CPU.
        n_out_of_memory: How often the batch was halved for lack of memory.
    """

    n_answers: int = 0
    n_tokens: int = 0
    wall_s: float = 0.0
    batch_size: int = 0
    merged: bool = False
    gpu_mem_gib: float | None = None
    n_out_of_memory: int = 0


class Sampler(Protocol):
    """Answers prompts from weights that are already in memory."""

    name: str
    merged: bool  # whether the adapter was folded into the weights in the last `sample`
    batch_size: int  # most answers decoded at once in the last `sample`
    gpu_mem_gib: float | None  # peak of allocated GPU memory in the last `sample`
    stats: SampleStats  # of the last `sample`

    def sample(self, prompts: Sequence[Prompt]) -> Iterator[Answer]:
        """One answer per prompt, in any order, as they finish. The model is afterwards as before
        (mode, adapter, caches), also when the iterator is closed early; train only then. An answer
        depends on its prompt and seed, not on its neighbours.

        Raises:
            BadInput: A prompt does not fit the model's context, or a decoding is impossible.
            WorkFailed: The model gave no numbers, or one answer alone does not fit the memory.
        """
        ...


def open_sampler(name: str, model: Any, tokenizer: Any, batch_size: int | None = None) -> Sampler:
    """Open the sampler of that name.

    Raises:
        BadInput: There is none.
    """
    sampler: Sampler = plugins.load(__name__, "sampler", name).open(model, tokenizer, batch_size)
    return sampler
