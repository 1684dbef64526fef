"""Noise and choice of the next token, against plain Python and transformers."""

from __future__ import annotations

import pytest
import torch
from transformers import TopPLogitsWarper

from em_core.sampling import _noise
from em_core.sampling._noise import choose, scramble, uniforms

ALL = 2**64 - 1


def splitmix(key: int, position: int) -> float:
    z = (key + (position + 1) * 0x9E3779B97F4A7C15) & ALL
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & ALL
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & ALL
    return ((z ^ (z >> 31)) >> 12) * 2.0**-52


def test_noise_is_splitmix64_on_the_device() -> None:
    keys = [scramble(seed) for seed in (0, 1, 2, 41, -5, 2**63, 2**64 - 1, 2**80 + 3)]
    for position in (0, 1, 599, 2**40):
        got = uniforms(torch.tensor(keys), torch.full((len(keys),), position))
        assert got.tolist() == [splitmix(key, position) for key in keys]


def test_neighbouring_seeds_and_positions_give_unrelated_noise() -> None:
    keys = torch.tensor([scramble(seed) for seed in range(2000)])
    table = torch.stack([uniforms(keys, torch.full_like(keys, position)) for position in range(20)])
    counts = torch.histc(table.flatten(), bins=50, min=0, max=1)
    assert ((counts - 800).pow(2) / 800).sum() < 86  # chi-square, 49 degrees of freedom, p = 0.001
    assert torch.corrcoef(table).fill_diagonal_(0).abs().max() < 0.1
    assert abs(torch.corrcoef(torch.stack([table[:, :-1].flatten(), table[:, 1:].flatten()]))[0, 1]) < 0.02


def test_tokens_are_drawn_with_the_probabilities_of_the_softmax() -> None:
    n, logits = 20000, torch.tensor([2.0, 1.0, 0.0, -1.0, -30.0])
    noise = uniforms(torch.tensor([scramble(i) for i in range(n)]), torch.zeros(n, dtype=torch.long))
    tokens, fine = choose(logits.repeat(n, 1), torch.full((n,), 0.5), torch.ones(n), noise, True, False)
    expected = torch.softmax(logits / 0.5, 0)
    assert fine.all()
    assert (torch.bincount(tokens, minlength=5) / n - expected).abs().max() < 0.01
    assert (tokens < 4).all()


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.9, 0.999])
def test_the_nucleus_is_that_of_transformers(top_p: float) -> None:
    torch.manual_seed(3)
    logits = torch.randn(300, 50) * 3
    noise = torch.rand(300, dtype=torch.float64)
    drawn, _ = choose(logits, torch.ones(300), torch.full((300,), top_p), noise, True, True)
    kept = TopPLogitsWarper(top_p)(torch.zeros(300, 1, dtype=torch.long), logits.clone())
    expected, _ = choose(kept, torch.ones(300), torch.ones(300), noise, True, False)
    assert torch.equal(drawn, expected)


def test_a_row_without_a_nucleus_is_untouched_by_its_neighbours() -> None:
    torch.manual_seed(4)
    logits, noise = torch.randn(64, 40), torch.rand(64, dtype=torch.float64)
    top_p = torch.where(torch.arange(64) % 2 == 0, 1.0, 0.3)
    mixed, _ = choose(logits, torch.ones(64), top_p, noise, True, True)
    alone, _ = choose(logits[::2], torch.ones(32), torch.ones(32), noise[::2], True, False)
    assert torch.equal(mixed[::2], alone)


def test_extreme_noise_never_leaves_the_vocabulary_or_draws_the_impossible() -> None:
    logits = torch.tensor([[float("-inf"), 0.0, float("-inf")]] * 2)
    noise = torch.tensor([0.0, 1 - 2.0**-52], dtype=torch.float64)
    tokens, fine = choose(logits, torch.ones(2), torch.ones(2), noise, True, False)
    assert tokens.tolist() == [1, 1]
    assert fine.all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_rows_that_are_no_numbers_are_told_apart(bad: float) -> None:
    logits = torch.zeros(3, 4)
    logits[1, 2] = bad
    for temperature in (0.0, 1.0):
        how = torch.full((3,), temperature)
        _, fine = choose(logits.clone(), how, torch.ones(3), torch.full((3,), 0.5).double(), temperature > 0, False)
        assert fine.tolist() == [True, False, True]


def test_large_batches_are_handled_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(5)
    logits, noise, top_p = torch.randn(70, 30), torch.rand(70, dtype=torch.float64), torch.linspace(0.2, 1, 70)
    temperature = torch.linspace(0, 2, 70)
    whole, _ = choose(logits, temperature, top_p, noise, True, True)
    monkeypatch.setattr(_noise, "_CHUNK", 200)
    parts, fine = choose(logits, temperature, top_p, noise, True, True)
    assert torch.equal(whole, parts)
    assert fine.shape == (70,)
