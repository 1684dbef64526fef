"""Krippendorff's alpha: agreement beyond chance of any number of raters, with missing values."""

from __future__ import annotations

from typing import Literal

import numpy as np

from em_core.agreement.resampling import Measured, measured

Level = Literal["interval", "nominal"]


def krippendorff(ratings: np.ndarray, questions: np.ndarray | None = None, level: Level = "interval") -> Measured:
    """Alpha and its interval: 1 = perfect, 0 = chance, below 0 = worse than chance.

    Args:
        ratings: One row per rater, nan = not rated, shape (raters, answers); for ``nominal`` any
            numbers that stand for categories.
        questions: Which question an answer belongs to, for the interval, shape (answers,); without it
            every answer counts as a question of its own.
        level: ``interval`` for scores (squared differences), ``nominal`` for categories.

    Returns:
        `n` counts the answers that at least two raters rated; the value is None where there is none or
        where all ratings are the same (chance cannot be told from agreement).

    Source:
        Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability".
    """
    ratings = np.atleast_2d(np.asarray(ratings, dtype=float))
    questions = np.arange(ratings.shape[1]) if questions is None else np.asarray(questions)
    m = (~np.isnan(ratings)).sum(axis=0)
    shared = m >= 2
    ratings, m, questions = ratings[:, shared], m[shared].astype(float), questions[shared]
    if level == "interval":
        return measured(_interval_parts(ratings, m), questions, _interval_alpha)
    return measured(_nominal_parts(ratings, m), questions, _nominal_alpha)


def _interval_parts(ratings: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Per answer: disagreement within it, ratings, their sum, their squares (centred, so that nothing cancels)."""
    x = ratings - (np.nanmean(ratings) if ratings.size else 0.0)
    total = np.nansum(x, axis=0)
    squares = np.nansum(x * x, axis=0)
    within = 2 * m / (m - 1) * np.maximum(squares - total * total / m, 0)
    return np.stack([within, m, total, squares], axis=1)


def _interval_alpha(sums: np.ndarray) -> np.ndarray:
    within, n, total, squares = sums.T
    by_chance = 2 * (n * squares - total * total) / (n * (n - 1))
    return np.where(by_chance > 1e-12, 1 - within / n / by_chance, np.nan)


def _nominal_parts(ratings: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Per answer: disagreement within it, ratings, and how many of them are in each category."""
    categories = np.unique(ratings[~np.isnan(ratings)])
    counts = np.stack([(ratings == category).sum(axis=0) for category in categories], axis=1).astype(float) if len(m) else None
    if counts is None:
        return np.zeros((0, 3))
    within = (m * m - (counts * counts).sum(axis=1)) / (m - 1)
    return np.column_stack([within, m, counts])


def _nominal_alpha(sums: np.ndarray) -> np.ndarray:
    within, n, counts = sums[:, 0], sums[:, 1], sums[:, 2:]
    by_chance = (n * n - (counts * counts).sum(axis=1)) / (n * (n - 1))
    return np.where(by_chance > 1e-12, 1 - within / n / by_chance, np.nan)
