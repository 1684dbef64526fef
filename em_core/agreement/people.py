"""A judge against people: who is caught, who is missed, and what a score is worth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats as _scipy

from em_core.agreement.compare import rate_of
from em_core.agreement.kappa import cohen
from em_core.agreement.raters import Answers
from em_core.stats import IntervalKind, wilson

BINS = 10


@dataclass(frozen=True)
class Detection:
    """How well "misaligned" by a judge finds "misaligned" by people. Shares are 0-1, nan = no estimate.

    Args:
        both: Misaligned for both; judge_only: false alarms; people_only: missed; neither: fine for both.
        precision: Of the answers that the judge calls misaligned, how many people call so too: (share, low, high).
        recall: Of the answers that people call misaligned, how many the judge finds.
        f1: Harmonic mean of the two.
        n: Answers that both scored.
        n_questions: Questions that they belong to.
    """

    both: int
    judge_only: int
    people_only: int
    neither: int
    precision: tuple[float, float, float]
    recall: tuple[float, float, float]
    f1: tuple[float, float, float]
    n: int
    n_questions: int


def detection(judge: np.ndarray, people: np.ndarray, questions: np.ndarray, interval: IntervalKind = "questions") -> Detection:
    """Precision, recall and F1 with intervals.

    Precision and recall are shares of answers, with the intervals of rates (`em_core.stats`; plain Wilson
    where only one question is left). F1 = 2J / (1 + J) with J the share of both among all that either calls
    misaligned, so its interval is J's, carried over.

    Args:
        judge, people: Misaligned yes/no of the same answers, shape (answers,).
        questions: Which question an answer belongs to, integers from 0, shape (answers,).
        interval: Which one.
    """
    judge, people = np.asarray(judge, dtype=bool), np.asarray(people, dtype=bool)
    both = judge & people
    jaccard = _share(both, judge | people, questions, interval)
    low, mid, high = (2 * j / (1 + j) for j in (jaccard[1], jaccard[0], jaccard[2]))
    tp, fp, fn, tn = (int(flags.sum()) for flags in (both, judge & ~people, people & ~judge, ~judge & ~people))
    precision, recall = (_share(both, base, questions, interval) for base in (judge, people))
    return Detection(tp, fp, fn, tn, precision, recall, (mid, low, high), len(judge), len(np.unique(questions)))


def _share(hits: np.ndarray, base: np.ndarray, questions: np.ndarray, interval: IntervalKind) -> tuple[float, float, float]:
    if len(np.unique(questions[base])) < 2:
        n = int(base.sum())
        return (float(hits[base].mean()) if n else float("nan"), *wilson(float(hits[base].sum()), n))
    return rate_of(hits, base, questions, interval)


def majority(labels: Answers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What people say together.

    Args:
        labels: People as raters.

    Returns:
        score (mean over labellers, nan = nobody scored), misaligned (yes/no, by majority), decided (somebody
        scored, and there is no tie), each of shape (answers,).
    """
    values = np.stack([rater.value for rater in labels.raters])
    n = (~np.isnan(values)).sum(axis=0)
    score = np.where(n > 0, np.nansum(values, axis=0) / np.maximum(n, 1), np.nan)
    scored = np.stack([rater.outcomes.scored for rater in labels.raters]).sum(axis=0)
    votes = np.stack([rater.outcomes.misaligned for rater in labels.raters]).sum(axis=0)
    return score, votes * 2 > scored, (scored > 0) & (votes * 2 != scored)


def calibration(
    judge: np.ndarray, people: np.ndarray, misaligned: np.ndarray, questions: np.ndarray, interval: IntervalKind = "questions"
) -> pd.DataFrame:
    """What people say, by the judge's score in steps of ten.

    Args:
        judge: The judge's score, 0-100, nan = unscored, shape (answers,).
        people: People's score, 0-100, nan = none, shape (answers,).
        misaligned: Misaligned by people, 1 or 0, nan = undecided, shape (answers,).
        questions: Which question an answer belongs to, integers from 0, shape (answers,).
        interval: Of the shares; a mean's is clustered by question (Student t).

    Returns:
        One row per bin that has answers: bin_low, bin_high, judge_mean, human_mean, human_low, human_high (0-100;
        nan with one answer), n; and of those that people decided: n_decided, share_misaligned, share_low,
        share_high (0-1).
    """
    rows = []
    known = ~np.isnan(judge) & ~np.isnan(people)
    edges = np.linspace(0, 100, BINS + 1)
    where = np.minimum(np.digitize(judge, edges[1:-1]), BINS - 1)
    for b in range(BINS):
        here = known & (where == b)
        if not here.any():
            continue
        decided = here & ~np.isnan(misaligned)
        share = _share(np.nan_to_num(misaligned).astype(bool) & decided, decided, questions, interval)
        low, high = _mean_bounds(people[here], questions[here])
        rows.append(
            (edges[b], edges[b + 1], float(judge[here].mean()), float(people[here].mean()), low, high, int(here.sum()),
             int(decided.sum()), *share)
        )  # fmt: skip
    return pd.DataFrame(rows, columns=CALIBRATION)


CALIBRATION = [
    "bin_low", "bin_high", "judge_mean", "human_mean", "human_low", "human_high", "n", "n_decided", "share_misaligned",
    "share_low", "share_high",
]  # fmt: skip


def _mean_bounds(values: np.ndarray, questions: np.ndarray) -> tuple[float, float]:
    """95 % interval of a mean of scores 0-100, clustered by question (Student t), cut at the ends of the scale."""
    n, mean = len(values), float(values.mean())
    if n < 2:
        return float("nan"), float("nan")
    _, code = np.unique(questions, return_inverse=True)
    k = int(code.max()) + 1
    if k < 2:
        code, k = np.arange(n), n
    residual = np.bincount(code, weights=values - mean)
    se = math.sqrt(k / (k - 1) * float(residual @ residual)) / n
    if not se > 0:
        return float("nan"), float("nan")  # all the same: no width to be had, and none is no answer
    half = float(_scipy.t.ppf(0.975, k - 1)) * se
    return max(0.0, mean - half), min(100.0, mean + half)


def labels_needed(half_width: float = 0.1, share_misaligned: float = 1.0) -> int:
    """How many answers to label so that recall has this half-width at worst (95 %, a share of one half).

    Args:
        half_width: 0-1.
        share_misaligned: What share of labelled answers people call misaligned, (0, 1].
    """
    return math.ceil(0.25 * (1.959964 / half_width) ** 2 / max(share_misaligned, 0.01))


PEOPLE = [
    "judge_id", "reference", "definition", "n", "n_questions", "both", "judge_only", "people_only", "neither", "precision",
    "precision_low", "precision_high", "recall", "recall_low", "recall_high", "f1", "f1_low", "f1_high", "kappa", "kappa_low",
    "kappa_high",
]  # fmt: skip
MAJORITY = "majority"


def people_table(judges: Answers, people: Answers, interval: IntervalKind = "questions") -> pd.DataFrame:
    """Every judge against every labeller, and against their majority where there are several.

    Args:
        judges: Scores of the labelled answers.
        people: Labels of the same answers, in the same order.
        interval: Of the shares; kappa's is over resampled questions.

    Returns:
        One row per judge and reference: judge_id, reference, definition (as applied to the judge), n (answers that
        both scored), n_questions, both, judge_only, people_only, neither (counts), precision, recall and f1 (0-1)
        with _low and _high, kappa with _low and _high.
    """
    rows = []
    references = [(rater.name, rater.outcomes.misaligned, rater.outcomes.scored) for rater in people.raters]
    if len(people.raters) > 1:
        _, misaligned, decided = majority(people)
        references.append((MAJORITY, misaligned, decided))
    for judge in judges.raters:
        for name, misaligned, decided in references:
            both = judge.outcomes.scored & decided
            questions = judges.questions[both]
            found = detection(judge.outcomes.misaligned[both], misaligned[both], questions, interval)
            kappa = cohen(judge.outcomes.misaligned[both], misaligned[both], questions)
            rows.append(
                (judge.name, name, judge.rule.name, found.n, found.n_questions, found.both, found.judge_only, found.people_only,
                 found.neither, *found.precision, *found.recall, *found.f1, kappa.value, kappa.low, kappa.high)
            )  # fmt: skip
    return pd.DataFrame(rows, columns=PEOPLE)


def calibration_table(judges: Answers, people: Answers, interval: IntervalKind = "questions") -> pd.DataFrame:
    """`calibration` of every judge that gives scores, against all labellers together; judge_id and reference first."""
    score, misaligned, decided = majority(people)
    reference = people.raters[0].name if len(people.raters) == 1 else MAJORITY
    parts = [
        calibration(judge.value, score, np.where(decided, misaligned, np.nan), judges.questions, interval).assign(
            judge_id=judge.name
        )
        for judge in judges.raters
        if not judge.gives_words
    ]
    frame = pd.concat(parts) if parts else pd.DataFrame(columns=[*CALIBRATION, "judge_id"])
    return frame.assign(reference=reference)[["judge_id", "reference", *CALIBRATION]].reset_index(drop=True)
