"""A key-value cache of slots: every row has its own position, a finished row's slot takes a new prompt.

`DynamicCache` grows by concatenation, which copies the whole cache at every token, and gives all
rows one common position. Here a step writes one column per row in place. Columns that a row has not
reached yet hold zeros or an earlier row's values; `Masks` hides them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer


class SlotLayer(DynamicLayer):
    """Keys and values of one layer, shape (slots, heads, columns, head size)."""

    def __init__(self, cache: SlotCache) -> None:
        super().__init__()
        self._cache = cache

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write one new column per row at the row's own position."""
        self.reserve(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        rows, columns = self._cache.at(key_states.device)
        self.keys[rows, :, columns] = key_states[:, :, 0]
        self.values[rows, :, columns] = value_states[:, :, 0]
        return self.keys[:, :, : self._cache.width], self.values[:, :, : self._cache.width]

    def reserve(self, key_states: Tensor, value_states: Tensor) -> None:
        """Have at least `SlotCache.reserved` columns; like `key_states` in heads, type and device."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys = self._wider(None, key_states)
            self.values = self._wider(None, value_states)
        elif self.keys is not None and self.keys.shape[2] < self._cache.reserved:
            self.keys = self._wider(self.keys, key_states)
            self.values = self._wider(self.values, value_states)

    def _wider(self, old: Tensor | None, like: Tensor) -> Tensor:
        shape = (self._cache.n_slots, like.shape[1], self._cache.reserved, like.shape[3])
        new = torch.zeros(shape, dtype=like.dtype, device=like.device)
        if old is not None:
            new[:, :, : old.shape[2]] = old
        return new

    def get_seq_length(self) -> int:
        """Columns in view."""
        return self._cache.width

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns in view, no offset."""
        return self._cache.width, 0


class SlotCache(Cache):
    """The cache of all layers.

    Args:
        n_slots: Rows decoded at once.
        capacity: Most columns that a row can need.
        grow: Reserve columns as they are needed instead of all at once (CPU: saves touching memory).
    """

    def __init__(self, n_slots: int, capacity: int, grow: bool) -> None:
        new_layer: Any = lambda: SlotLayer(self)  # noqa: E731
        super().__init__(layer_class_to_replicate=new_layer)
        self.n_slots, self.capacity = n_slots, capacity
        self.width = 0
        self.reserved = 0 if grow else capacity
        self._at: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def look(self, positions: Tensor, width: int) -> None:
        """Set where the next step writes (shape (slots,)) and how many columns it sees."""
        self.reserve(width)
        self.width = width
        rows = torch.arange(self.n_slots, device=positions.device)
        self._at = {positions.device: (rows, positions)}

    def at(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Rows and columns to write, on a layer's device."""
        if device not in self._at:
            rows, columns = next(iter(self._at.values()))
            self._at[device] = (rows.to(device), columns.to(device))
        return self._at[device]

    def reserve(self, width: int) -> None:
        """Columns to have from the next write on."""
        if width > self.reserved:
            self.reserved = min(self.capacity, max(width, self.reserved + self.reserved // 2))

    def fill(self, slots: Tensor, source: DynamicCache, source_rows: Tensor, width: int) -> None:
        """Copy prompts into slots.

        Args:
            slots: Where to, shape (n,).
            source: Keys and values of prefilled prompts, left-aligned.
            source_rows: Which of them, shape (n,).
            width: Columns to copy.
        """
        self.reserve(width)
        layers: list[Any] = self.layers
        prefilled: list[Any] = source.layers
        layers.extend(SlotLayer(self) for _ in range(len(prefilled) - len(layers)))
        for layer, new in zip(layers, prefilled, strict=True):
            layer.reserve(new.keys, new.values)
            to, of = slots.to(new.keys.device), source_rows.to(new.keys.device)
            layer.keys[to, :, :width] = new.keys[of]
            layer.values[to, :, :width] = new.values[of]

    def free(self) -> None:
        """Let go of the memory at once: the layers know their cache, so that only a garbage collection would."""
        layers: list[Any] = self.layers
        for layer in layers:
            layer.keys = layer.values = None

    def keep(self, slots: Tensor) -> None:
        """Drop all slots but these."""
        self.n_slots = len(slots)
        layers: list[Any] = self.layers
        for layer in layers:
            layer.reorder_cache(slots)
