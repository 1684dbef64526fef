"""How alike the answers to one question are: what makes 400 answers worth fewer."""

from __future__ import annotations

import numpy as np

from em_core.stats.kinds import answered


def clustered_variance(misaligned: np.ndarray, denominator: np.ndarray, small_sample: bool = True) -> float:
    """Variance of the pooled rate when questions are the independent units; nan with one question.

    Args:
        misaligned: Misaligned answers per question, shape (questions,).
        denominator: Answers per question, each > 0, shape (questions,).
        small_sample: With the factor questions / (questions - 1); without it, many published errors.

    Source:
        Cochran 1977, Sampling Techniques, 3rd ed., ch. 9A (clusters of unequal size); Liang and Zeger 1986 (CR0, CR1).
    """
    m, d = np.asarray(misaligned, dtype=float), np.asarray(denominator, dtype=float)
    k = len(d)
    if k < 2:
        return float("nan")
    residual = m - m.sum() / d.sum() * d
    return float((k / (k - 1) if small_sample else 1.0) * (residual @ residual) / d.sum() ** 2)


def clustered_se(misaligned: np.ndarray, denominator: np.ndarray, small_sample: bool = True) -> float | None:
    """Standard error of the pooled rate, clustered by question, 0-1.

    Args:
        misaligned: Misaligned answers per question, shape (questions,).
        denominator: Answers per question, shape (questions,); questions with 0 are left out.
        small_sample: As for `clustered_variance`.

    Returns:
        None with fewer than two answered questions.
    """
    variance = clustered_variance(*answered(misaligned, denominator), small_sample)
    return None if np.isnan(variance) else variance**0.5


def within_variance(misaligned: np.ndarray, denominator: np.ndarray) -> tuple[float, float]:
    """Variance of the pooled rate when the questions are fixed, and its degrees of freedom.

    A question with one answer shows no variance of its own and gets that of the pooled rate.

    Args:
        misaligned: Misaligned answers per question, shape (questions,).
        denominator: Answers per question, each > 0, shape (questions,).

    Returns:
        (variance, degrees of freedom by Satterthwaite's rule, at least 1).

    Source:
        Cochran 1977, ch. 5 (stratified sampling); Satterthwaite 1946, doi 10.2307/3002019.
    """
    m, d = np.asarray(misaligned, dtype=float), np.asarray(denominator, dtype=float)
    total = d.sum()
    p = m.sum() / total
    parts = np.where(d > 1, m * (1 - m / d) * d / np.maximum(d - 1, 1), d * p * (1 - p)) / total**2
    variance = float(parts.sum())
    squares = float((parts**2 / np.maximum(d - 1, 1)).sum())
    return variance, max(1.0, variance**2 / squares) if squares > 0 else 1.0


def intraclass_correlation(misaligned: np.ndarray, denominator: np.ndarray) -> float | None:
    """Correlation of two answers to the same question (analysis-of-variance estimator).

    Args:
        misaligned: Misaligned answers per question, shape (questions,).
        denominator: Answers per question, shape (questions,).

    Returns:
        At most 1; below 0 where answers to a question differ more than chance would have it. None
        with fewer than two answered questions, one answer a question, or all answers the same.

    Source:
        Ridout, Demétrio and Firth 1999, doi 10.1111/j.0006-341X.1999.00137.x.
    """
    m, d = answered(misaligned, denominator)
    k, total = len(d), d.sum()
    if k < 2 or total <= k or not 0 < m.sum() < total:
        return None
    between = float((d * (m / d - m.sum() / total) ** 2).sum() / (k - 1))
    within = float((m * (1 - m / d)).sum() / (total - k))
    size = float((total - (d * d).sum() / total) / (k - 1))
    return (between - within) / (between + (size - 1) * within)
