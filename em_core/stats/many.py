"""Many comparisons at once: the more checkpoints are tested, the likelier one differs by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as _scipy

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
    given = np.array([np.nan if p is None else float(p) for p in p_values])
    tested = ~np.isnan(given)
    adjusted: list[float | None] = [None] * len(given)
    for place, value in zip(
        np.flatnonzero(tested), _scipy.false_discovery_control(given[tested]) if tested.any() else (), strict=True
    ):
        adjusted[place] = float(value)
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
