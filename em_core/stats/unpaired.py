"""Differences between two rates that share nothing but a definition: other answers, other questions, another study."""

from __future__ import annotations

import numpy as np

Numbers = np.ndarray | float


def mover(
    rate_a: Numbers, low_a: Numbers, high_a: Numbers, rate_b: Numbers, low_b: Numbers, high_b: Numbers
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of b's rate minus a's from the two rates' own intervals, which may be of any kind.

    Args:
        rate_a: 0-1, any shape (or one number).
        low_a: Lower end of its interval, same shape.
        high_a: Upper end.
        rate_b: The same of b.
        low_b: The same of b.
        high_b: The same of b.

    Returns:
        (low, high), each -1 to 1, nan where one of the six is; of the same coverage as the intervals given.

    Source:
        Newcombe 1998, doi 10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I (method 10, with Wilson's
        intervals); Zou and Donner 2008, doi 10.1002/sim.3095 (any intervals: MOVER).
    """
    middle = np.asarray(rate_b - rate_a)
    return middle - np.hypot(rate_b - low_b, high_a - rate_a), middle + np.hypot(high_b - rate_b, rate_a - low_a)


def fisher_p(misaligned_a: int, base_a: int, misaligned_b: int, base_b: int) -> float:
    """Two-sided p of "both sides have one rate", taking answers as independent: Fisher's exact test.

    Args:
        misaligned_a: Misaligned answers.
        base_a: Answers in the denominator.
        misaligned_b: The same of b.
        base_b: The same of b.

    Source:
        Fisher 1935, The Design of Experiments.
    """
    table = [[misaligned_a, base_a - misaligned_a], [misaligned_b, base_b - misaligned_b]]
    from scipy.stats import fisher_exact  # takes half a second to import, and only this needs it

    return float(fisher_exact(table).pvalue)
