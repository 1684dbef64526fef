"""The two kinds of interval, how they can be computed, and what to say of them with few questions."""

from __future__ import annotations

from typing import Literal

import numpy as np

IntervalKind = Literal["questions", "population"]
"""*These questions*, new answers; or *questions like these*."""

IntervalMethod = Literal["wilson", "t", "bootstrap"]

FEW_QUESTIONS = 8
"""With so few or fewer, intervals over questions carry a note."""


def interval_note(n_questions: int, kind: IntervalKind, method: IntervalMethod = "wilson") -> str:
    """What a reader must know of an interval over so few questions, in words; empty = nothing.

    Args:
        n_questions: Questions with at least one answer in the denominator.
        kind: The interval that was asked for.
        method: How it was computed.
    """
    if n_questions == 0:
        return "nothing scored: no estimate"
    if n_questions == 1:
        beyond = "; says nothing about other questions" if kind == "population" else ""
        return f"1 question: Wilson's interval over its answers{beyond}"
    if kind == "questions" or n_questions > FEW_QUESTIONS:
        return ""
    if method == "bootstrap":
        return f"{n_questions} questions: too few for the bootstrap, which is then too narrow; wilson or t is safer"
    of = "degree" if n_questions == 2 else "degrees"
    return f"{n_questions} questions: wide, t with {n_questions - 1} {of} of freedom"


def answered(misaligned: np.ndarray, denominator: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The questions with at least one answer in the denominator, as numbers; two arrays of shape (answered questions,)."""
    m, d = np.asarray(misaligned, dtype=float), np.asarray(denominator, dtype=float)
    return m[d > 0], d[d > 0]
