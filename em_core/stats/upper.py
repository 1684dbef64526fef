"""How large a rate may be though few or no misaligned answers were seen: for claims of "no EM"."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import special as _special

from em_core.stats.kinds import IntervalKind, answered

DRAWS = 20_000


def upper_bound(
    misaligned: np.ndarray, denominator: np.ndarray, kind: IntervalKind = "questions", level: float = 0.95
) -> float | None:
    """One-sided upper bound of a rate: "at most this, with 95 % confidence".

    Args:
        misaligned: Misaligned answers per question, shape (questions,).
        denominator: Answers per question, shape (questions,).
        kind: ``questions``: of the pooled rate on these questions, Clopper-Pearson; answers to
            questions of different rates vary less than answers of one rate, so it holds whatever the
            questions' rates are. ``population``: of the mean rate over questions like these, each
            question equal, Gaffke's bound for the mean of numbers between 0 and 1; it holds whatever
            the distribution of the questions' rates is, so 8 questions never rule out less than 31 %.
        level: Confidence, (0, 1).

    Returns:
        0-1; None where nothing was scored. 0 of n gives 1 - (1 - level) ** (1 / n), n being answers
        (about 3 / n) or questions.

    Source:
        Clopper and Pearson 1934; Hoeffding 1956, doi 10.1214/aoms/1177728178; Gaffke 2005 and
        Learned-Miller and Thomas 2019, arXiv 1905.06208 (its guarantee is a conjecture that no
        simulation has refuted).
    """
    m, d = answered(misaligned, denominator)
    if not len(d):
        return None
    total, events = d.sum(), m.sum()
    if kind == "questions":
        return float(pooled_upper_bounds(events, total, level))
    rates = m / d
    if not rates.any():
        return float(1 - (1 - level) ** (1 / len(d)))
    means = _weights(len(d)) @ np.append(rates, 1.0)
    return float(min(1.0, max(np.quantile(means, level), events / total)))


def pooled_upper_bounds(misaligned: np.ndarray, denominator: np.ndarray, level: float = 0.95) -> np.ndarray:
    """`upper_bound` of the pooled rate on these questions, of many cells at once.

    Args:
        misaligned: Misaligned answers of each cell, any shape.
        denominator: Its answers, the same shape.
        level: Confidence, (0, 1).

    Returns:
        0-1, the same shape; nan where nothing was scored.

    Source:
        Clopper and Pearson 1934 (the quantile of a Beta distribution).
    """
    events, total = np.asarray(misaligned, dtype=float), np.asarray(denominator, dtype=float)
    left = np.maximum(total - events, 0)
    bound = np.where(left > 0, _special.betaincinv(events + 1, np.where(left > 0, left, 1.0), level), 1.0)
    return np.where(total > 0, bound, np.nan)


@lru_cache(maxsize=4)
def _weights(k: int) -> np.ndarray:
    """Random weights of k questions and of the worst that could be, shape (draws, k + 1), each row sums to 1."""
    return np.random.default_rng(0).dirichlet(np.ones(k + 1), size=DRAWS)
