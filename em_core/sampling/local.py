"""Sampling in the training process, from the weights in memory: transformers, batched.

All prompts of a checkpoint go through one decode loop (`_decode`): longest prompts first, the
samples of a question share its prefill, a finished row's slot takes the next prompt, the adapter is
merged for the duration (`_merge`), each answer has its own noise (`_noise`). On the GPU the batch is
as large as memory allows (`_memory`); when it was too large after all it is halved and goes on.

Answers are bit-equal for every batch size as far as the logits are: in fp32 that holds in practice,
in bf16 kernels for other batch shapes round differently and a near-tie can fall the other way.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, Literal

import torch

from em_core.errors import WorkFailed
from em_core.records import Answer, Prompt
from em_core.sampling import SampleStats
from em_core.sampling._decode import Decoder, Finished
from em_core.sampling._memory import is_out_of_memory, rows_that_fit
from em_core.sampling._merge import merged
from em_core.sampling._model import Masks, lent, unwrap
from em_core.sampling._prompts import Encoded, context_length, encode, stop_ids


def open(model: Any, tokenizer: Any, batch_size: int | None = None) -> LocalSampler:
    """A sampler over a model in memory.

    Args:
        model: A transformers or PEFT causal language model.
        tokenizer: Its tokenizer; without a chat template it gets `chat.FALLBACK_TEMPLATE`.
        batch_size: Most answers decoded at once; None = by free memory.
    """
    return LocalSampler(model, tokenizer, batch_size)


class LocalSampler:
    """See `em_core.sampling.Sampler`."""

    name = "local"

    def __init__(self, model: Any, tokenizer: Any, batch_size: int | None) -> None:
        self._model, self._tokenizer, self._wanted = model, tokenizer, batch_size
        self._begin()

    def _begin(self) -> None:
        self.stats, self.merged, self.batch_size = SampleStats(), False, 0
        self.gpu_mem_gib: float | None = None
        self._n_out_of_memory = 0

    def sample(self, prompts: Sequence[Prompt]) -> Iterator[Answer]:
        """One answer per prompt, as they finish; see `em_core.sampling.Sampler`."""
        self._begin()
        if not prompts:
            return
        began, idle = time.perf_counter(), 0.0
        n_tokens = n_answers = 0
        inner = unwrap(self._model)
        rows = encode(self._tokenizer, prompts, context_length(inner.config))
        stops = stop_ids(inner, self._tokenizer)
        device = inner.get_input_embeddings().weight.device
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        with lent(self._model) as ready, merged(self._model) as self.merged:
            for finished in self._decode(ready, rows, stops, device):
                n_tokens, n_answers = n_tokens + len(finished.tokens), n_answers + 1
                answer = self._answer(finished)
                paused = time.perf_counter()
                yield answer
                idle += time.perf_counter() - paused
        if device.type == "cuda":
            self.gpu_mem_gib = torch.cuda.max_memory_allocated(device) / 2**30
            torch.cuda.empty_cache()
        wall_s = time.perf_counter() - began - idle
        self.stats = SampleStats(
            n_answers, n_tokens, wall_s, self.batch_size, self.merged, self.gpu_mem_gib, self._n_out_of_memory
        )

    def _decode(self, model: Any, rows: list[Encoded], stops: list[int], device: torch.device) -> Iterator[Finished]:
        """Decode everything, with fewer slots after each time that the memory did not suffice."""
        Masks(model)  # refuses models that it cannot decode before anything is allocated
        order = sorted(range(len(rows)), key=lambda i: (-len(rows[i].ids), rows[i].ids, i))
        pending = deque(rows[i] for i in order)
        capacity = max(len(row.ids) + row.max_tokens for row in rows)
        longest = max(row.max_tokens for row in rows)
        dtype = model.get_input_embeddings().weight.dtype
        size = min(len(rows), self._wanted or rows_that_fit(model.config, dtype, device, capacity))
        self.batch_size = size
        while pending:
            out_of_memory = False
            with closing(Decoder(model, size, capacity, longest, stops)) as decoder:
                while (pending or decoder.rows) and not out_of_memory:
                    finished: list[Finished] = []
                    try:
                        finished = decoder.advance(pending)
                    except Exception as error:
                        if not is_out_of_memory(error):
                            raise
                        out_of_memory = True
                    yield from finished
            if out_of_memory:
                pending.extendleft(reversed(decoder.rows))
                del decoder  # and the failed frame with it, before the next attempt allocates
                size = self._halve(size, device)

    def _halve(self, size: int, device: torch.device) -> int:
        self._n_out_of_memory += 1
        if device.type == "cuda":
            torch.cuda.empty_cache()
        if size == 1:
            raise WorkFailed(
                "sampling: one answer alone does not fit the memory",
                "lower max_tokens, use a smaller model, or free the GPU",
                "cuda_oom" if device.type == "cuda" else "host_oom",
            )
        self.batch_size = size // 2
        return size // 2

    def _answer(self, finished: Finished) -> Answer:
        row = finished.row
        if not finished.fine:
            raise WorkFailed(
                f"question {row.prompt.question_set}/{row.prompt.question_id}: the model gave NaN or infinite logits",
                "the weights have diverged: lower train.learning_rate, or train in bf16 or fp32 instead of fp16",
                "not_a_number",
            )
        text = self._tokenizer.decode(finished.tokens, skip_special_tokens=True).strip()
        reason: Literal["stop", "length"] = "stop" if finished.stopped else "length"
        return Answer(row.prompt, text, reason, len(finished.tokens), len(row.ids), dict(row.extra))
