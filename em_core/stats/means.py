"""A mean score over questions and its interval, of one cell or of thousands.

The two kinds of interval are those of rates (`em_core.stats.rates`):

* ``questions``: *these questions*, new answers. Stratified by question, Student t with degrees of freedom by
  Satterthwaite's rule. A question with one answer shows no variance of its own and gets that of all answers.
* ``population``: *questions like these*. Clustered by question, Student t with (questions - 1) degrees of freedom;
  never narrower than if all answers were independent.

Where all answers that tell have one score there is no width to estimate, and no interval is given.
"""

from __future__ import annotations

import numpy as np
from scipy import special as _special

from em_core.stats.kinds import FEW_QUESTIONS, IntervalKind

_ROUNDING = 1e-9
"""A variance below this share of the mean square is what rounding leaves of none."""


def mean_intervals(
    n: np.ndarray,
    total: np.ndarray,
    squares: np.ndarray,
    cell: np.ndarray,
    n_cells: int,
    kind: IntervalKind = "questions",
    level: float = 0.95,
    bounds: tuple[float, float] = (0.0, 100.0),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean score of many cells, each answer equal, and its interval.

    Args:
        n: Scored answers per cell and question, shape (rows,); one row per question.
        total: Sum of their scores, shape (rows,).
        squares: Sum of the squares of their scores, shape (rows,).
        cell: Which cell a row belongs to, 0..n_cells - 1, shape (rows,).
        n_cells: Count of cells.
        kind: Which interval (see the module's docstring).
        level: Coverage, (0, 1).
        bounds: Least and largest score; an interval never goes beyond.

    Returns:
        (mean, low, high), each of shape (n_cells,): all nan where nothing was scored; low and high nan where there
        is no interval: one answer, one score throughout, or ``population`` with fewer than two questions.

    Source:
        Cochran 1977, Sampling Techniques, 3rd ed., ch. 5 (strata) and 9A (clusters of unequal size);
        Satterthwaite 1946, doi 10.2307/3002019; Liang and Zeger 1986 (CR1).
    """
    n, total, squares = (np.asarray(values, dtype=float) for values in (n, total, squares))
    keep = n > 0
    n, total, squares, cell = n[keep], total[keep], squares[keep], np.asarray(cell)[keep]

    def per_cell(values: np.ndarray) -> np.ndarray:
        return np.bincount(cell, weights=values, minlength=n_cells)

    with np.errstate(divide="ignore", invalid="ignore"):
        size = per_cell(n)
        mean = per_cell(total) / size
        every = _variance(size, per_cell(total), per_cell(squares))  # of all answers of the cell
        if kind == "questions":
            own = np.where(n > 1, _variance(n, total, squares), every[cell])
            parts = n * own / size[cell] ** 2
            variance = per_cell(parts)
            dof = variance**2 / per_cell(parts**2 / np.maximum(n - 1, 1))
            half = _t(level, np.maximum(dof, 1.0)) * np.sqrt(variance)
        else:
            clusters = np.bincount(cell, minlength=n_cells)
            variance = clusters / (clusters - 1) * per_cell((total - mean[cell] * n) ** 2) / size**2
            independent = _special.ndtri(0.5 + level / 2) * np.sqrt(every / size)
            half = np.maximum(_t(level, np.maximum(clusters - 1.0, 1.0)) * np.sqrt(variance), independent)
            half = np.where((clusters < 2) | ~(every > 0), np.nan, half)  # of one score throughout, rounding is left
        half = np.where(half > 0, half, np.nan)
        return mean, np.maximum(bounds[0], mean - half), np.minimum(bounds[1], mean + half)


def mean_note(n: int, n_questions: int, kind: IntervalKind, has_interval: bool) -> str:
    """What a reader must know of such an interval, in words; empty = nothing.

    Args:
        n: Scored answers.
        n_questions: Questions with at least one of them.
        kind: The interval that was asked for.
        has_interval: Whether there is one.
    """
    if n == 0:
        return "nothing scored: no estimate"
    if n_questions == 1 and kind == "population":
        return "1 question: says nothing about other questions"
    if not has_interval:
        return "1 answer: no interval" if n == 1 else f"the same score within each question ({n} answers): no width to estimate"
    if n_questions == 1:
        return "1 question"
    if kind == "population" and n_questions <= FEW_QUESTIONS:
        return f"{n_questions} questions: wide, t with {n_questions - 1} degree{'s' if n_questions > 2 else ''} of freedom"
    return ""


def _variance(n: np.ndarray, total: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Unbiased variance of n scores from their sums, nan with one."""
    left = squares - total**2 / n
    return np.where(left > _ROUNDING * squares, left, 0.0) / np.where(n > 1, n - 1, np.nan)


def _t(level: float, dof: np.ndarray) -> np.ndarray:
    """Two-sided quantile of Student's t, shape of `dof`; each different value is looked up once."""
    values, place = np.unique(dof, return_inverse=True)
    found: np.ndarray = _special.stdtrit(values, 0.5 + level / 2)[place]
    return found
