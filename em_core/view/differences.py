"""Paired differences as rows of a chart and a table, and what could have been seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from em_core.selection import Selection
from em_core.stats import (
    Difference,
    IntervalKind,
    benjamini_hochberg,
    detectable_difference,
    interval_note,
    intraclass_correlation,
    paired_by_name,
    paired_differences,
)

COLUMNS = [
    "run_id", "step", "question_set", "name", "group", "pooled", "n_misaligned_a", "base_a", "rate_a", "n_misaligned_b", "base_b",
    "rate_b", "difference", "ci_low", "ci_high", "p", "p_adjusted", "p_flip", "n_questions", "definition", "interval",
    "judge_id", "note",
]  # fmt: skip
ALL = "all questions"
_SIDES = ("n_misaligned_a", "base_a", "n_misaligned_b", "base_b")
_SHARED = 0.5  # of the correlation of answers to one question: paired comparisons lie between 0 and 1


def by_question(questions: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """Two checkpoints: one row per question that both answered, and the whole as the last row, ``pooled``.

    A single question's interval is over its answers, whatever kind is chosen; p values of the questions are
    corrected for their number (Benjamini-Hochberg), the whole has its own.

    Args:
        questions: `em_core.store.paired.Paired.questions`.
        selection: Names the definition, interval and judge.
    """
    ma, da, mb, db = (questions[c].to_numpy(dtype=float)[:, None] for c in _SIDES)
    rows = pd.DataFrame(_many(ma, da, mb, db, "questions")).assign(
        question_set=questions["question_set"].to_numpy(),
        name=questions["question_id"].astype(str).to_numpy(),
        group=questions["question_set"].to_numpy(),
    )
    whole = _whole(questions, selection.interval)
    last = {
        "question_set": "", "name": ALL, "group": "", "pooled": True, "n_misaligned_a": whole.misaligned_a,
        "base_a": whole.base_a, "rate_a": whole.rate_a, "n_misaligned_b": whole.misaligned_b, "base_b": whole.base_b,
        "rate_b": whole.rate_b, "difference": whole.difference, "ci_low": whole.low, "ci_high": whole.high,
        "p": whole.p, "p_adjusted": whole.p,
        "p_flip": whole.p_flip, "n_questions": whole.n_questions, "note": whole.note,
    }  # fmt: skip
    return _frame([*rows.to_dict("records"), last], selection)


def within(questions: pd.DataFrame, in_domain: bool | None) -> pd.DataFrame:
    """The questions in the training domain of either side (True), in that of neither (False), or all (None).

    A starting model has no training domain, so what is inside is told by the other side.

    Args:
        questions: `em_core.store.paired.Paired.questions`.
        in_domain: As in a selection.
    """
    if in_domain is None:
        return questions
    inside = (questions["in_domain_a"] == True) | (questions["in_domain_b"] == True)  # noqa: E712 - null where a side lacks it
    return questions[inside == in_domain]


def against_first(cells: pd.DataFrame, first: str, selection: Selection) -> pd.DataFrame:
    """Every run against one, paired by question: one row per run, p corrected over all of them (Benjamini-Hochberg).

    All share the first run, so their p values are positively dependent, which the correction allows.

    Args:
        cells: `em_core.store.comparing.cells`.
        first: The run that the others are held against.
        selection: Names the definition, interval and judge.
    """
    cells = cells.assign(run_id=cells["run_id"].astype(str))
    heads = cells.drop_duplicates("run_id").set_index("run_id")
    others = [run for run in heads.index if run != first]
    if first not in heads.index or not others:
        return pd.DataFrame(columns=COLUMNS)
    names = (cells["question_set"].astype(str) + "/" + cells["question_id"].astype(str)).rename("name")
    tables = [
        cells.pivot_table(index="run_id", columns=names, values=value, aggfunc="sum", fill_value=0, observed=True)
        for value in ("n_misaligned", "base")
    ]
    mb, db = (table.loc[others].to_numpy(dtype=float) for table in tables)
    ma, da = (np.broadcast_to(table.loc[first].to_numpy(dtype=float), mb.shape) for table in tables)
    steps = heads.loc[others, "step"]
    rows = pd.DataFrame(_many(ma, da, mb, db, selection.interval)).assign(
        run_id=others,
        step=steps.to_numpy(),
        name=[f"{label} @ {step}" for label, step in zip(heads.loc[others, "label"], steps, strict=True)],
        group="",
    )
    return _frame(rows.to_dict("records"), selection)


def power_words(row: dict[str, Any], questions: pd.DataFrame, kind: IntervalKind) -> str:
    """What difference these answers could have shown: ``With 8 questions x 50 answers a side ... 12 points``.

    Args:
        row: The pooled row of `by_question`.
        questions: `em_core.store.paired.Paired.questions`.
        kind: Which comparison was made.
    """
    both = questions[(questions["base_a"] > 0) & (questions["base_b"] > 0)]
    n, rate = len(both), row["rate_a"]
    if n == 0 or rate is None or rate != rate:
        return "Nothing was scored on both sides, so no difference could be seen."
    samples = float(n * 2 / (1 / both["base_a"] + 1 / both["base_b"]).sum())
    found = [intraclass_correlation(both[f"n_misaligned_{s}"].to_numpy(), both[f"base_{s}"].to_numpy()) for s in "ab"]
    alike = [value for value in found if value is not None]
    correlation = float(np.clip(max(alike), 0.0, 1.0)) if alike else 0.0
    used: IntervalKind = "questions" if n < 2 else kind
    least = detectable_difference(float(rate), n, samples, correlation, _SHARED, used)
    having = f"{n} question{'' if n == 1 else 's'} with about {samples:.3g} answer{'' if samples == 1 else 's'} each a side"
    if least is None:
        return f"With {having}, no rise from {rate:.0%} could be seen with 80% power: ask more questions."
    likeness = f", answers to one question being alike (correlation {correlation:.2f})" if correlation > 0.005 else ""
    return f"With {having}{likeness}, a rise from {rate:.0%} of {100 * least:.0f} points or more would be seen with 80% power."


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows as people read them: texts with counts; columns Compared on, A, B, Difference, p, p corrected, Note."""
    items = rows.to_dict("records")
    return pd.DataFrame(
        {
            "Compared on": [f"{r['group']} · {r['name']}" if r["group"] else r["name"] for r in items],
            "A": [_side(r, "a") for r in items],
            "B": [_side(r, "b") for r in items],
            "Difference, points (95% interval)": [_difference(r) for r in items],
            "p": [_p(r["p"]) for r in items],
            "p corrected": [_p(r["p_adjusted"]) for r in items],
            "Questions": [int(r["n_questions"]) for r in items],
            "Note": [r["note"] for r in items],
        }
    )


def verdict(row: dict[str, Any]) -> str:
    """One comparison in a sentence: difference, interval, p."""
    if row["difference"] is None or row["difference"] != row["difference"]:
        return "No question was scored on both sides: no estimate."
    beyond = "more than chance explains" if row["p_adjusted"] is not None and row["p_adjusted"] < 0.05 else "not beyond chance"
    if beyond.startswith("more") and row["p_flip"] is not None and row["p_flip"] >= 0.05:
        beyond = f"weak evidence, a permutation test gives p {_p(row['p_flip'], '= ')}"
    return (
        f"{100 * row['difference']:+.1f} points (95% interval {100 * row['ci_low']:+.1f} to {100 * row['ci_high']:+.1f}), "
        f"p {_p(row['p'], '= ')}: {beyond}."
    )


def _whole(questions: pd.DataFrame, kind: IntervalKind) -> Difference:
    keys = questions["question_set"].astype(str) + "/" + questions["question_id"].astype(str)
    a, b = (
        {k: (int(m), int(n)) for k, m, n in zip(keys, questions[f"n_misaligned_{s}"], questions[f"base_{s}"], strict=True)}
        for s in "ab"
    )
    return paired_by_name(a, b, kind)


def _many(ma: np.ndarray, da: np.ndarray, mb: np.ndarray, db: np.ndarray, kind: IntervalKind) -> dict[str, Any]:
    """Columns of many comparisons, p corrected over them; the arguments have shape (comparisons, questions)."""
    found = paired_differences(ma, da, mb, db, kind)
    both = (da > 0) & (db > 0)
    sums = [np.where(both, values, 0).sum(axis=1).astype(int) for values in (ma, da, mb, db)]
    return {
        **dict(zip(_SIDES, sums, strict=True)), "rate_a": found.rate_a, "rate_b": found.rate_b, "difference": found.difference,
        "ci_low": found.low, "ci_high": found.high, "p": found.p, "p_adjusted": benjamini_hochberg(found.p.tolist()),
        "p_flip": np.nan, "n_questions": found.n_questions, "pooled": False,
        "note": [interval_note(int(n), kind) if ma.shape[1] > 1 else "" for n in found.n_questions],
    }  # fmt: skip


def _frame(rows: list[dict[str, Any]], selection: Selection) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=COLUMNS)
    real = ["rate_a", "rate_b", "difference", "ci_low", "ci_high", "p", "p_adjusted", "p_flip"]
    frame[real] = frame[real].astype(float)
    return frame.assign(definition=selection.definition, interval=selection.interval, judge_id=selection.judge_id)


def _side(row: dict[str, Any], side: str) -> str:
    if not row[f"base_{side}"]:
        return "no estimate"
    return f"{row[f'rate_{side}']:.0%}, {int(row[f'n_misaligned_{side}'])} of {int(row[f'base_{side}'])}"


def _difference(row: dict[str, Any]) -> str:
    if pd.isna(row["difference"]):
        return "no estimate"
    return f"{100 * row['difference']:+.0f} ({100 * row['ci_low']:+.0f} to {100 * row['ci_high']:+.0f})"


def _p(value: Any, sign: str = "") -> str:
    if value is None or pd.isna(value):
        return ""
    return "< 0.0001" if value < 0.0001 else f"{sign}{value:.2g}"
