"""The next token of every row: its own temperature, nucleus and noise, no loop over rows.

The noise is a hash of (seed, position), so an answer is repeatable whatever is decoded beside it.
Source of the hash: SplitMix64 (Steele, Lea, Flood 2014, doi 10.1145/2660193.2660195).
"""

from __future__ import annotations

import torch
from torch import Tensor

_GOLDEN, _MIX1, _MIX2, _ALL = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 2**64 - 1
_BLOCK = 128
_CHUNK = 32 * 2**20  # logits handled at once: bounds the workspace at about 0.4 GiB


def _signed(value: int) -> int:
    value &= _ALL
    return value - 2**64 if value >= 2**63 else value


def _shift(z: Tensor, bits: int) -> Tensor:
    return (z >> bits) & ((1 << (64 - bits)) - 1)  # int64 shifts copy the sign: mask it away


def scramble(seed: int) -> int:
    """A seed of any size as a well-mixed signed 64-bit number; neighbouring seeds become unrelated."""
    z = (seed ^ (seed >> 64)) & _ALL
    z = ((z ^ (z >> 30)) * _MIX1) & _ALL
    z = ((z ^ (z >> 27)) * _MIX2) & _ALL
    return _signed(z ^ (z >> 31))


def uniforms(keys: Tensor, positions: Tensor) -> Tensor:
    """One uniform number per row.

    Args:
        keys: Scrambled seeds, int64, shape (rows,).
        positions: Number of the token within its answer, from 0, int64, shape (rows,).

    Returns:
        float64 in [0, 1), shape (rows,).
    """
    z = keys + (positions + 1) * _signed(_GOLDEN)
    z = (z ^ _shift(z, 30)) * _signed(_MIX1)
    z = (z ^ _shift(z, 27)) * _signed(_MIX2)
    return _shift(z ^ _shift(z, 31), 12).double() * 2.0**-52  # 52 bits: times a mass it stays below that mass


def choose(
    logits: Tensor, temperature: Tensor, top_p: Tensor, noise: Tensor, sampled: bool, nucleus: bool
) -> tuple[Tensor, Tensor]:
    """The next token of every row.

    Args:
        logits: Shape (rows, vocabulary).
        temperature: 0 = greedy; shape (rows,).
        top_p: Nucleus mass, (0, 1]; shape (rows,).
        noise: Uniform numbers, float64, shape (rows,).
        sampled: Whether any row has a temperature above 0.
        nucleus: Whether any row has a top_p below 1.

    Returns:
        Tokens, int64, shape (rows,); and whether each row's logits were numbers.
    """
    rows = max(1, _CHUNK // logits.shape[-1])
    if len(logits) > rows:
        parts = [
            choose(logits[i : i + rows], temperature[i : i + rows], top_p[i : i + rows], noise[i : i + rows], sampled, nucleus)
            for i in range(0, len(logits), rows)
        ]
        return torch.cat([tokens for tokens, _ in parts]), torch.cat([fine for _, fine in parts])
    peak, tokens = logits.max(dim=-1)  # NaN wins a maximum
    fine = torch.isfinite(peak)
    if not sampled:
        return tokens, fine
    greedy = temperature <= 0
    scores = logits.float() / torch.where(greedy, torch.ones_like(temperature), temperature)[:, None]
    probs = torch.softmax(scores, dim=-1)
    if nucleus:
        probs = _nucleus(probs, top_p)
    return torch.where(greedy, tokens, _draw(probs, noise)), fine


def _draw(probs: Tensor, noise: Tensor) -> Tensor:
    """Invert the cumulative distribution, first over blocks of tokens, then inside one block: one pass
    over the vocabulary instead of a scan of it. A token of probability 0 is never drawn."""
    blocks = torch.nn.functional.pad(probs, (0, -probs.shape[-1] % _BLOCK)).view(len(probs), -1, _BLOCK)
    rows = torch.arange(len(probs), device=probs.device)
    until = torch.cumsum(blocks.sum(dim=-1, dtype=torch.float64), dim=-1)
    target = noise * until[:, -1]
    block = torch.searchsorted(until, target[:, None], right=True)[:, 0].clamp_(max=until.shape[1] - 1)
    before = torch.where(block > 0, until[rows, (block - 1).clamp_(min=0)], torch.zeros_like(target))
    inside = torch.cumsum(blocks[rows, block], dim=-1, dtype=torch.float64)
    rest = torch.minimum((target - before).clamp_(min=0), inside[:, -1] * (1 - 2.0**-52))  # rounding stays in the block
    return block * _BLOCK + torch.searchsorted(inside, rest[:, None], right=True)[:, 0].clamp_(max=_BLOCK - 1)


def _nucleus(probs: Tensor, top_p: Tensor) -> Tensor:
    """Zero everything outside the smallest set of likeliest tokens with at least `top_p` of the mass."""
    ranked, order = torch.sort(probs, dim=-1, descending=True, stable=True)
    before = torch.cumsum(ranked, dim=-1, dtype=torch.float64) - ranked
    kept = (before < top_p[:, None]) | (top_p[:, None] >= 1)
    kept[:, 0] = True
    return torch.zeros_like(probs).scatter_(-1, order, ranked * kept)
