"""Runs that differ in the seed only: how much of a rate is luck of the seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from em_core.stats.kinds import FEW_QUESTIONS, IntervalKind
from em_core.stats.rates import estimate
from em_core.stats.wilson import quantile, score_bounds


@dataclass(frozen=True)
class AcrossSeeds:
    """A rate over seeds and questions.

    Args:
        rate: Mean over seeds and questions, each cell equal, 0-1; None = nothing was scored.
        low: Lower end of the interval for other seeds; None = no estimate.
        high: Upper end.
        n_seeds: Seeds.
        n_questions: Questions that were answered under every seed; the others are left out.
        n_misaligned: Their misaligned answers.
        n: Their answers in the denominator.
        sd_seed: Standard deviation between seeds (0-1, 0 where it cannot be told from chance); None = 1 seed.
        sd_question: Standard deviation between questions; None = 1 seed or 1 question.
        sd_rest: What is left in one seed's rate on one question: answers, and seeds that change single questions.
        dof: Degrees of freedom of the interval; None = none was made.
        kind: ``population`` (questions like these) or ``questions`` (these questions); other seeds in both.
        level: Coverage, (0, 1).
        note: What a reader must know, in words; empty = nothing.
    """

    rate: float | None
    low: float | None
    high: float | None
    n_seeds: int
    n_questions: int
    n_misaligned: int
    n: int
    sd_seed: float | None
    sd_question: float | None
    sd_rest: float | None
    dof: float | None
    kind: IntervalKind
    level: float
    note: str


def across_seeds(
    misaligned: np.ndarray, denominator: np.ndarray, kind: IntervalKind = "population", level: float = 0.95
) -> AcrossSeeds:
    """Pooled rate and interval of runs that differ in the seed only.

    Seeds and questions are crossed random effects; the variance of the mean comes from the mean
    squares of the two-way table of rates (``population``: (seeds + questions - rest) / cells;
    ``questions``: seeds / cells), with degrees of freedom by Satterthwaite's rule, and goes into
    Wilson's formula as an effective size. Never narrower than independent answers.

    Args:
        misaligned: Misaligned answers, shape (seeds, questions).
        denominator: Answers in the denominator, shape (seeds, questions); a question with 0 under any
            seed is left out, a seed without any answer too.
        kind: Which interval.
        level: Coverage, (0, 1).

    Returns:
        With one seed the interval of `estimate` over its questions, and a note that says so.

    Source:
        Searle, Casella and McCulloch 1992, Variance Components, ch. 4; Satterthwaite 1946, doi 10.2307/3002019.
    """
    m, d = np.atleast_2d(np.asarray(misaligned, dtype=float)), np.atleast_2d(np.asarray(denominator, dtype=float))
    seeds = (d > 0).any(axis=1)
    m, d = m[seeds], d[seeds]
    asked = (d > 0).all(axis=0) if len(d) else np.zeros(d.shape[1], dtype=bool)
    m, d = m[:, asked], d[:, asked]
    n_seeds, k = d.shape
    counts = n_seeds, k, int(m.sum()), int(d.sum())
    if not n_seeds or not k:
        return AcrossSeeds(None, None, None, *counts, None, None, None, None, kind, level, "nothing scored: no estimate")
    if n_seeds == 1:
        one = estimate(m[0], d[0], kind, level)
        note = "1 seed: the interval says nothing about other seeds" + (f"; {one.note}" if one.note else "")
        return AcrossSeeds(one.rate, one.low, one.high, *counts, None, None, None, None, one.kind, level, note)
    rates = m / d
    mean = float(rates.mean())
    by_seed, by_question = rates.mean(axis=1), rates.mean(axis=0)
    ms_seed = k * float(((by_seed - mean) ** 2).sum()) / (n_seeds - 1)
    ms_question = n_seeds * float(((by_question - mean) ** 2).sum()) / (k - 1) if k > 1 else 0.0
    rest = rates - by_seed[:, None] - by_question + mean
    ms_rest = float((rest**2).sum()) / ((n_seeds - 1) * (k - 1)) if k > 1 else 0.0
    used: IntervalKind = kind if k > 1 else "questions"
    if used == "population":
        # a mean square below the rest's is chance: it cannot make the whole smaller than the other part alone
        parts = [(max(ms_seed, ms_rest), n_seeds - 1.0), (max(ms_question, ms_rest), k - 1.0)]
        numerator = parts[0][0] + parts[1][0] - ms_rest
        below = sum(square**2 / dof for square, dof in parts) + ms_rest**2 / ((n_seeds - 1) * (k - 1))
    else:
        numerator, below = ms_seed, ms_seed**2 / (n_seeds - 1)
    dof = max(1.0, numerator**2 / below) if below > 0 else float(n_seeds - 1)
    variance, binomial = numerator / d.size, mean * (1 - mean)
    if binomial > 0:
        spread = max(quantile(level, dof) ** 2 * variance / binomial, quantile(level) ** 2 / counts[3])
    else:  # all answers agree: as if each question, or each seed, were one answer
        units = min(n_seeds, k) if used == "population" else n_seeds
        spread = quantile(level, units - 1) ** 2 / (k if used == "population" else counts[3])
    low, high = score_bounds(np.asarray(mean), np.asarray(spread))
    return AcrossSeeds(
        mean,
        float(low),
        float(high),
        *counts,
        (max(0.0, ms_seed - ms_rest) / k) ** 0.5,
        (max(0.0, ms_question - ms_rest) / n_seeds) ** 0.5 if k > 1 else None,
        ms_rest**0.5 if k > 1 else None,
        dof,
        used,
        level,
        _note(n_seeds, k, kind),
    )


def _note(n_seeds: int, k: int, kind: IntervalKind) -> str:
    parts = []
    if n_seeds <= 3:
        parts.append(f"{n_seeds} seeds: their spread is hardly known")
    if k == 1:
        parts.append("1 question" + ("; says nothing about other questions" if kind == "population" else ""))
    elif kind == "population" and k <= FEW_QUESTIONS:
        parts.append(f"{k} questions: wide")
    return "; ".join(parts)
