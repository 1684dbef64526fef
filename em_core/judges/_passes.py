"""Forward passes of a local judge: the prompts' common beginning once, each prompt's rest, the branches of a trie.

    prefix (1, P)  ->  keys and values, expanded to all rows
    rests  (rows, S), padded on the left so that each ends in the last column
    nodes  (rows, Q) of one level of the trie: every branch is one column that sees its prompt and its own way
           from the root, nothing else (a tree attention mask), at the position where that token would stand

Keys and values are never computed twice; `n_tokens` counts what went through the model, padding included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from em_core.errors import BadInput, WorkFailed
from em_core.judges._trie import Floats, Trie, Walk

_PLAIN = {"full_attention", "sliding_attention"}
_WORTH_A_PASS = 256  # tokens saved that pay for a forward pass of their own
_MOST_PREFIXES = 8
LOGITS_BYTES_GPU, LOGITS_BYTES_CPU = 2**30, 2**27
"""Memory for the logits of one pass over a trie's nodes; on a GPU with more to spare, a sixteenth of that."""

Layers = list[tuple[Tensor, Tensor]]


@dataclass
class Prompts:
    """Prompts that went through the model.

    Args:
        cache: Their keys and values, (rows, heads, columns, size) a layer.
        at: Position of each column, (rows, columns).
        seen: Columns that are not padding, (rows, columns).
        lengths: Tokens of each prompt, (rows,).
        logits: Of the reply's first token, (rows, vocabulary).
    """

    cache: DynamicCache
    at: Tensor
    seen: Tensor
    lengths: Tensor
    logits: Tensor


class Passes:
    """A causal language model, ready to read prompts.

    Args:
        model: A transformers model in eval mode.

    Raises:
        BadInput: Some layers are not attention over a plain cache (state-space, chunked).
    """

    def __init__(self, model: Any) -> None:
        self.model, self.n_tokens = model, 0
        self.device = model.get_input_embeddings().weight.device
        config = model.config.get_text_config(decoder=True)
        self._kinds, self._window = layer_kinds(config)
        self._prefixes: dict[str, tuple[list[int], Layers]] = {}

    @torch.inference_mode()
    def read(self, rows: Sequence[Sequence[int]], key: str) -> Prompts:
        """Run prompts.

        Args:
            rows: Token ids, at least one each.
            key: Prompts under one key are expected to begin alike (they need not).
        """
        prefix, layers = self._prefix([list(row) for row in rows], key)
        n_rows, start = len(rows), len(prefix)
        cache = DynamicCache()
        for i, (keys, values) in enumerate(layers):
            cache.update(keys.expand(n_rows, -1, -1, -1), values.expand(n_rows, -1, -1, -1), i)
        lengths = torch.tensor([len(row) for row in rows])
        width = int(lengths.max()) - start
        ids, at = torch.zeros(n_rows, width, dtype=torch.long), torch.zeros(n_rows, width, dtype=torch.long)
        seen = torch.zeros(n_rows, start + width, dtype=torch.bool)
        seen[:, :start] = True
        for i, row in enumerate(rows):
            n = len(row) - start
            ids[i, width - n :], at[i, width - n :] = torch.tensor(row[start:]), torch.arange(start, len(row))
            seen[i, start + width - n :] = True
        at_all = torch.cat([torch.arange(start).expand(n_rows, -1), at], 1).to(self.device)
        causal = torch.ones(width, start + width, dtype=torch.bool).tril(start)
        allowed = seen[:, None] & causal
        allowed[:, :, start:] |= torch.eye(width, dtype=torch.bool)  # padding sees itself: a row that sees nothing is NaN
        seen = seen.to(self.device)
        logits = self._forward(ids.to(self.device), at.to(self.device), allowed.to(self.device), at_all, cache, 1)[:, -1]
        if not bool(torch.isfinite(logits).all()):
            raise WorkFailed(
                "judge `local`: the model gave NaN or infinite logits", "its weights are damaged: use another judge model"
            )
        return Prompts(cache, at_all, seen, lengths.to(self.device), logits)

    @torch.inference_mode()
    def walk(self, prompts: Prompts, trie: Trie, below: float = 0.0) -> Floats:
        """The probability of each of the trie's targets after each prompt, shape (rows, targets). Uses the prompts up."""
        tokens = torch.from_numpy(trie.tokens).to(self.device)
        kinds = set(trie.end_kind.tolist()) - {""}
        continuing = {kind: torch.tensor(trie.continuing[kind], dtype=torch.long, device=self.device) for kind in kinds}
        first, _ = _probabilities(prompts.logits[:, None], tokens, {})
        walk = Walk(trie, first[:, 0], below)
        n_rows, n_vocabulary = prompts.logits.shape
        at_once = max(1, self._logits_bytes() // (n_rows * n_vocabulary * 8))
        fed = np.zeros((n_rows, 0), dtype=np.int64)  # the node in each of the columns after the prompt
        while (nodes := walk.nodes()) is not None:
            parts = []
            for start in range(0, nodes.shape[1], at_once):
                part = nodes[:, start : start + at_once]
                logits = self._nodes(prompts, trie, part, fed)
                parts.append(_probabilities(logits, tokens, continuing))
                fed = np.concatenate([fed, part], 1)
            following = np.concatenate([probabilities for probabilities, _ in parts], 1)
            walk.feed(following, {kind: np.concatenate([c[kind] for _, c in parts], 1) for kind in continuing})
        return walk.targets()

    @torch.inference_mode()
    def greedy(self, prompts: Prompts, stops: Sequence[int], most: int) -> list[tuple[list[int], bool]]:
        """The most likely tokens, one after the other, and whether each reply came to an end. Uses the prompts up."""
        stop = torch.tensor(list(stops), device=self.device)
        logits, at, seen, new = prompts.logits, prompts.at, prompts.seen, []
        for i in range(most):
            new.append(logits.argmax(-1))
            if i == most - 1 or bool(torch.isin(torch.stack(new, 1), stop).any(1).all()):
                break
            position = (prompts.lengths + i)[:, None]
            at = torch.cat([at, position], 1)
            seen = torch.cat([seen, torch.ones_like(seen[:, :1])], 1)
            logits = self._forward(new[-1][:, None], position, seen[:, None], at, prompts.cache, 1)[:, -1]
        replies = []
        ends = set(stops)
        for row in torch.stack(new, 1).tolist():
            n = next((i for i, token in enumerate(row) if token in ends), None)
            replies.append((row[:n], n is not None))
        return replies

    def forget(self) -> None:
        """Let the kept prefixes go (memory)."""
        self._prefixes.clear()

    def _prefix(self, rows: list[list[int]], key: str) -> tuple[list[int], Layers]:
        """The common beginning of the rows and its keys and values; at least one token of each row is left over.

        The first batch's beginning is kept. Where a later one shares less of it, it is cut, never computed again.
        """
        common = _common(min(rows), max(rows))  # as texts sort, all others lie between these two
        common = common[: min(len(row) for row in rows) - 1]
        kept, layers = self._prefixes.get(key, ([], []))
        shared = len(_common(kept, common))
        if kept and shared < len(kept):
            kept, layers = kept[:shared], [(k[:, :, :shared].clone(), v[:, :, :shared].clone()) for k, v in layers]
            self._prefixes[key] = kept, layers
        more = common[shared:]
        new = key not in self._prefixes
        if more and (new or len(more) * (len(rows) - 1) >= _WORTH_A_PASS):
            cache = DynamicCache()
            for i, (k, v) in enumerate(layers):
                cache.update(k, v, i)
            at = torch.arange(shared, len(common), device=self.device)[None]
            self._forward(torch.tensor([more], device=self.device), at, None, at, cache, 1)
            filled: list[Any] = cache.layers
            kept, layers = common, [(layer.keys, layer.values) for layer in filled]
            if new:
                while len(self._prefixes) >= _MOST_PREFIXES:
                    del self._prefixes[next(iter(self._prefixes))]
                self._prefixes[key] = kept, layers
        return kept, layers

    def _nodes(self, prompts: Prompts, trie: Trie, nodes: Any, fed: Any) -> Tensor:
        """Logits after nodes of one level, (rows, nodes, vocabulary); appends them to the cache."""
        real = nodes >= 0
        ids = torch.from_numpy(np.where(real, trie.token[nodes], 0)).to(self.device)
        depth = torch.from_numpy(np.where(real, trie.depth[nodes] - 1, 0)).to(self.device)
        position = prompts.lengths[:, None] + depth
        above = trie.within[nodes[:, :, None], fed[:, None, :]] & real[:, :, None] & (fed >= 0)[:, None, :]
        itself = np.broadcast_to(np.eye(nodes.shape[1], dtype=bool), (*nodes.shape, nodes.shape[1]))
        branch = torch.from_numpy(np.concatenate([above, itself], 2)).to(self.device)
        allowed = torch.cat([prompts.seen[:, None].expand(-1, nodes.shape[1], -1), branch], 2)
        tree_at = prompts.lengths[:, None] + torch.from_numpy(np.where(fed >= 0, trie.depth[fed] - 1, 0)).to(self.device)
        at = torch.cat([prompts.at, tree_at, position], 1)
        return self._forward(ids, position, allowed, at, prompts.cache, 0)

    def _forward(self, ids: Tensor, position: Tensor, allowed: Tensor | None, at: Tensor, cache: Any, keep: int) -> Tensor:
        """One pass; `allowed` (rows, queries, columns) says what sees what, None = plainly causal."""
        self.n_tokens += ids.numel()
        logits: Tensor = self.model(
            input_ids=ids,
            position_ids=position,
            attention_mask=None if allowed is None else self._mask(allowed, position, at),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=keep,
        ).logits
        return logits

    def _logits_bytes(self) -> int:
        if self.device.type != "cuda":
            return LOGITS_BYTES_CPU
        return max(LOGITS_BYTES_GPU, torch.cuda.mem_get_info(self.device)[0] // 16)

    def _mask(self, allowed: Tensor, position: Tensor, at: Tensor) -> Tensor | dict[str, Tensor]:
        if "sliding_attention" not in self._kinds or not self._window or int(at.max()) < self._window:
            return self._shaped(allowed)
        near = self._shaped(allowed & (at[:, None, :] > position[:, :, None] - self._window))
        if self._kinds == {"sliding_attention"}:
            return near
        return {"full_attention": self._shaped(allowed), "sliding_attention": near}

    def _shaped(self, allowed: Tensor) -> Tensor:
        mask = allowed[:, None]
        if self.model.config._attn_implementation != "eager":
            return mask
        dtype = self.model.get_input_embeddings().weight.dtype
        return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)


def layer_kinds(config: Any) -> tuple[set[str], int | None]:
    """The kinds of a model's layers and its sliding window, tokens.

    Raises:
        BadInput: A kind whose cache cannot be shared between branches.
    """
    window: int | None = getattr(config, "sliding_window", None)
    plain = hasattr(config, "num_attention_heads") or hasattr(config, "n_head")
    assumed = "sliding_attention" if window else "full_attention" if plain else "no attention"
    kinds = set(getattr(config, "layer_types", None) or [assumed])
    if kinds - _PLAIN:
        raise BadInput(
            f"judge `local` cannot use a {config.model_type} model: its layers are {', '.join(sorted(kinds))}",
            "use a judge model whose layers are plain or sliding-window attention",
        )
    return kinds, window


def _probabilities(logits: Tensor, tokens: Tensor, continuing: dict[str, Tensor]) -> tuple[Floats, dict[str, Floats]]:
    """Probabilities of some tokens (..., tokens), and the sums over some sets of tokens (...)."""
    whole = torch.logsumexp(logits.float(), -1, keepdim=True)
    found = (logits.index_select(-1, tokens).float() - whole).exp()
    sums = {kind: (logits.index_select(-1, ids).float() - whole).exp().sum(-1) for kind, ids in continuing.items()}
    return found.double().cpu().numpy(), {kind: value.double().cpu().numpy() for kind, value in sums.items()}


def _common(a: list[int], b: list[int]) -> list[int]:
    n = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return a[:n]
