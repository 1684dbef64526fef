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
    return max(0.0, centre - half), min(1.0, centre + half)


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
    d = np.asarray(denominator, dtype=float)
    keep = d > 0
    m, d = m[keep], d[keep]
    total = float(d.sum())
    if total <= 0:
        return None, None, None
    p = float(m.sum() / total)
    if kind == "questions":
        # per-question variance with a Jeffreys prior, so that one answer a question is not "no variance"
        share = (m + 0.5) / (d + 1)
        variance = float((d * share * (1 - share)).sum()) / total**2
        pooled = p * (1 - p) / total
        n_eff = total if pooled == 0 else min(max(p * (1 - p) / variance, total), 4 * total)
        low, high = wilson(p * n_eff, n_eff, level)
        return p, low, high
    clusters = len(d)
    if clusters < 2:
        return p, None, None
    variance = clusters / (clusters - 1) * float(((m - p * d) ** 2).sum()) / total**2
    n_eff = min(p * (1 - p) / variance, total) if variance > 0 else (clusters if p in (0.0, 1.0) else total)
    low, high = wilson(p * n_eff, n_eff, level, dof=clusters - 1)
    return p, low, high
