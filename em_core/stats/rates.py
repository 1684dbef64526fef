"""A rate over questions and its interval, of one cell or of thousands.

Two intervals are offered, and a figure says which it shows:

* ``questions``: *these questions*, new answers. Variance within questions only (stratified).
* ``population``: *questions like these*. Clustered by question, Student t with (questions - 1)
  degrees of freedom.

The default method turns the design's variance into an effective sample size and uses Wilson's
interval with it, so that 0 of n and n of n still have an honest width. A variance that was estimated
from a few misaligned answers is itself uncertain: it is mixed with the largest that the design allows
(questions: answers as if of one question; population: all answers to a question alike), which counts
as much as `PRIOR_EVENTS` misaligned answers. The largest is also what 0 of n and n of n get.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special as _special

from em_core.stats.bootstrap import RESAMPLES, bootstrap_interval
from em_core.stats.correlation import clustered_variance, within_variance
from em_core.stats.kinds import IntervalKind, IntervalMethod, answered, interval_note
from em_core.stats.wilson import quantile, score_bounds

PRIOR_EVENTS: dict[str, float] = {"questions": 1.0, "population": 0.5}
"""Chosen by simulation: the smallest with coverage of 92 % or more in every setting of docs/statistics.md."""

MOST_GAIN = 4.0
"""Fixing the questions can make answers worth more than independent ones, by at most this factor."""


@dataclass(frozen=True)
class Estimate:
    """A rate with all that belongs to it.

    Args:
        rate: 0-1; None = nothing was scored.
        low: Lower end of the interval, 0-1; None = no estimate.
        high: Upper end.
        n_misaligned: Misaligned answers.
        n: Answers in the denominator.
        n_questions: Questions with at least one of those.
        kind: Which interval this is (one question is always ``questions``).
        method: How it was computed.
        level: Its coverage, (0, 1).
        note: What a reader must know, in words; empty = nothing.
    """

    rate: float | None
    low: float | None
    high: float | None
    n_misaligned: int
    n: int
    n_questions: int
    kind: IntervalKind
    method: IntervalMethod
    level: float
    note: str


def estimate(
    misaligned: np.ndarray,
    denominator: np.ndarray,
    kind: IntervalKind = "questions",
    level: float = 0.95,
    method: IntervalMethod = "wilson",
) -> Estimate:
    """The pooled rate of one cell with interval, counts and a note in words.

    Args:
        misaligned: Misaligned answers per question, shape (questions,).
        denominator: Answers in the definition's denominator per question, shape (questions,).
        kind: Which interval; for a single question it is Wilson's over its answers in any case.
        level: Coverage, (0, 1).
        method: ``wilson`` (see the module's docstring), ``t`` (symmetric, small-sample Student t) or
            ``bootstrap`` (percentiles of 2,000 resamples). The latter two have no width where all
            answers agree, and say so instead of giving one.
    """
    m, d = answered(misaligned, denominator)
    clusters = len(d)
    used: IntervalKind = "questions" if clusters == 1 else kind
    method = "wilson" if clusters == 1 else method
    rate, low, high = rate_interval(m, d, used, level, method)
    note = interval_note(clusters, kind, method)
    if rate is not None and low is None:
        note = f"all answers agree: {method} gives no width, wilson does"
    return Estimate(rate, low, high, int(m.sum()), int(d.sum()), clusters, used, method, level, note)


def rate_interval(
    misaligned: np.ndarray,
    denominator: np.ndarray,
    kind: IntervalKind = "questions",
    level: float = 0.95,
    method: IntervalMethod = "wilson",
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float | None, float | None, float | None]:
    """The pooled rate of one cell and its interval.

    Args:
        misaligned: Misaligned answers per question, shape (questions,).
        denominator: Answers in the definition's denominator per question, shape (questions,).
        kind: Which interval (see the module's docstring).
        level: Coverage, (0, 1).
        method: As for `estimate`.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Returns:
        (rate, low, high), each 0-1; all None where nothing was scored; low and high None for
        ``population`` with fewer than two answered questions, and where all answers agree and the
        method is not ``wilson``.
    """
    m, d = answered(misaligned, denominator)
    if method == "wilson":
        bounds = rate_intervals(m, d, np.zeros(len(m), dtype=np.int64), 1, kind, level)
        rate, low, high = (None if np.isnan(value[0]) else float(value[0]) for value in bounds)
        return rate, low, high
    if not len(d):
        return None, None, None
    pooled = float(m.sum() / d.sum())
    if pooled in (0.0, 1.0) or (kind == "population" and len(d) < 2):
        return pooled, None, None
    if method == "bootstrap":
        return pooled, *bootstrap_interval(m, d, kind, level, resamples=resamples, seed=seed)
    if kind == "population":
        variance, dof = float(clustered_variance(m, d)), float(len(d) - 1)
    else:
        variance, dof = within_variance(m, d)
    if not variance > 0:
        return pooled, None, None
    half = quantile(level, dof) * variance**0.5
    return pooled, max(0.0, pooled - half), min(1.0, pooled + half)


def rate_intervals(
    misaligned: np.ndarray,
    denominator: np.ndarray,
    cell: np.ndarray,
    n_cells: int,
    kind: IntervalKind = "questions",
    level: float = 0.95,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`rate_interval` of many cells at once, by the default method.

    Args:
        misaligned: Misaligned answers per cell and question, shape (rows,); one row per question.
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
    z2 = quantile(level) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        p = per_cell(m) / total
        if kind == "questions":
            low, high = score_bounds(p, z2 * these_questions(m, d, cell, n_cells))
        else:
            clusters = np.bincount(cell, minlength=n_cells)
            variance = clusters / (clusters - 1) * per_cell((m - p[cell] * d) ** 2) / total**2
            alike = per_cell(d * d) / total**2
            binomial = p * (1 - p)
            share = np.where(binomial > 0, variance / binomial, alike)
            careful = np.maximum(share, _mixed(share, alike, np.minimum(p, 1 - p) ** 2 / variance, kind))
            sizes, which = np.unique(clusters, return_inverse=True)
            t2 = (_special.stdtrit(np.maximum(sizes - 1, 1), 0.5 + level / 2) ** 2)[which]
            t2 = np.where(clusters < 2, np.nan, t2)
            # never narrower than independent answers; on the side towards 1/2 the variance may be larger than it looks
            near, far = (score_bounds(p, np.maximum(t2 * values, z2 / total)) for values in (share, careful))
            low, high = np.where(p <= 0.5, near[0], far[0]), np.where(p <= 0.5, far[1], near[1])
    return p, low, high


def these_questions(misaligned: np.ndarray, denominator: np.ndarray, cell: np.ndarray, n_cells: int) -> np.ndarray:
    """Variance of each cell's rate when its questions are fixed, relative to that of one answer.

    Args:
        misaligned: As for `rate_intervals`.
        denominator: As for `rate_intervals`, each > 0.
        cell: As for `rate_intervals`.
        n_cells: Count of cells.

    Returns:
        One over the effective number of answers, shape (n_cells,): at most one over the answers; infinite for an empty cell.
    """
    m, d = misaligned, denominator
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.bincount(cell, weights=d, minlength=n_cells)
        p = np.bincount(cell, weights=m, minlength=n_cells) / total
        binomial = p * (1 - p)
        # unbiased within a question; one answer to a question shows no variance, so it gets the pooled one
        within = np.where(d > 1, m * (1 - m / d) * d / np.maximum(d - 1, 1), d * binomial[cell])
        share = np.bincount(cell, weights=within, minlength=n_cells) / (total * binomial)
        mixed = _mixed(share, np.ones(n_cells), np.minimum(p, 1 - p) * total, "questions")
        return np.clip(mixed, 1 / MOST_GAIN, 1.0) / total


def _mixed(observed: np.ndarray, largest: np.ndarray, events: np.ndarray, kind: str) -> np.ndarray:
    """The observed variance (relative to one answer's) mixed with the largest, by how many events it rests on."""
    prior = PRIOR_EVENTS[kind]
    mixed = np.where(np.isinf(events), observed, (events * observed + prior * largest) / (events + prior))
    return np.where(np.isnan(mixed), largest, mixed)  # 0 of n and n of n show no variance at all
