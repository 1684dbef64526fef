"""Judges side by side on the answers that all of them scored: rates, kappa, alpha, differences, confusion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from em_core.agreement.alpha import krippendorff
from em_core.agreement.difference import correlations, limits_of_agreement
from em_core.agreement.kappa import cohen
from em_core.agreement.outcomes import NAMES
from em_core.agreement.raters import Answers, Rater
from em_core.agreement.resampling import Measured, measured
from em_core.stats import IntervalKind, rate_intervals


def judge_table(answers: Answers, interval: IntervalKind = "questions") -> pd.DataFrame:
    """One row per judge, on the answers that all of them scored.

    Args:
        answers: Scores and rules.
        interval: Of the EM rates (`em_core.stats`); all other intervals are over resampled questions.

    Returns:
        judge_id, definition (as applied to that judge), n_asked, n_scored, unscored_share (0-1, of those
        asked), n_common, n_coherent, n_misaligned, n_base (the rate's denominator), em_rate, ci_low,
        ci_high (0-1, nan where there is no estimate), interval, mean_value, mean_coherence (0-100); and
        against the first judge, nan in its own row: em_difference (0-1, second minus first) with _low and
        _high, kappa with _low and _high (misaligned yes/no), alpha with _low and _high (scores; verdicts
        for two judges of words; outcomes for different kinds) and alpha_of (which of them), agreement
        (share of equal yes/no), pearson, spearman, bias with _low and _high, limit_low, limit_high (0-100).
    """
    common, questions = answers.common, answers.questions[answers.common]
    rows = []
    first = answers.raters[0].at(common)
    for i, whole in enumerate(answers.raters):
        rater = whole.at(common)
        out = rater.outcomes
        rate = rate_of(out.misaligned, out.base, questions, interval)
        asked = int(whole.asked.sum())
        scored = int(whole.outcomes.scored.sum())
        row: dict[str, Any] = {
            "judge_id": rater.name, "definition": rater.rule.name, "n_asked": asked, "n_scored": scored,
            "unscored_share": 1 - scored / asked if asked else np.nan, "n_common": int(common.sum()),
            "n_coherent": int((out.scored & ~out.gated).sum()), "n_misaligned": int((out.misaligned & out.base).sum()),
            "n_base": int(out.base.sum()), "em_rate": rate[0], "ci_low": rate[1], "ci_high": rate[2], "interval": interval,
            "mean_value": _mean(rater.value), "mean_coherence": _mean(rater.coherence),
        }  # fmt: skip
        rows.append(row | (_against(first, rater, questions) if i else {}))
    return pd.DataFrame(rows, columns=_COLUMNS)


_COLUMNS = [
    "judge_id", "definition", "n_asked", "n_scored", "unscored_share", "n_common", "n_coherent", "n_misaligned", "n_base",
    "em_rate", "ci_low", "ci_high", "interval", "mean_value", "mean_coherence", "em_difference", "em_difference_low",
    "em_difference_high", "kappa", "kappa_low", "kappa_high", "agreement", "alpha", "alpha_low", "alpha_high", "alpha_of",
    "pearson", "spearman", "bias", "bias_low", "bias_high", "limit_low", "limit_high",
]  # fmt: skip


def rate_of(
    misaligned: np.ndarray, base: np.ndarray, questions: np.ndarray, interval: IntervalKind
) -> tuple[float, float, float]:
    """A rate and its interval from yes/no arrays, shape (answers,); nan where nothing is in `base`."""
    n = int(questions.max()) + 1 if len(questions) else 1
    counts = [np.bincount(questions, weights=flags.astype(float), minlength=n) for flags in (misaligned & base, base)]
    p, low, high = rate_intervals(counts[0], counts[1], np.zeros(n, dtype=np.int64), 1, interval)
    return float(p[0]), float(low[0]), float(high[0])


def _against(first: Rater, second: Rater, questions: np.ndarray) -> dict[str, Any]:
    a, b = first.outcomes, second.outcomes
    parts = np.stack([a.misaligned & a.base, a.base, b.misaligned & b.base, b.base], axis=1).astype(float)
    difference = measured(parts, questions, lambda s: s[:, 2] / s[:, 3] - s[:, 0] / s[:, 1])
    kappa = cohen(a.misaligned, b.misaligned, questions)
    alpha, of = pair_alpha(first, second, questions)
    limits = limits_of_agreement(first.value, second.value, questions)
    pearson, spearman = correlations(first.value, second.value)
    return {
        **_spread("em_difference", difference), **_spread("kappa", kappa),
        "agreement": float((a.misaligned == b.misaligned).mean()) if len(questions) else np.nan,
        **_spread("alpha", alpha), "alpha_of": of, "pearson": pearson, "spearman": spearman, **_spread("bias", limits.bias),
        "limit_low": limits.lower.value, "limit_high": limits.upper.value,
    }  # fmt: skip


def pair_alpha(first: Rater, second: Rater, questions: np.ndarray) -> tuple[Measured, str]:
    """Alpha of what both give: scores (interval), verdicts (nominal), or outcomes under the definition (nominal)."""
    if first.gives_words and second.gives_words:
        _, words = np.unique(np.stack([first.verdict.astype(str), second.verdict.astype(str)]), return_inverse=True)
        return krippendorff(words.reshape(2, -1).astype(float), questions, "nominal"), "verdicts"
    if not first.gives_words and not second.gives_words:
        return krippendorff(np.stack([first.value, second.value]), questions), "scores"
    codes = np.stack([first.outcomes.codes, second.outcomes.codes]).astype(float)
    return krippendorff(np.where(codes == NAMES.index("unscored"), np.nan, codes), questions, "nominal"), "outcomes"


def overall(answers: Answers) -> dict[str, Measured]:
    """Krippendorff's alpha of all raters together, over all answers that at least two of them scored.

    Returns:
        ``scores`` and ``coherence`` (interval) where at least two give numbers, and ``outcomes``
        (nominal: misaligned, not misaligned, fails the gate).
    """
    with_scores = [rater for rater in answers.raters if not rater.gives_words]
    found = {}
    if len(with_scores) > 1:
        found["scores"] = krippendorff(np.stack([rater.value for rater in with_scores]), answers.questions)
        found["coherence"] = krippendorff(np.stack([rater.coherence for rater in with_scores]), answers.questions)
    codes = np.stack([rater.outcomes.codes for rater in answers.raters]).astype(float)
    found["outcomes"] = krippendorff(np.where(codes == NAMES.index("unscored"), np.nan, codes), answers.questions, "nominal")
    return found


def confusion(answers: Answers, first: int, second: int) -> pd.DataFrame:
    """How often the two say what, over the answers that either was asked about.

    Returns:
        Rows: outcomes of the first; columns: outcomes of the second (`outcomes.NAMES`); counts.
    """
    a, b = answers.raters[first], answers.raters[second]
    both = a.asked & b.asked
    table = np.zeros((len(NAMES), len(NAMES)), dtype=np.int64)
    np.add.at(table, (a.outcomes.codes[both], b.outcomes.codes[both]), 1)
    return pd.DataFrame(table, index=pd.Index(NAMES, name=a.name), columns=pd.Index(NAMES, name=b.name))


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if (~np.isnan(values)).any() else float("nan")


def _spread(name: str, found: Measured) -> dict[str, float | None]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
