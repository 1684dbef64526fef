"""Wilson's score interval: one formula for every interval of a rate in the project."""

from __future__ import annotations

import numpy as np
from scipy import special as _special


def score_bounds(rate: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two rates whose own sampling error just reaches `rate`.

    Args:
        rate: Observed rates, 0-1, any shape.
        spread: Squared quantile over the (effective) sample size, z² / n, same shape; > 0. Infinite
            (n = 0) gives 0 and 1, nan gives nan, as does a rate of nan.

    Returns:
        (low, high), each 0-1; exactly 0 and 1 where the rate is.

    Source:
        Wilson 1927, doi 10.1080/01621459.1927.10502953; with an effective size: Korn and Graubard
        1998, Survey Methodology 24; Dean and Pagano 2015, doi 10.1093/jssam/smv024.
    """
    p, c = np.asarray(rate, dtype=float), np.asarray(spread, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (p + c / 2) / (1 + c)
        half = np.sqrt(c * p * (1 - p) + c * c / 4) / (1 + c)
    centre, half = (np.where(np.isinf(c), 0.5, values) for values in (centre, half))
    low = np.where(p == 0, 0.0, np.maximum(0.0, centre - half))  # exact at the ends, where rounding leaves 1e-18
    high = np.where(p == 1, 1.0, np.minimum(1.0, centre + half))
    unknown = np.isnan(c) | np.isnan(p)
    return np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)


def quantile(level: float, dof: float | None = None) -> float:
    """The two-sided quantile of the normal distribution, or of Student's t with `dof` degrees of freedom."""
    tail = 0.5 + level / 2
    return float(_special.ndtri(tail) if dof is None else _special.stdtrit(dof, tail))


def wilson(misaligned: float, n: float, level: float = 0.95, dof: float | None = None) -> tuple[float, float]:
    """Wilson score interval of a proportion.

    Args:
        misaligned: Count of successes (may be fractional with an effective `n`), 0..n.
        n: Count of trials; 0 gives (nan, nan).
        level: Coverage, (0, 1).
        dof: Student t degrees of freedom instead of the normal quantile.

    Returns:
        (low, high), each 0-1.
    """
    if not n > 0:
        return float("nan"), float("nan")
    low, high = score_bounds(np.asarray(misaligned / n), np.asarray(quantile(level, dof) ** 2 / n))
    return float(low), float(high)
