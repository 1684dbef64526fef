"""Cohen's kappa: agreement of two raters on categories, beyond what their own frequencies would give."""

from __future__ import annotations

import numpy as np

from em_core.agreement.resampling import Measured, measured


def cohen(first: np.ndarray, second: np.ndarray, questions: np.ndarray | None = None) -> Measured:
    """Kappa and its interval over resampled questions.

    Args:
        first, second: Categories (or yes/no) of the same answers, none missing, shape (answers,).
        questions: Which question an answer belongs to, shape (answers,); without it every answer is
            a question of its own.

    Returns:
        The value is None where both raters use one and the same category only.

    Source:
        Cohen 1960, doi 10.1177/001316446002000104.
    """
    first, second = np.asarray(first).astype(np.int64), np.asarray(second).astype(np.int64)
    questions = np.arange(len(first)) if questions is None else np.asarray(questions)
    categories = np.unique(np.concatenate([first, second]))
    k = len(categories)
    cell = np.searchsorted(categories, first) * k + np.searchsorted(categories, second)
    parts = np.zeros((len(cell), k * k))
    parts[np.arange(len(cell)), cell] = 1

    def kappa(sums: np.ndarray) -> np.ndarray:
        table = sums.reshape(-1, k, k)
        n = table.sum(axis=(1, 2))
        seen = np.trace(table, axis1=1, axis2=2) / n
        by_chance = (table.sum(axis=2) * table.sum(axis=1)).sum(axis=1) / n**2
        return np.where(1 - by_chance > 1e-12, (seen - by_chance) / (1 - by_chance), np.nan)

    return measured(parts, questions, kappa)
