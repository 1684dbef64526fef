"""Differences between two checkpoints or runs, question by question: what makes a question hard cancels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from em_core.stats.kinds import FEW_QUESTIONS, IntervalKind
from em_core.stats.paired_many import paired_differences
from em_core.stats.unpaired import fisher_p

EXACT_FLIPS = 14
"""Up to so many questions every combination of signs is tried (16,384)."""

FLIPS = 20_000
"""Random combinations of signs with more questions."""

SWAPS = 10_000
"""Random permutations of answers within questions."""


@dataclass(frozen=True)
class Difference:
    """Rate of b minus rate of a, over the questions that both answered, each question equal.

    Args:
        difference: -1 to 1; None = no question was answered on both sides.
        low: Lower end of the interval, -1 to 1; None = no estimate.
        high: Upper end.
        p: Two-sided p value that belongs to the interval (0 is outside it exactly when p < 1 - level).
        p_flip: Second opinion by permutation. ``population``: the signs of the questions' differences are
            flipped. ``questions``: answers change sides within their question (with one question,
            Fisher's exact test). None = not asked for.
        rate_a: Mean over those questions of a's rate, 0-1.
        rate_b: The same of b.
        n_questions: Questions answered on both sides.
        misaligned_a: Their misaligned answers.
        base_a: Their answers in the denominator.
        misaligned_b: The same of b.
        base_b: The same of b.
        only_a: Names of the questions with answers in a only; left out.
        only_b: The same of b.
        kind: ``population`` (questions like these) or ``questions`` (these questions).
        level: Coverage of the interval, (0, 1).
        note: What a reader must know, in words; empty = nothing.
    """

    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    p_flip: float | None
    rate_a: float | None
    rate_b: float | None
    n_questions: int
    misaligned_a: int
    base_a: int
    misaligned_b: int
    base_b: int
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    kind: IntervalKind
    level: float
    note: str


def paired_by_name(
    a: Mapping[str, tuple[int, int]],
    b: Mapping[str, tuple[int, int]],
    kind: IntervalKind = "population",
    level: float = 0.95,
    *,
    second_opinion: bool = True,
) -> Difference:
    """`paired_difference` of two sides whose questions have names.

    Args:
        a: Per question (misaligned, answers in the denominator); a question with none is the same as
            a question that is not there.
        b: The other side.
        kind: Which interval.
        level: Coverage, (0, 1).
        second_opinion: Also the permutation test.
    """
    names = sorted({*a, *b})
    counts = np.array([[*a.get(name, (0, 0)), *b.get(name, (0, 0))] for name in names], dtype=float).reshape(-1, 4)
    return paired_difference(*counts.T, kind=kind, level=level, names=names, second_opinion=second_opinion)


def paired_difference(
    misaligned_a: np.ndarray,
    base_a: np.ndarray,
    misaligned_b: np.ndarray,
    base_b: np.ndarray,
    *,
    kind: IntervalKind = "population",
    level: float = 0.95,
    names: list[str] | None = None,
    second_opinion: bool = True,
) -> Difference:
    """The mean over questions of b's rate minus a's, with interval and p.

    Weighting: each question counts the same, however many of its answers were scored, so the rates
    here can differ from the pooled ones where questions have different numbers of scored answers.

    ``questions``: the two sides' Wilson intervals on these questions, combined (Newcombe's method 10,
    MOVER). ``population``: Student t over the questions' differences with (questions - 1) degrees of
    freedom, never narrower than ``questions``: a few differences can look alike by chance, and 0
    against 0 is not certainty.

    Args:
        misaligned_a: Misaligned answers per question, shape (questions,).
        base_a: Answers in the denominator per question, shape (questions,).
        misaligned_b: The same of b, the same questions in the same order.
        base_b: The same of b.
        kind: Which interval; with one question in common it is ``questions`` in any case.
        level: Coverage, (0, 1).
        names: Of the questions, for those that are left out.
        second_opinion: Also the permutation test (up to 0.1 s with 50 questions); where it disagrees with
            p about 5 %, the note says so.

    Source:
        Newcombe 1998, doi 10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I; Zou and
        Donner 2008, doi 10.1002/sim.3095; Miller 2024, arXiv 2411.00640 (paired, clustered evaluations).
    """
    ma, da, mb, db = (np.asarray(values, dtype=float) for values in (misaligned_a, base_a, misaligned_b, base_b))
    both = (da > 0) & (db > 0)
    called = names if names is not None else [str(i) for i in range(len(da))]
    only_a = tuple(name for name, left in zip(called, (da > 0) & ~both, strict=True) if left)
    only_b = tuple(name for name, left in zip(called, (db > 0) & ~both, strict=True) if left)
    ma, da, mb, db = (values[both] for values in (ma, da, mb, db))
    k = len(da)
    used: IntervalKind = "questions" if k < 2 else kind
    sums = int(ma.sum()), int(da.sum()), int(mb.sum()), int(db.sum())
    if k == 0:
        nothing = difference_note(0, kind)
        return Difference(None, None, None, None, None, None, None, 0, *sums, only_a, only_b, used, level, nothing)
    deltas = mb / db - ma / da
    found = paired_differences(ma[None], da[None], mb[None], db[None], used, level)
    mean, low, high, p, rate_a, rate_b = (float(values[0]) for values in found[:6])
    flip = None
    if second_opinion:
        flip = sign_flip_p(deltas) if used == "population" else swap_p(ma, da, mb, db)
    note = difference_note(k, kind, p, flip)
    return Difference(mean, low, high, p, flip, rate_a, rate_b, k, *sums, only_a, only_b, used, level, note)


def sign_flip_p(deltas: np.ndarray, seed: int = 0) -> float:
    """Two-sided p of "the differences are as likely positive as negative", by flipping their signs.

    All combinations up to 14 questions, else 20,000 random ones (and the observed one).

    Args:
        deltas: Differences per question, shape (questions,).
        seed: Of the random combinations.

    Source:
        Fisher 1935; Phipson and Smyth 2010, doi 10.2202/1544-6115.1585 (p is never 0).
    """
    values = np.asarray(deltas, dtype=float)
    k = len(values)
    reached = np.abs(_signs(k, seed) @ values) >= abs(values.sum()) - 1e-9
    return float(reached.mean()) if k <= EXACT_FLIPS else float((reached.sum() + 1) / (FLIPS + 1))


def swap_p(misaligned_a: np.ndarray, base_a: np.ndarray, misaligned_b: np.ndarray, base_b: np.ndarray, seed: int = 0) -> float:
    """Two-sided p of "each question's rate is the same on both sides", by permuting answers within questions.

    With one question Fisher's exact test, else 10,000 random permutations (and the observed one).

    Args:
        misaligned_a: Misaligned answers per question, shape (questions,).
        base_a: Answers per question, each > 0.
        misaligned_b: The same of b.
        base_b: The same of b.
        seed: Of the permutations.

    Source:
        Fisher 1935; Phipson and Smyth 2010, doi 10.2202/1544-6115.1585.
    """
    ma, da, mb, db = (np.asarray(v, dtype=np.int64) for v in (misaligned_a, base_a, misaligned_b, base_b))
    if len(da) == 1:
        return fisher_p(int(ma[0]), int(da[0]), int(mb[0]), int(db[0]))
    total, every = ma + mb, da + db
    on_b = np.random.default_rng(seed).hypergeometric(total, every - total, db, size=(SWAPS, len(da)))
    differences = np.abs((on_b / db - (total - on_b) / da).sum(axis=1))
    reached = differences >= abs(float((mb / db - ma / da).sum())) - 1e-9
    return float((reached.sum() + 1) / (SWAPS + 1))


@lru_cache(maxsize=8)
def _signs(k: int, seed: int) -> np.ndarray:
    """Combinations of k signs, one a row: all, or random ones when there are many."""
    if k <= EXACT_FLIPS:
        return (1.0 - 2.0 * ((np.arange(2**k)[:, None] >> np.arange(k)) & 1)).astype(np.float64)
    return np.random.default_rng(seed).integers(0, 2, size=(FLIPS, k)).astype(np.float64) * 2 - 1


def difference_note(k: int, kind: IntervalKind, p: float | None = None, flip: float | None = None) -> str:
    """What a reader must know of a difference over `k` questions, in words; empty = nothing."""
    if k == 0:
        return "no question was answered on both sides: no estimate"
    parts = []
    if k == 1:
        beyond = "; says nothing about other questions" if kind == "population" else ""
        parts.append(f"1 question in common: interval over its answers{beyond}")
    elif kind == "population" and k <= FEW_QUESTIONS:
        parts.append(f"{k} questions: wide, t with {k - 1} {'degree' if k == 2 else 'degrees'} of freedom")
    if flip is not None and p is not None and p < 0.05 <= flip:
        parts.append(f"weak evidence: a permutation test gives p = {flip:.2g}")
    return "; ".join(parts)
