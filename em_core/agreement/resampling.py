"""Intervals by drawing whole questions again: every statistic here is a function of sums over questions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
_BLOCKS = 200


@dataclass(frozen=True)
class Measured:
    """An estimate with its 95 % interval.

    Args:
        value: None where it is not defined (everybody said the same, nothing in common).
        low, high: None where `value` is, and where resampling gives no width (perfect agreement).
        n: Answers that it rests on.
        n_questions: Questions that they belong to.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_questions: int


def per_question(parts: np.ndarray, questions: np.ndarray) -> np.ndarray:
    """Sums over each question's answers; with a single question over blocks of its answers, which are exchangeable.

    Args:
        parts: One row per answer, shape (answers, columns).
        questions: Which question an answer belongs to, any integers, shape (answers,).

    Returns:
        Shape (questions, columns).
    """
    _, code = np.unique(questions, return_inverse=True)
    if len(code) and code.max() == 0:
        code = np.arange(len(code)) % _BLOCKS
    n = int(code.max()) + 1 if len(code) else 0
    return np.stack([np.bincount(code, weights=column, minlength=n) for column in parts.T], axis=1)


def measured(
    parts: np.ndarray, questions: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], *, level: float = 0.95, seed: int = 0
) -> Measured:
    """A statistic of summed parts, with its percentile interval over resampled questions.

    Args:
        parts: One row per answer, shape (answers, columns).
        questions: As for `per_question`.
        statistic: From sums, shape (draws, columns), to values, shape (draws,); nan where not defined.
        level: Coverage, (0, 1).
        seed: The same seed gives the same interval.

    Source:
        Field and Welsh 2007, doi 10.1111/j.1467-9868.2007.00593.x (resampling clusters).
    """
    n, n_questions = len(parts), len(np.unique(questions))
    if not n:
        return Measured(None, None, None, 0, 0)
    sums = per_question(parts, questions)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(sums.sum(axis=0, keepdims=True))[0])
        if np.isnan(value):
            return Measured(None, None, None, n, n_questions)
        drawn = statistic(draws(len(sums), seed) @ sums)
    low, high = percentiles(drawn, level)
    return Measured(value, low, high, n, n_questions)


def draws(n_questions: int, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """How often each question is in each resampled data set, shape (resamples, questions)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_questions, np.full(n_questions, 1 / n_questions), size=resamples).astype(float)


def percentiles(values: np.ndarray, level: float = 0.95) -> tuple[float | None, float | None]:
    """Central interval of the defined values; None when fewer than half are defined, or all are the same.

    Perfect agreement is the same in every resample: that is no proof of a width of zero.
    """
    known = values[np.isfinite(values)]
    if len(known) < len(values) / 2 or np.ptp(known) < 1e-9:
        return None, None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
