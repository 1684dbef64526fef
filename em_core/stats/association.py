"""How two scores of the same answers go together, with intervals that know about questions.

Intervals come from the influence of each answer on the correlation: its mean is 0, and its standard error, stratified
or clustered by question (`em_core.stats.means`), is that of the correlation. They are made on Fisher's scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from em_core.stats.kinds import IntervalKind
from em_core.stats.means import mean_intervals, mean_note

_LEAST = 3  # answers


@dataclass(frozen=True)
class Association:
    """A correlation with all that belongs to it.

    Args:
        r: -1 to 1; None = too few answers, or one of the two scores never differs.
        low: Lower end of the interval; None = there is none.
        high: Upper end.
        n: Answers with both scores.
        n_questions: Questions with at least one of them.
        kind: Which interval.
        note: What a reader must know, in words; empty = nothing.
    """

    r: float | None
    low: float | None
    high: float | None
    n: int
    n_questions: int
    kind: IntervalKind
    note: str


def pearson(
    x: np.ndarray, y: np.ndarray, n: np.ndarray, question: np.ndarray, kind: IntervalKind = "questions", level: float = 0.95
) -> Association:
    """Product-moment correlation of two scores.

    Args:
        x: One score of each pair, shape (pairs,).
        y: The other.
        n: Answers that have this pair, shape (pairs,).
        question: Whose answers: 0..questions - 1, shape (pairs,).
        kind: Which interval.
        level: Its coverage, (0, 1).

    Source:
        Influence function: Devlin, Gnanadesikan and Kettenring 1975, doi 10.1093/biomet/62.3.531.
    """
    weight, x, y = (np.asarray(values, dtype=float) for values in (n, x, y))
    total = weight.sum()
    if total < _LEAST:
        return _result(None, None, weight, question, kind, level)
    dx, dy = x - weight @ x / total, y - weight @ y / total
    vx, vy, xy = weight @ dx**2 / total, weight @ dy**2 / total, weight @ (dx * dy) / total
    return _from_moments(xy, vx, vy, dx * dy, dx**2, dy**2, weight, question, kind, level)


def spearman(
    x: np.ndarray, y: np.ndarray, n: np.ndarray, question: np.ndarray, kind: IntervalKind = "questions", level: float = 0.95
) -> Association:
    """Rank correlation of two scores (ties share their mean rank). Args as for `pearson`.

    Source:
        Influence function with ties from that of the mid-distribution; without ties it is that of Croux and Dehon
        2010, doi 10.1007/s10260-010-0142-z.
    """
    weight = np.asarray(n, dtype=float)
    total = weight.sum()
    if total < _LEAST:
        return _result(None, None, weight, question, kind, level)
    f, x_place, x_mass = _mid_distribution(np.asarray(x), weight)
    g, y_place, y_mass = _mid_distribution(np.asarray(y), weight)
    mean = 0.5  # of every mid-distribution
    vx, vy, xy = (weight @ (f - mean) ** 2 / total, weight @ (g - mean) ** 2 / total, weight @ ((f - mean) * (g - mean)) / total)
    # an answer also moves the ranks of all others
    moves = [
        _above(x_place, weight * g / total, len(x_mass)) + _above(y_place, weight * f / total, len(y_mass)) + f * g,
        2 * _above(x_place, weight * f / total, len(x_mass)) + f * f,
        2 * _above(y_place, weight * g / total, len(y_mass)) + g * g,
    ]
    a, b, c = (move - weight @ move / total + moment for move, moment in zip(moves, (xy, vx, vy), strict=True))
    return _from_moments(xy, vx, vy, a, b, c, weight, question, kind, level)


def within(sums: dict[str, np.ndarray], kind: IntervalKind = "questions", level: float = 0.95) -> Association:
    """Correlation of two scores within their group (the same question of the same checkpoint), from sums of deviations.

    Args:
        sums: Per question, shape (questions,): ``n``, and the sums of products of the deviations dx and dy from the
            group's means: xx, yy, xy, xxxx, yyyy, xxxy, xyyy, xxyy.
        kind: Which interval.
        level: Its coverage, (0, 1).
    """
    n = np.asarray(sums["n"], dtype=float)
    total = n.sum()
    s = {name: np.asarray(values, dtype=float) for name, values in sums.items() if name != "n"}
    vx, vy, xy = (s[name].sum() / total if total else 0.0 for name in ("xx", "yy", "xy"))
    if total < _LEAST or not vx > 0 or not vy > 0:
        return _result(None, None, n, np.arange(len(n)), kind, level)
    r = xy / (vx * vy) ** 0.5
    a, b, c = 1 / (vx * vy) ** 0.5, r / 2 / vx, r / 2 / vy  # influence = a dx dy - b dx² - c dy²
    influence = a * s["xy"] - b * s["xx"] - c * s["yy"]
    squares = (
        a * a * s["xxyy"] + b * b * s["xxxx"] + c * c * s["yyyy"]
        - 2 * a * b * s["xxxy"] - 2 * a * c * s["xyyy"] + 2 * b * c * s["xxyy"]
    )  # fmt: skip
    return _result(r, (influence, squares), n, np.arange(len(n)), kind, level)


def _from_moments(
    xy: float, vx: float, vy: float, of_xy: np.ndarray, of_vx: np.ndarray, of_vy: np.ndarray, weight: np.ndarray,
    question: np.ndarray, kind: IntervalKind, level: float,
) -> Association:  # fmt: skip
    """From covariance and variances, and what each answer alone would make of them."""
    if not vx > 1e-12 or not vy > 1e-12:
        return _result(None, None, weight, question, kind, level)
    r = xy / (vx * vy) ** 0.5
    influence = of_xy / (vx * vy) ** 0.5 - r / 2 * (of_vx / vx + of_vy / vy)
    return _result(r, (weight * influence, weight * influence**2), weight, question, kind, level)


def _result(
    r: float | None,
    influence: tuple[np.ndarray, np.ndarray] | None,
    n: np.ndarray,
    question: np.ndarray,
    kind: IntervalKind,
    level: float,
) -> Association:
    codes, place = np.unique(question, return_inverse=True)
    counts = np.bincount(place, weights=n, minlength=len(codes))
    total, k = int(counts.sum()), int((counts > 0).sum())
    if r is None or influence is None:
        note = "fewer than 3 answers with both scores" if total < _LEAST else "one of the two scores never differs"
        return Association(None, None, None, total, k, kind, note)
    first, second = (np.bincount(place, weights=values, minlength=len(codes)) for values in influence)
    zeros = np.zeros(len(codes), dtype=np.int64)
    mean, _, high = mean_intervals(counts, first, second, zeros, 1, kind, level, bounds=(-np.inf, np.inf))
    half = float(high[0] - mean[0])
    r = max(-1.0, min(1.0, float(r)))
    has = bool(half == half and abs(r) < 1)
    note = mean_note(total, k, kind, has)
    if not has:
        return Association(r, None, None, total, k, kind, note)
    centre, width = np.arctanh(r), half / (1 - r * r)
    return Association(r, float(np.tanh(centre - width)), float(np.tanh(centre + width)), total, k, kind, note)


def _mid_distribution(values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of answers below each value plus half of those at it; the place of each value; the mass of each place."""
    _, place = np.unique(values, return_inverse=True)
    mass = np.bincount(place, weights=weight) / weight.sum()
    return (np.cumsum(mass) - mass / 2)[place], place, mass


def _above(place: np.ndarray, amounts: np.ndarray, n_places: int) -> np.ndarray:
    """For each pair: what lies at higher places, plus half of what lies at its own."""
    at = np.bincount(place, weights=amounts, minlength=n_places)
    return np.asarray((at.sum() - np.cumsum(at) + at / 2)[place])
