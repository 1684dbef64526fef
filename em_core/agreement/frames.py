"""Frames for the charts of two judges: points that are few enough to draw, and the lines through them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from em_core.agreement.difference import limits_of_agreement
from em_core.agreement.raters import Answers, Rater
from em_core.agreement.resampling import Measured

MAX_POINTS = 2000
_STEPS = (1.0, 2.5, 5.0)
POINTS = ["judge_a", "judge_b", "metric", "value_a", "value_b", "n"]
DIFFERENCES = [
    "judge_a", "judge_b", "metric", "mean", "difference", "n", "n_answers", "bias", "bias_low", "bias_high", "lower", "lower_low",
    "lower_high", "upper", "upper_low", "upper_high",
]  # fmt: skip


def points(answers: Answers, first: int, second: int) -> pd.DataFrame:
    """Both judges' scores of the answers that both scored, equal ones as one point with its count.

    Returns:
        judge_a, judge_b, metric (the definition's, and coherence), value_a, value_b (0-100), n; at most `MAX_POINTS` rows
        per metric: with more different pairs, scores are rounded to 1, 2.5 or 5.
    """
    a, b = answers.raters[first], answers.raters[second]
    parts = []
    for metric, x, y in _scores(answers, a, b):
        values, n = _counted(x, y)
        parts.append(pd.DataFrame({"metric": metric, "value_a": values[:, 0], "value_b": values[:, 1], "n": n}))
    frame = pd.concat(parts) if parts else pd.DataFrame(columns=POINTS)
    return frame.assign(judge_a=a.name, judge_b=b.name)[POINTS].reset_index(drop=True)


def differences(answers: Answers, first: int, second: int) -> pd.DataFrame:
    """Bland and Altman's picture of two judges: difference (second minus first) over mean, with bias and limits.

    Returns:
        `DIFFERENCES`, at most `MAX_POINTS` rows per metric; bias and limits with their intervals are the same on every row
        of a metric, nan where there is none; n counts the answers of a point, n_answers all of the metric.
    """
    a, b = answers.raters[first], answers.raters[second]
    parts = []
    for metric, x, y in _scores(answers, a, b):
        both = ~np.isnan(x) & ~np.isnan(y)
        if not both.any():
            continue
        limits = limits_of_agreement(x, y, answers.questions)
        values, n = _counted((x + y) / 2, y - x)
        frame = pd.DataFrame(
            {"metric": metric, "mean": values[:, 0], "difference": values[:, 1], "n": n, "n_answers": both.sum()}
        )
        for name, found in (("bias", limits.bias), ("lower", limits.lower), ("upper", limits.upper)):
            frame = frame.assign(**_three(name, found))
        parts.append(frame)
    frame = pd.concat(parts) if parts else pd.DataFrame(columns=DIFFERENCES)
    return frame.assign(judge_a=a.name, judge_b=b.name)[DIFFERENCES].reset_index(drop=True)


def _scores(answers: Answers, a: Rater, b: Rater) -> list[tuple[str, np.ndarray, np.ndarray]]:
    return [(answers.metric, a.value, b.value), ("coherence", a.coherence, b.coherence)]


def _three(name: str, found: Measured) -> dict[str, float]:
    values = {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return {key: float("nan") if value is None else value for key, value in values.items()}


def _counted(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different pairs and how often each occurs; rounded as far as needed to be few enough."""
    both = ~np.isnan(x) & ~np.isnan(y)
    pairs = np.round(x[both], 6) + 1j * np.round(y[both], 6)  # as one number a pair: a row-wise unique is ten times slower
    values, n = np.unique(pairs, return_counts=True)
    for step in _STEPS:
        if len(values) <= MAX_POINTS:
            break
        values, n = np.unique(np.round(pairs / step) * step, return_counts=True)
    return np.stack([values.real, values.imag], axis=1), n  # in steps of 5 there are at most 21 x 41
