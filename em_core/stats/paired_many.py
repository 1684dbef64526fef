"""`em_core.stats.paired` for many pairs of checkpoints at once: the arithmetic, on arrays of pairs and questions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special as _special

from em_core.stats.kinds import IntervalKind
from em_core.stats.rates import these_questions
from em_core.stats.unpaired import mover
from em_core.stats.wilson import quantile, score_bounds

FURTHEST = 37.0
"""Normal quantile beyond which the tail leaves the range of numbers."""
_HALVINGS = 48


class Differences(NamedTuple):
    """One entry per pair, each array of shape (pairs,); nan where no question was answered on both sides.

    Args:
        difference: Mean over questions of b's rate minus a's, -1 to 1.
        low: Lower end of the interval, -1 to 1.
        high: Upper end.
        p: Two-sided p value that belongs to the interval.
        rate_a: Mean over those questions of a's rate, 0-1.
        rate_b: The same of b.
        n_questions: Questions answered on both sides.
    """

    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    rate_a: np.ndarray
    rate_b: np.ndarray
    n_questions: np.ndarray


def paired_differences(
    misaligned_a: np.ndarray,
    base_a: np.ndarray,
    misaligned_b: np.ndarray,
    base_b: np.ndarray,
    kind: IntervalKind = "population",
    level: float = 0.95,
) -> Differences:
    """What `em_core.stats.paired.paired_difference` says of each pair, without its permutation test.

    Args:
        misaligned_a: Misaligned answers, shape (pairs, questions).
        base_a: Answers in the denominator, same shape; 0 = not asked, the question is left out of that pair.
        misaligned_b: The same of b.
        base_b: The same of b.
        kind: Which interval; pairs with one question in common get ``questions`` in any case.
        level: Coverage, (0, 1).
    """
    ma, da, mb, db = (np.asarray(values, dtype=float) for values in (misaligned_a, base_a, misaligned_b, base_b))
    both = (da > 0) & (db > 0)
    k = both.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates_a, rates_b = np.where(both, ma / da, 0.0), np.where(both, mb / db, 0.0)
        deltas = rates_b - rates_a
        mean = deltas.sum(axis=1) / k
        a, b = _side(ma, da, both, k), _side(mb, db, both, k)
        low, high = _mover(a, b, np.full(len(k), quantile(level)))
        p = _mover_p(a, b)
        if kind == "population":
            wide = k > 1
            squares = np.where(both, (deltas - mean[:, None]) ** 2, 0.0).sum(axis=1)
            se = np.sqrt(squares / (k - 1)) / np.sqrt(k)
            dof = np.maximum(k - 1, 1)
            half = _special.stdtrit(dof, 0.5 + level / 2) * se
            low, high = np.where(wide, np.minimum(low, mean - half), low), np.where(wide, np.maximum(high, mean + half), high)
            p_t = np.where(se > 0, 2 * _special.stdtr(dof, -np.abs(mean) / se), np.where(mean != 0, 0.0, 1.0))
            p = np.where(wide, np.maximum(p, p_t), p)
        mean_a, mean_b = rates_a.sum(axis=1) / k, rates_b.sum(axis=1) / k
    mean, low, high, p, mean_a, mean_b = (
        np.where(k == 0, np.nan, values) for values in (mean, np.maximum(-1.0, low), np.minimum(1.0, high), p, mean_a, mean_b)
    )
    return Differences(mean, low, high, p, mean_a, mean_b, k)


def _side(m: np.ndarray, d: np.ndarray, both: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rate with each question equal, and its variance on these questions relative to one answer's; each (pairs,)."""
    d = np.where(both, d, np.nan)
    largest = np.where(both, d, -np.inf).max(axis=1, initial=-np.inf)
    alike = np.where(both, d, np.inf).min(axis=1, initial=np.inf) == largest
    # equal weights: as if every question had the harmonic mean of the answers
    size = np.where(alike, largest, k / np.where(both, 1 / d, 0.0).sum(axis=1))
    m = np.where(alike[:, None], m, m / d * size[:, None])
    d = np.broadcast_to(size[:, None], m.shape)
    row = np.broadcast_to(np.arange(len(k))[:, None], m.shape)
    rate = np.where(both, m, 0.0).sum(axis=1) / np.where(both, d, 0.0).sum(axis=1)
    return rate, these_questions(m[both], d[both], row[both], len(k))


def _mover(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray], z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Newcombe's interval of b - a from the two sides' rates and relative variances, at the normal quantiles z."""
    low_a, high_a = score_bounds(a[0], z * z * a[1])
    low_b, high_b = score_bounds(b[0], z * z * b[1])
    return mover(a[0], low_a, high_a, b[0], low_b, high_b)


def _mover_p(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The p value at which `_mover`'s interval just reaches 0, by halving."""
    mean = b[0] - a[0]
    up = mean > 0

    def clear_of_zero(z: np.ndarray) -> np.ndarray:
        low, high = _mover(a, b, z)
        return np.where(up, low, -high) >= 0

    near, far = np.zeros_like(mean), np.full_like(mean, FURTHEST)
    beyond = clear_of_zero(far)
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        clear = clear_of_zero(middle)
        near, far = np.where(clear, middle, near), np.where(clear, far, middle)
    z = np.where(beyond, FURTHEST, (near + far) / 2)
    return np.where(np.abs(mean) < 1e-12, 1.0, 2 * _special.ndtr(-z))  # equal but for rounding
