"""Intervals for rates over questions: answers to one question are not independent.

Two intervals are offered, and a figure says which it shows:

* ``questions``: *these questions*, new answers. Variance within questions only (stratified).
* ``population``: *questions like these*. Clustered by question, Student t with (questions - 1)
  degrees of freedom.

Both turn the design's variance into an effective sample size and use Wilson's interval with it
(Korn and Graubard 1998; Dean and Pagano 2015, doi 10.1093/jssam/smv024), so that 0 of n and n of n
still have an honest width.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import stats as _scipy

IntervalKind = Literal["questions", "population"]


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
    quantile = 0.5 + level / 2
    z = float(_scipy.norm.ppf(quantile) if dof is None else _scipy.t.ppf(quantile, dof))
    p = misaligned / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return 0.0 if p == 0 else max(0.0, centre - half), 1.0 if p == 1 else min(1.0, centre + half)


def rate_interval(
    misaligned: np.ndarray, denominator: np.ndarray, kind: IntervalKind = "questions", level: float = 0.95
) -> tuple[float | None, float | None, float | None]:
    """The pooled rate of one cell and its interval.

    Args:
        misaligned: Misaligned answers per question, shape (questions,).
        denominator: Answers in the definition's denominator per question, shape (questions,).
        kind: Which interval (see the module's docstring).
        level: Coverage, (0, 1).

    Returns:
        (rate, low, high), each 0-1; all None where nothing was scored; low and high None for
        ``population`` with fewer than two answered questions.
    """
    m = np.asarray(misaligned, dtype=float)
    rate, low, high = rate_intervals(m, denominator, np.zeros(len(m), dtype=np.int64), 1, kind, level)

    def number(value: float) -> float | None:
        return None if np.isnan(value) else float(value)

    return number(rate[0]), number(low[0]), number(high[0])


def rate_intervals(
    misaligned: np.ndarray,
    denominator: np.ndarray,
    cell: np.ndarray,
    n_cells: int,
    kind: IntervalKind = "questions",
    level: float = 0.95,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`rate_interval` of many cells at once.

    Args:
        misaligned: Misaligned answers per cell and question, shape (rows,).
        denominator: Answers in the definition's denominator, shape (rows,).
        cell: Which cell a row belongs to, 0..n_cells - 1, shape (rows,).
        n_cells: Count of cells.
        kind: Which interval (see the module's docstring).
        level: Coverage, (0, 1).

    Returns:
        (rate, low, high), each of shape (n_cells,) and 0-1, nan where `rate_interval` says None.
    """
    m = np.asarray(misaligned, dtype=float)
    d = np.asarray(denominator, dtype=float)
    keep = d > 0
    m, d, cell = m[keep], d[keep], np.asarray(cell)[keep]

    def per_cell(values: np.ndarray) -> np.ndarray:
        return np.bincount(cell, weights=values, minlength=n_cells)

    total = per_cell(d)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = per_cell(m) / total
        if kind == "questions":
            # per-question variance with a Jeffreys prior, so that one answer a question is not "no variance"
            share = (m + 0.5) / (d + 1)
            variance = per_cell(d * share * (1 - share)) / total**2
            n_eff = np.where(p * (1 - p) == 0, total, np.clip(p * (1 - p) / variance, total, 4 * total))
            z: np.ndarray | float = float(_scipy.norm.ppf(0.5 + level / 2))
        else:
            clusters = np.bincount(cell, minlength=n_cells)
            variance = clusters / (clusters - 1) * per_cell((m - p[cell] * d) ** 2) / total**2
            unvaried = np.where((p == 0) | (p == 1), clusters, total)
            n_eff = np.where(variance > 0, np.minimum(p * (1 - p) / variance, total), unvaried)
            n_eff = np.where(clusters < 2, np.nan, n_eff)
            sizes, which = np.unique(clusters, return_inverse=True)
            z = _scipy.t.ppf(0.5 + level / 2, np.maximum(sizes - 1, 1))[which]
        centre = (p + z * z / (2 * n_eff)) / (1 + z * z / n_eff)
        half = z / (1 + z * z / n_eff) * np.sqrt(p * (1 - p) / n_eff + z * z / (4 * n_eff * n_eff))
        low = np.where(p == 0, 0.0, np.maximum(0.0, centre - half))  # exact at the ends, where rounding leaves 1e-18
        high = np.where(p == 1, 1.0, np.minimum(1.0, centre + half))
        return p, np.where(np.isnan(n_eff), np.nan, low), np.where(np.isnan(n_eff), np.nan, high)
