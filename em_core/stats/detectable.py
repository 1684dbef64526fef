"""How small a difference could have been seen with the answers that are there."""

from __future__ import annotations

from em_core.stats.kinds import IntervalKind
from em_core.stats.power import power


def detectable_difference(
    rate: float,
    n_questions: int,
    samples: float,
    correlation: float = 0.0,
    shared: float = 0.5,
    kind: IntervalKind = "population",
    target: float = 0.8,
    level: float = 0.95,
) -> float | None:
    """The smallest rise from `rate` that a comparison would find with the power wanted.

    Args:
        rate: Of the first side, 0-1.
        n_questions: Questions on both sides.
        samples: Answers per question and side, > 0.
        correlation: Of answers to one question, 0-1 (`em_core.stats.intraclass_correlation`).
        shared: How much of it both sides have in common, 0-1 (`em_core.stats.power`).
        kind: ``population`` or ``questions``.
        target: Power wanted, (0, 1).
        level: 1 - level is the two-sided error, (0, 1).

    Returns:
        A difference of rates, 0-1; None where not even a rise to 1 would be found.

    Source:
        The power calculation of `em_core.stats.power`, inverted by bisection.
    """
    room = 1 - rate
    if n_questions < 1 or not samples > 0 or not room > 0:
        return None

    def found(difference: float) -> bool:
        return power(rate, min(1.0, rate + difference), n_questions, samples, correlation, shared, kind, level) >= target

    if not found(room):
        return None
    low, high = 0.0, room
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high
