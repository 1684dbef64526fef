"""Resampling: percentiles of rates over resampled questions, or over resampled answers within them."""

from __future__ import annotations

import numpy as np

from em_core.stats.kinds import IntervalKind

RESAMPLES = 2000


def bootstrap_rates(
    misaligned: np.ndarray,
    denominator: np.ndarray,
    kind: IntervalKind = "population",
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Pooled rates of resampled data, shape (resamples,), each 0-1.

    Args:
        misaligned: Misaligned answers per question, shape (questions,).
        denominator: Answers per question, each > 0, shape (questions,).
        kind: ``population`` draws whole questions with replacement; ``questions`` keeps them and draws
            each one's answers with replacement.
        resamples: How many.
        seed: The same seed gives the same rates.

    Source:
        Efron and Tibshirani 1993, ch. 8; Field and Welsh 2007, doi 10.1111/j.1467-9868.2007.00593.x.
    """
    m, d = np.asarray(misaligned, dtype=float), np.asarray(denominator, dtype=float)
    rng = np.random.default_rng(seed)
    if kind == "population":
        # how often each question was drawn: the same as drawing questions one by one, without an index array
        drawn = rng.multinomial(len(d), np.full(len(d), 1 / len(d)), size=resamples)
        return (drawn @ m) / (drawn @ d)
    whole = d.astype(np.int64)
    return rng.binomial(whole, m / d, size=(resamples, len(d))).sum(axis=1) / whole.sum()


def bootstrap_interval(
    misaligned: np.ndarray,
    denominator: np.ndarray,
    kind: IntervalKind = "population",
    level: float = 0.95,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of the pooled rate; too narrow with few questions (see docs/statistics.md).

    Args:
        misaligned: Misaligned answers per question, shape (questions,).
        denominator: Answers per question, each > 0, shape (questions,).
        kind: As for `bootstrap_rates`.
        level: Coverage, (0, 1).
        resamples: How many.
        seed: Of the resampling.

    Returns:
        (low, high), each 0-1.
    """
    rates = bootstrap_rates(misaligned, denominator, kind, resamples=resamples, seed=seed)
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
