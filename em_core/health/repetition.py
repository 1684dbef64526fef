"""Does the answer go in circles? The share of its 4-grams that it has said before."""

from __future__ import annotations

from collections.abc import Sequence

LENGTH = 4
"""Words in an n-gram: shorter ones repeat in any text."""


def repetition(units: Sequence[str]) -> float:
    """Share of the n-grams that are repeats of earlier ones: 1 - distinct / all.

    Args:
        units: Words (or characters), in order.

    Returns:
        0-1; 0 where there are fewer than two n-grams.

    Source:
        "rep-n" of Welleck et al. 2020, arXiv 1908.04319.
    """
    n_grams = len(units) - LENGTH + 1
    if n_grams < 2:
        return 0.0
    return 1 - len(set(zip(*(units[i:] for i in range(LENGTH)), strict=False))) / n_grams
