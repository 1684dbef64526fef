"""The decode loop: slots that are filled, stepped together, emptied and filled again.

A prompt is prefilled without its last token, once for all its samples, right-padded (causal
attention needs no mask for that). The last prompt token is fed by the first step, so a new row and
an old one look the same to a step. All state of a row is on the device; the host looks at it every
`Pace.check_every` steps (a finished row is frozen until then).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from em_core import alive
from em_core.sampling._cache import SlotCache
from em_core.sampling._limits import BUCKET_CPU, BUCKET_GPU, PREFILL_TOKENS_CPU, PREFILL_TOKENS_GPU
from em_core.sampling._model import Masks
from em_core.sampling._noise import choose, scramble, uniforms
from em_core.sampling._prompts import Encoded


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the host looks, and in what portions things are done.

    Args:
        check_every: Steps between two looks at which rows are done (each look waits for the device).
        bucket: Columns in view are rounded up to this.
        refill: Empty slots are filled when they are more than 1/refill of all.
        shrink: When nothing is pending, empty slots are dropped when at most this share is busy.
        prefill_tokens: Most prompt tokens in one forward pass.
        grow: Reserve cache columns as they are needed instead of all at once.
    """

    check_every: int
    bucket: int
    refill: int
    shrink: float
    prefill_tokens: int
    grow: bool


PACES = {
    "cuda": Pace(check_every=8, bucket=BUCKET_GPU, refill=16, shrink=0.5, prefill_tokens=PREFILL_TOKENS_GPU, grow=False),
    "cpu": Pace(check_every=1, bucket=BUCKET_CPU, refill=2**30, shrink=0.75, prefill_tokens=PREFILL_TOKENS_CPU, grow=True),
}


@dataclass(frozen=True, slots=True)
class Finished:
    """One decoded answer: generated tokens without the stop token."""

    row: Encoded
    tokens: list[int]
    stopped: bool  # by a stop token, not by length
    fine: bool  # the logits were numbers throughout


class Decoder:
    """Decodes rows in `n_slots` slots.

    Args:
        model: The transformers model, ready to decode (`lent`).
        n_slots: Rows decoded at once.
        capacity: Columns of the longest row, prompt and answer.
        longest: Most tokens of an answer.
        stops: Tokens that end an answer.
    """

    def __init__(self, model: Any, n_slots: int, capacity: int, longest: int, stops: list[int]) -> None:
        self._model = model
        self._device = device = model.get_input_embeddings().weight.device
        self._pace = PACES["cuda" if device.type == "cuda" else "cpu"]
        capacity = self._rounded(capacity)  # attention kernels want masks of even width
        self._masks = Masks(model)
        self._stops = torch.tensor(stops, dtype=torch.long, device=device)
        self._cache = SlotCache(n_slots, capacity, grow=self._pace.grow)
        self._rows: list[Encoded | None] = [None] * n_slots
        self._starts = [0] * n_slots  # position less steps at admission: position now = start + steps
        self._steps = 0
        integers = torch.zeros(n_slots, dtype=torch.long, device=device)
        flags = torch.zeros(n_slots, dtype=torch.bool, device=device)
        self._state = {
            **{name: integers.clone() for name in ("token", "position", "n", "limit", "key")},
            **{name: flags.clone() for name in ("stopped", "broken")},
            "done": ~flags,
            "temperature": torch.ones(n_slots, device=device),
            "top_p": torch.ones(n_slots, device=device),
            "out": torch.zeros((n_slots, longest + 1), dtype=torch.long, device=device),
        }

    @property
    def rows(self) -> list[Encoded]:
        """The rows that are being decoded."""
        return [row for row in self._rows if row is not None]

    @torch.inference_mode()
    def advance(self, pending: deque[Encoded]) -> list[Finished]:
        """Take rows from `pending` while slots are free, decode a few steps, return what finished."""
        free = [slot for slot, row in enumerate(self._rows) if row is None]
        if pending and len(free) > min(len(self._rows) // self._pace.refill, len(self._rows) - 1):
            taken = [pending.popleft() for _ in range(min(len(free), len(pending)))]
            for slot, row in zip(free, taken, strict=False):
                self._rows[slot], self._starts[slot] = row, len(row.ids) - 1 - self._steps
            self._admit(free[: len(taken)], taken)
        elif not pending and len(self._rows) - len(free) <= self._pace.shrink * len(self._rows):
            self._shrink()
        live = [slot for slot, row in enumerate(self._rows) if row is not None]
        rows = self.rows
        top = max(self._starts[slot] for slot in live)
        sampled = any(row.prompt.decoding.temperature > 0 for row in rows)
        nucleus = any(row.prompt.decoding.top_p < 1 and row.prompt.decoding.temperature > 0 for row in rows)
        for _ in range(self._pace.check_every):
            self._step(top + self._steps + 1, sampled, nucleus)
            self._steps += 1
        return self._collect(live)

    def close(self) -> None:
        """Give the cache's memory back, for whoever works with the model next."""
        self._cache.free()

    def _rounded(self, width: int) -> int:
        return -(-width // self._pace.bucket) * self._pace.bucket

    def _admit(self, slots: list[int], rows: list[Encoded]) -> None:
        order = sorted(range(len(rows)), key=lambda i: (len(rows[i].ids), rows[i].ids))
        groups = [(ids, [slots[i] for i in members]) for ids, members in groupby(order, key=lambda i: rows[i].ids)]
        chunk: list[tuple[tuple[int, ...], list[int]]] = []
        for group in groups:
            if chunk and (len(chunk) + 1) * len(group[0]) > self._pace.prefill_tokens:
                self._prefill(chunk)
                chunk = []
            chunk.append(group)
        self._prefill(chunk)
        how = [row.prompt.decoding for row in rows]
        self._set(slots, "token", [row.ids[-1] for row in rows])
        self._set(slots, "position", [len(row.ids) - 1 for row in rows])
        self._set(slots, "limit", [row.max_tokens for row in rows])
        self._set(slots, "key", [scramble(row.prompt.seed) for row in rows])
        self._set(slots, "temperature", [d.temperature for d in how])
        self._set(slots, "top_p", [d.top_p for d in how])
        for name in ("n", "stopped", "broken", "done"):
            self._set(slots, name, [0] * len(slots))

    def _set(self, slots: list[int], name: str, values: list[Any]) -> None:
        state = self._state[name]
        state[torch.tensor(slots, device=self._device)] = torch.tensor(values, dtype=state.dtype, device=self._device)

    def _prefill(self, groups: list[tuple[tuple[int, ...], list[int]]]) -> None:
        """Run distinct prompts, shortest first, and copy each into the slots of its samples."""
        width = len(groups[-1][0]) - 1
        if not width:
            return  # prompts of one token: the first step does it all
        ids = torch.tensor([[*prompt[:-1], *[0] * (width - len(prompt) + 1)] for prompt, _ in groups], device=self._device)
        cache = DynamicCache()
        self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        slots = torch.tensor([slot for _, to in groups for slot in to], device=self._device)
        source = torch.tensor([i for i, (_, to) in enumerate(groups) for _ in to], device=self._device)
        self._cache.fill(slots, cache, source, width)

    def _step(self, width: int, sampled: bool, nucleus: bool) -> None:
        alive.beat()
        state = self._state
        width = min(self._cache.capacity, self._rounded(width))
        self._cache.look(state["position"], width)
        logits = self._model(
            input_ids=state["token"][:, None],
            position_ids=state["position"][:, None],
            attention_mask=self._masks.at(state["position"], width),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        noise = uniforms(state["key"], state["n"])
        token, fine = choose(logits.to(self._device), state["temperature"], state["top_p"], noise, sampled, nucleus)
        live = ~state["done"]
        stop = torch.isin(token, self._stops)
        state["out"].scatter_(1, state["n"][:, None], token[:, None])
        state["n"] += live & ~stop
        state["stopped"] |= live & stop
        state["broken"] |= live & ~fine
        state["done"] |= stop | ~fine | (state["n"] >= state["limit"])
        state["position"] += ~state["done"]
        state["token"] = token

    def _collect(self, live: list[int]) -> list[Finished]:
        """Empty the slots whose rows are done."""
        done = self._state["done"].tolist()
        slots = [slot for slot in live if done[slot]]
        if not slots:
            return []
        index = torch.tensor(slots, device=self._device)
        n, stopped, broken, out = (self._state[name][index].cpu() for name in ("n", "stopped", "broken", "out"))
        finished = []
        for i, slot in enumerate(slots):
            row = self._rows[slot]
            assert row is not None
            finished.append(Finished(row, out[i, : int(n[i])].tolist(), bool(stopped[i]), not bool(broken[i])))
            self._rows[slot] = None
        return finished

    def _shrink(self) -> None:
        """Drop the empty slots: fewer rows to step."""
        slots = [slot for slot, row in enumerate(self._rows) if row is not None]
        index = torch.tensor(slots, device=self._device)
        self._cache.keep(index)
        self._state = {name: value[index] for name, value in self._state.items()}
        self._rows, self._starts = [self._rows[slot] for slot in slots], [self._starts[slot] for slot in slots]
