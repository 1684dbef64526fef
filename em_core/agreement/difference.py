"""How far apart two judges' scores are: mean difference, limits of agreement, correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from em_core.agreement.resampling import Measured, measured

WIDTH = 1.96


@dataclass(frozen=True)
class Limits:
    """Bland and Altman's picture in numbers; scores' units (0-100), second minus first.

    Args:
        bias: Mean difference.
        lower, upper: Between these lie 95 % of the differences (if they are about normal).
        sd: Standard deviation of the differences; None with one answer.
    """

    bias: Measured
    lower: Measured
    upper: Measured
    sd: float | None


def limits_of_agreement(first: np.ndarray, second: np.ndarray, questions: np.ndarray | None = None) -> Limits:
    """Mean difference and limits of agreement, each with an interval over resampled questions.

    Args:
        first, second: Scores of the same answers, nan = unscored (left out), shape (answers,).
        questions: Which question an answer belongs to, shape (answers,).

    Source:
        Bland and Altman 1986, doi 10.1016/S0140-6736(86)90837-8.
    """
    difference = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    questions = np.arange(len(difference)) if questions is None else np.asarray(questions)
    both = ~np.isnan(difference)
    difference, questions = difference[both], questions[both]
    shift = float(difference.mean()) if len(difference) else 0.0
    d = difference - shift
    parts = np.stack([np.ones_like(d), d, d * d], axis=1)

    def edge(side: float) -> Measured:
        def statistic(sums: np.ndarray) -> np.ndarray:
            n, total, squares = sums.T
            mean = total / n
            if not side:
                return mean + shift
            spread = np.sqrt(np.maximum(squares - n * mean * mean, 0) / (n - 1))
            return mean + shift + side * WIDTH * spread

        return measured(parts, questions, statistic)

    return Limits(edge(0), edge(-1), edge(1), float(difference.std(ddof=1)) if len(difference) > 1 else None)


def correlations(first: np.ndarray, second: np.ndarray) -> tuple[float | None, float | None]:
    """Pearson's and Spearman's correlation of the answers that both scored; None where one gives a single value."""
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    both = ~np.isnan(first) & ~np.isnan(second)
    a, b = first[both], second[both]
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None, None
    from scipy.stats import pearsonr, spearmanr  # takes half a second to import, and only this needs it

    return float(pearsonr(a, b).statistic), float(spearmanr(a, b).statistic)
