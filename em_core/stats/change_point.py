"""When a trajectory changed: one jump between two levels, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special as _special


@dataclass(frozen=True)
class ChangePoint:
    """Where the rate of a run jumped, if it did.

    Args:
        steps: Checkpoints that the new level may start at: all but the first with answers, ascending.
        posterior: Probability of each, given that there is a change; shape (len(steps),), sums to 1.
        p_change: Probability that there is a change at all, 0-1, when both were equally likely before.
        bayes_factor: How much likelier the counts are with a change than without, > 0 (may be inf).
        step: The most likely of `steps`; None = fewer than two checkpoints with answers.
        previous: The checkpoint before it: the jump lies between the two.
        credible: Smallest set of steps with 95 % of the posterior, ascending.
        before: Posterior mean rate before the most likely step, 0-1.
        after: The same from it on.
        design_effect: What the counts were divided by, >= 1.
        note: What a reader must know, in words; empty = nothing.
    """

    steps: tuple[int, ...]
    posterior: tuple[float, ...]
    p_change: float
    bayes_factor: float
    step: int | None
    previous: int | None
    credible: tuple[int, ...]
    before: float | None
    after: float | None
    design_effect: float
    note: str


def change_point(
    steps: np.ndarray,
    misaligned: np.ndarray,
    base: np.ndarray,
    *,
    design_effect: float | None = None,
    prior: tuple[float, float] = (1.0, 1.0),
    level: float = 0.95,
) -> ChangePoint:
    """Posterior over the checkpoint at which a run's rate jumped from one level to another.

    Binomial counts at each checkpoint, a Beta prior for each level, every place equally likely; the
    levels are integrated out in closed form. A gradual rise is not a jump: then the posterior
    spreads over the steps of the rise, and `p_change` still says whether anything changed.

    Args:
        steps: Optimizer steps, shape (checkpoints,).
        misaligned: Misaligned answers, shape (checkpoints,) or (checkpoints, questions).
        base: Answers in the denominator, the same shape; checkpoints with 0 are left out.
        design_effect: Divides the counts, since answers to one question move together; >= 1. None =
            estimated where counts are given by question (`design_effect_of`), else 1, with a note.
        prior: The Beta prior of both levels.
        level: Of the credible set, (0, 1).

    Source:
        Smith 1975, doi 10.1093/biomet/62.2.407; Kass and Raftery 1995, doi 10.1080/01621459.1995.10476572.
    """
    m, d = np.asarray(misaligned, dtype=float), np.asarray(base, dtype=float)
    note = ""
    if design_effect is None:
        if m.ndim == 2:
            design_effect = design_effect_of(m, d)
        else:
            design_effect, note = 1.0, "counts taken as independent answers: too sure where questions differ"
    if m.ndim == 2:
        m, d = m.sum(axis=1), d.sum(axis=1)
    order = np.argsort(np.asarray(steps))
    at, m, d = np.asarray(steps)[order], m[order], d[order]
    at, m, d = at[d > 0], m[d > 0] / design_effect, d[d > 0] / design_effect
    return _jumps(at, m[None], d[None], np.array([design_effect]), prior, level, note)[0]


def change_points(
    steps: np.ndarray, misaligned: np.ndarray, base: np.ndarray, *, prior: tuple[float, float] = (1.0, 1.0), level: float = 0.95
) -> list[ChangePoint]:
    """`change_point` of many lines with the same checkpoints at once.

    Args:
        steps: Optimizer steps, ascending, shape (checkpoints,).
        misaligned: Misaligned answers, shape (lines, checkpoints, questions).
        base: Answers in the denominator, the same shape.
        prior: As for `change_point`.
        level: As for `change_point`.
    """
    at, m, d = np.asarray(steps), np.asarray(misaligned, dtype=float), np.asarray(base, dtype=float)
    effects = design_effects(m, d)
    m, d = m.sum(axis=2), d.sum(axis=2)
    found: list[ChangePoint | None] = [None] * len(m)
    patterns, which = np.unique(d > 0, axis=0, return_inverse=True)
    for i, answered in enumerate(patterns):  # mostly one: every checkpoint has answers
        rows = np.flatnonzero(which.ravel() == i)
        scale = effects[rows, None]
        jumps = _jumps(at[answered], m[rows][:, answered] / scale, d[rows][:, answered] / scale, effects[rows], prior, level, "")
        for row, jump in zip(rows, jumps, strict=True):
            found[row] = jump
    return [jump for jump in found if jump is not None]


def _jumps(
    at: np.ndarray, m: np.ndarray, d: np.ndarray, effects: np.ndarray, prior: tuple[float, float], level: float, note: str
) -> list[ChangePoint]:
    """One entry per line; `at` of shape (checkpoints,), the (divided) counts of shape (lines, checkpoints), none empty."""
    if len(at) < 2:
        few = "fewer than two checkpoints with answers: nothing to compare"
        nan = float("nan")
        return [ChangePoint((), (), nan, nan, None, None, (), None, None, float(effect), few) for effect in effects]
    a, b = prior
    successes, failures = np.cumsum(m, axis=1), np.cumsum(d - m, axis=1)

    def log_evidence(s: np.ndarray, f: np.ndarray) -> np.ndarray:
        return np.asarray(_special.betaln(a + s, b + f) - _special.betaln(a, b))

    s1, f1 = successes[:, :-1], failures[:, :-1]
    s2, f2 = successes[:, -1:] - s1, failures[:, -1:] - f1
    logs = log_evidence(s1, f1) + log_evidence(s2, f2)
    total = _special.logsumexp(logs, axis=1)
    posterior = np.exp(logs - total[:, None])
    log_factors = total - np.log(logs.shape[1]) - log_evidence(successes[:, -1], failures[:, -1])
    best = posterior.argmax(axis=1)
    ranked = np.argsort(-posterior, axis=1, kind="stable")
    enough = (np.take_along_axis(posterior, ranked, axis=1).cumsum(axis=1) < level - 1e-12).sum(axis=1) + 1
    before, after = (a + s1) / (a + b + s1 + f1), (a + s2) / (a + b + s2 + f2)
    candidates = tuple(int(step) for step in at[1:])
    with np.errstate(over="ignore"):
        factors, chances = np.exp(log_factors), _special.expit(log_factors)
    return [
        ChangePoint(
            candidates,
            tuple(posterior[i].tolist()),
            float(chances[i]),
            float(factors[i]),
            candidates[best[i]],
            int(at[best[i]]),
            tuple(candidates[j] for j in sorted(ranked[i, : enough[i]])),
            float(before[i, best[i]]),
            float(after[i, best[i]]),
            float(effects[i]),
            note,
        )
        for i in range(len(m))
    ]


def design_effect_of(misaligned: np.ndarray, base: np.ndarray) -> float:
    """How much more neighbouring checkpoints differ than independent answers would, question by question.

    Between two neighbouring checkpoints the variance of the questions' differences is compared with
    the binomial one; the median over all pairs is taken, so that a single jump, at which questions
    move unequally, hardly counts. What a question adds to all checkpoints alike cancels.

    Args:
        misaligned: Misaligned answers, shape (checkpoints, questions).
        base: Answers in the denominator, the same shape.

    Returns:
        At least 1; 1 where no pair of checkpoints has two questions in common or any variance.
    """
    return float(design_effects(np.asarray(misaligned)[None], np.asarray(base)[None])[0])


def design_effects(misaligned: np.ndarray, base: np.ndarray) -> np.ndarray:
    """`design_effect_of` many lines at once: counts of shape (lines, checkpoints, questions), result (lines,)."""
    m, d = np.asarray(misaligned, dtype=float), np.asarray(base, dtype=float)
    both = (d[:, :-1] > 0) & (d[:, 1:] > 0)  # (lines, pairs, questions)
    k = both.sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = m / d
        moves = np.where(both, rates[:, 1:] - rates[:, :-1], 0.0)
        means = moves.sum(axis=2) / k
        observed = np.where(both, (moves - means[..., None]) ** 2, 0.0).sum(axis=2) / (k - 1) / k
        chance = np.zeros(k.shape)
        for side in (slice(None, -1), slice(1, None)):
            n = np.where(both, d[:, side], 0.0).sum(axis=2)
            p = np.where(both, m[:, side], 0.0).sum(axis=2) / n
            chance += p * (1 - p) / n
        ratios = np.where((k >= 2) & (chance > 0), observed / chance, np.nan)
    known = (~np.isnan(ratios)).any(axis=1)
    effects = np.ones(len(m))
    effects[known] = np.maximum(1.0, np.nanmedian(ratios[known], axis=1)) if known.any() else 1.0
    return effects
