"""Many comparisons at once: the more checkpoints are tested, the likelier one differs by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from em_core.stats.kinds import IntervalKind
from em_core.stats.paired import Difference, paired_by_name


@dataclass(frozen=True)
class CheckpointTest:
    """One checkpoint against the starting model.

    Args:
        step: The checkpoint, optimizer steps.
        against: Paired difference, checkpoint minus step 0; its p is not adjusted, its p_flip not computed.
        p_adjusted: p after Benjamini-Hochberg over all checkpoints that could be tested; None = this one could not.
    """

    step: int
    against: Difference
    p_adjusted: float | None


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """p values adjusted so that, of all that fall below 0.05, at most 5 % are false on average.

    Args:
        p_values: Each 0-1; None or nan = could not be tested, stays None and does not count.

    Returns:
        Adjusted p values in the same order, 0-1, never smaller than the given ones.

    Source:
        Benjamini and Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x.
    """
    given = np.array([[np.nan if p is None else float(p) for p in p_values]])
    return [None if np.isnan(value) else float(value) for value in adjusted_rows(given)[0]]


def adjusted_rows(p_values: np.ndarray) -> np.ndarray:
    """`benjamini_hochberg` within each row; shape (families, tests), nan = could not be tested and stays nan."""
    n_tests = p_values.shape[1]
    order = np.argsort(p_values, axis=1)  # nan last
    ranked = np.take_along_axis(p_values, order, axis=1)
    n = (~np.isnan(p_values)).sum(axis=1, keepdims=True)
    scaled = ranked * n / np.arange(1, n_tests + 1)
    filled = np.where(np.isnan(scaled), np.inf, scaled)
    smallest = np.minimum.accumulate(filled[:, ::-1], axis=1)[:, ::-1]  # of its own and all larger ones
    adjusted = np.empty_like(p_values, dtype=float)
    np.put_along_axis(adjusted, order, np.where(np.isnan(ranked), np.nan, np.minimum(smallest, 1.0)), axis=1)
    return adjusted


def against_start(
    checkpoints: Mapping[int, Mapping[str, tuple[int, int]]],
    start: int = 0,
    kind: IntervalKind = "population",
    level: float = 0.95,
) -> list[CheckpointTest]:
    """Every checkpoint of a run against its starting model, paired by question.

    All share the same step 0, so their p values are positively dependent, which Benjamini-Hochberg
    allows (Benjamini and Yekutieli 2001, doi 10.1214/aos/1013699998).

    Args:
        checkpoints: Per step, per question: (misaligned, answers in the denominator).
        start: The step to compare with; without it there is nothing to test and the list is empty.
        kind: Which interval and p.
        level: Coverage of the (unadjusted) intervals, (0, 1).

    Returns:
        One item per other step, by step.
    """
    if start not in checkpoints:
        return []
    steps = sorted(step for step in checkpoints if step != start)
    tests = [paired_by_name(checkpoints[start], checkpoints[step], kind, level, second_opinion=False) for step in steps]
    adjusted = benjamini_hochberg([test.p for test in tests])
    return [CheckpointTest(step, test, p) for step, test, p in zip(steps, tests, adjusted, strict=True)]
