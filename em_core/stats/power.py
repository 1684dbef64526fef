"""How many answers, and how many questions, it takes to tell two rates apart; and how close together they can be told apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import special as _special

from em_core.stats.kinds import IntervalKind
from em_core.stats.wilson import quantile

MOST_SAMPLES = 1_000_000


@dataclass(frozen=True)
class Needed:
    """What a comparison of two rates needs.

    Args:
        samples: Answers per question and side; None = no number is enough with these questions.
        answers: Answers per side, samples times questions; None likewise.
        n_questions: Questions that were planned with.
        questions_needed: Fewest questions with which many answers each would be enough; None when `samples` is given.
        power: Reached with `samples`, 0-1 (with unlimited samples where there is no number).
        words: All that in a sentence.
    """

    samples: int | None
    answers: int | None
    n_questions: int
    questions_needed: int | None
    power: float
    words: str


def answers_needed(p1: float, p2: float, power: float = 0.8, level: float = 0.95) -> int:
    """Answers a side that tell two rates apart, were answers independent.

    Args:
        p1: Rate of one side, 0-1.
        p2: Rate of the other, 0-1, not the same.
        power: Chance to find the difference, (0, 1).
        level: 1 - level is the two-sided error, (0, 1).

    Raises:
        ValueError: The rates are the same or not within 0-1.

    Source:
        Fleiss, Levin and Paik 2003, Statistical Methods for Rates and Proportions, eq. 4.14.
    """
    _check(p1, p2)
    z, z_power = quantile(level), float(_special.ndtri(power))
    mean = (p1 + p2) / 2
    top = z * math.sqrt(2 * mean * (1 - mean)) + z_power * math.sqrt(p1 * (1 - p1) + p2 * (1 - p2))
    return math.ceil((top / (p1 - p2)) ** 2 - 1e-9)


def power(
    p1: float,
    p2: float,
    n_questions: int,
    samples: float,
    correlation: float = 0.0,
    shared: float = 0.0,
    kind: IntervalKind = "population",
    level: float = 0.95,
) -> float:
    """Chance that a comparison finds the difference of two rates.

    Args:
        p1: Rate of one side, 0-1.
        p2: Rate of the other, 0-1.
        n_questions: Questions, the same number on both sides, at least 1 (2 for ``population``).
        samples: Answers per question and side, > 0; may be infinite.
        correlation: Of answers to one question, 0-1 (`intraclass_correlation` estimates it).
        shared: How much of it both sides have in common, 0-1: 0 = different questions on the two
            sides, 1 = the same questions, equally hard for both. Paired comparisons lie between.
        kind: ``population``: Student t over questions; ``questions``: normal, within questions only.
        level: 1 - level is the two-sided error, (0, 1).

    Source:
        Donner and Klar 2000, Design and Analysis of Cluster Randomization Trials, ch. 5; noncentral t.
    """
    within, between = _variances(p1, p2, correlation, shared)
    if kind == "questions":
        se = math.sqrt(within / (n_questions * samples))
        z = quantile(level)
        if se == 0:
            return 1.0 if p1 != p2 else 1 - level
        return float(_special.ndtr(abs(p1 - p2) / se - z) + _special.ndtr(-z - abs(p1 - p2) / se))
    if n_questions < 2:
        return 0.0
    se = math.sqrt((within / samples + between) / n_questions)
    if se == 0:
        return 1.0 if p1 != p2 else 1 - level
    t, shift = quantile(level, n_questions - 1), abs(p1 - p2) / se
    if shift > 30:  # far beyond any doubt, and where the noncentral t loses its digits
        return 1.0
    from scipy.stats import nct  # takes half a second to import, and only this needs it

    return float(nct.sf(t, n_questions - 1, shift) + nct.cdf(-t, n_questions - 1, shift))


def samples_needed(
    p1: float,
    p2: float,
    n_questions: int = 8,
    correlation: float = 0.0,
    shared: float = 0.0,
    kind: IntervalKind = "population",
    target: float = 0.8,
    level: float = 0.95,
) -> Needed:
    """Answers per question that tell two rates apart with these questions.

    More answers to the same questions cannot make up for few questions: where none is enough, the
    result says how many questions would be.

    Args:
        p1: As for `power`.
        p2: As for `power`.
        n_questions: As for `power`.
        correlation: As for `power`.
        shared: As for `power`.
        kind: As for `power`.
        target: Power wanted, (0, 1).
        level: As for `power`.

    Raises:
        ValueError: The rates are the same or not within 0-1.
    """
    _check(p1, p2)

    def reached(samples: float, questions: int = n_questions) -> float:
        return power(p1, p2, questions, samples, correlation, shared, kind, level)

    pair = f"{_percent(p1)} from {_percent(p2)}"
    best = reached(math.inf)
    if best < target or reached(MOST_SAMPLES) < target:
        questions = _first(lambda k: reached(math.inf, k) >= target, 2)
        words = (
            f"{n_questions} questions cannot tell {pair}, however many answers each: "
            f"power {best:.0%} at most; it takes {questions} questions or more"
        )
        return Needed(None, None, n_questions, questions, best, words)
    samples = _first(lambda m: reached(m) >= target, 1)
    words = (
        f"{samples} answers to each of {n_questions} questions a side ({samples * n_questions} in all) "
        f"tell {pair} with power {reached(samples):.0%}"
    )
    return Needed(samples, samples * n_questions, n_questions, None, reached(samples), words)


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
        correlation: Of answers to one question, 0-1 (`intraclass_correlation` estimates it).
        shared: How much of it both sides have in common, 0-1 (as for `power`).
        kind: ``population`` or ``questions``.
        target: Power wanted, (0, 1).
        level: 1 - level is the two-sided error, (0, 1).

    Returns:
        A difference of rates, 0-1; None where not even a rise to 1 would be found.

    Source:
        `power`, inverted by bisection.
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


def _first(enough: Callable[[int], bool], start: int) -> int:
    """The smallest integer from `start` on that is enough; `enough` is monotone."""
    high = start
    while not enough(high) and high < MOST_SAMPLES:
        high *= 2
    low = max(start, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def _variances(p1: float, p2: float, correlation: float, shared: float) -> tuple[float, float]:
    """Of one question's difference: within (per answer) and between questions."""
    v1, v2 = p1 * (1 - p1), p2 * (1 - p2)
    between = correlation * (v1 + v2 - 2 * shared * math.sqrt(v1 * v2))
    return (1 - correlation) * (v1 + v2), max(0.0, between)


def _check(p1: float, p2: float) -> None:
    if not (0 <= p1 <= 1 and 0 <= p2 <= 1) or p1 == p2:
        raise ValueError(f"two different rates between 0 and 1 are needed, got {p1} and {p2}")


def _percent(rate: float) -> str:
    return f"{100 * rate:g} %"
