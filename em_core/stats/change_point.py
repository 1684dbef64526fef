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
    if len(at) < 2:
        few = "fewer than two checkpoints with answers: nothing to compare"
        return ChangePoint((), (), float("nan"), float("nan"), None, None, (), None, None, design_effect, few)
    a, b = prior
    successes, failures = np.cumsum(m), np.cumsum(d - m)

    def log_evidence(s: np.ndarray, f: np.ndarray) -> np.ndarray:
        return np.asarray(_special.betaln(a + s, b + f) - _special.betaln(a, b))

    s1, f1 = successes[:-1], failures[:-1]
    s2, f2 = successes[-1] - s1, failures[-1] - f1
    logs = log_evidence(s1, f1) + log_evidence(s2, f2)
    posterior = np.exp(logs - _special.logsumexp(logs))
    log_factor = float(_special.logsumexp(logs) - np.log(len(logs)) - log_evidence(successes[-1], failures[-1]))
    best = int(np.argmax(posterior))
    ranked = np.argsort(-posterior, kind="stable")
    enough = int(np.searchsorted(np.cumsum(posterior[ranked]), level - 1e-12)) + 1
    candidates = [int(step) for step in at[1:]]
    with np.errstate(over="ignore"):
        factor = float(np.exp(log_factor))
    return ChangePoint(
        tuple(candidates),
        tuple(float(p) for p in posterior),
        float(_special.expit(log_factor)),
        factor,
        candidates[best],
        int(at[best]),
        tuple(candidates[i] for i in sorted(ranked[:enough])),
        float((a + s1[best]) / (a + b + s1[best] + f1[best])),
        float((a + s2[best]) / (a + b + s2[best] + f2[best])),
        design_effect,
        note,
    )


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
    m, d = np.asarray(misaligned, dtype=float), np.asarray(base, dtype=float)
    ratios = []
    for i in range(len(m) - 1):
        both = (d[i] > 0) & (d[i + 1] > 0)
        k = int(both.sum())
        if k < 2:
            continue
        m1, d1, m2, d2 = m[i][both], d[i][both], m[i + 1][both], d[i + 1][both]
        observed = float((m2 / d2 - m1 / d1).var(ddof=1)) / k
        p1, p2 = m1.sum() / d1.sum(), m2.sum() / d2.sum()
        chance = float(p1 * (1 - p1) / d1.sum() + p2 * (1 - p2) / d2.sum())
        if chance > 0:
            ratios.append(observed / chance)
    return max(1.0, float(np.median(ratios))) if ratios else 1.0
