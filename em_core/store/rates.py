"""EM rates with their counts and intervals: computed when read, under a named definition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from em_core import definitions
from em_core.definitions import Definition
from em_core.errors import BadInput
from em_core.home import Home
from em_core.stats import IntervalKind, rate_intervals
from em_core.store.counts import BY, counts
from em_core.store.queries import runs

COUNTS = ["n_total", "n_scored", "n_coherent", "n_misaligned"]
_OF_RUN = ["run_kind", "label", "experiment", "base_model", "size_b", "domain", "demo", "toy"]


def rates(
    home: Home,
    definition: Definition | str = definitions.DEFAULT,
    by: Sequence[str] = ("run", "step"),
    interval: IntervalKind = "questions",
    *,
    run_ids: Sequence[str] | None = None,
    judge_id: str | None = None,
    question_sets: Sequence[str] | None = None,
    demo: bool | None = None,
    baselines: bool | None = None,
) -> pd.DataFrame:
    """EM rates: one row per `by`, question set, in_domain and judge.

    Args:
        home: Whose runs.
        definition: A rule or its name.
        by: Some of run, step, question, domain (the run's training domain). What is left out is
            pooled; question set, in_domain and judge are always kept apart.
        interval: ``questions`` or ``population`` (see `em_core.stats`).
        run_ids, judge_id, question_sets, demo, baselines: As for `counts`.

    Returns:
        run_id, label, experiment, base_model, size_b, domain, demo, toy, run_kind (null where the
        pooled runs differ), step (null when pooled), question_set, question_id (only by question),
        in_domain, definition, judge_id, n_total, n_scored, n_coherent, n_misaligned, em_rate, ci_low,
        ci_high (0-1, null where nothing was scored), interval.

    Raises:
        BadInput: Unknown definition, or an unknown word in `by`.
    """
    rule = definitions.get(definition) if isinstance(definition, str) else definition
    unknown = [word for word in by if word not in BY]
    if unknown or not by:
        raise BadInput(f"by: {', '.join(unknown) or 'nothing'} is unknown", f"use some of: {', '.join(BY)}")
    # down to the run even when runs are pooled: what they have in common is shown
    fine = counts(
        home,
        rule,
        by=("run", "step"),
        run_ids=run_ids,
        judge_id=judge_id,
        question_sets=question_sets,
        demo=demo,
        baselines=baselines,
    )
    known = runs(home).set_index("run_id")[_OF_RUN]
    fine["domain"] = fine["run_id"].map(known["domain"])
    keys = [column for word in ("run", "domain", "step") if word in by for column in BY[word]]
    keys += ["question_set", *(["question_id"] if "question" in by else []), "in_domain", "judge_id"]
    cell, cells = _cells(fine, keys)
    out = cells.copy()
    for column in COUNTS:
        out[column] = np.bincount(cell, weights=fine[column], minlength=len(out)).astype(np.int64)
    denominator = "n_coherent" if rule.denominator == "coherent" else "n_scored"
    per_question = _pool_runs(fine, cell, denominator)
    rate, low, high = rate_intervals(
        per_question["n_misaligned"].to_numpy(),
        per_question[denominator].to_numpy(),
        per_question["cell"].to_numpy(),
        len(out),
        interval,
    )
    out["em_rate"], out["ci_low"], out["ci_high"] = rate, low, high
    out["definition"], out["interval"] = rule.name, interval
    _describe(out, fine, cell, known)
    shown = ["run_id", *(c for c in _OF_RUN if c != "run_kind"), "run_kind", "step", "question_set"]
    shown += [*(["question_id"] if "question" in by else []), "in_domain", "definition", "judge_id", *COUNTS]
    return out[[*shown, "em_rate", "ci_low", "ci_high", "interval"]]


def _cells(fine: pd.DataFrame, keys: list[str]) -> tuple[np.ndarray, pd.DataFrame]:
    """The cell number of each row, and one row of keys per cell, in order of first appearance."""
    cell = fine.groupby(keys, sort=False, dropna=False, observed=True).ngroup().to_numpy()
    _, first = np.unique(cell, return_index=True)
    return cell, fine.iloc[first][keys].reset_index(drop=True)


def _pool_runs(fine: pd.DataFrame, cell: np.ndarray, denominator: str) -> pd.DataFrame:
    """Counts per cell and question: the same question asked in several pooled runs or steps is one cluster."""
    rows = pd.DataFrame({"cell": cell, "question": fine["question_id"], "n_misaligned": fine["n_misaligned"]})
    rows[denominator] = fine[denominator]
    if not rows.duplicated(["cell", "question"]).any():
        return rows
    return rows.groupby(["cell", "question"], sort=False, as_index=False)[["n_misaligned", denominator]].sum()


def _describe(out: pd.DataFrame, fine: pd.DataFrame, cell: np.ndarray, known: pd.DataFrame) -> None:
    """Fill in what the runs (and steps) of a cell have in common; null where they differ."""
    if "run_id" in out:
        for column in _OF_RUN:
            out[column] = out["run_id"].map(known[column])
    else:
        pairs = pd.DataFrame({"cell": cell, "run_id": fine["run_id"]}).drop_duplicates()
        pairs = pairs.join(known, on="run_id")
        for column in ["run_id", *_OF_RUN]:
            values = pairs.groupby("cell", sort=True)[column]
            out[column] = values.first().where(values.nunique(dropna=False) == 1)
    if "step" not in out:
        out["step"] = pd.array([pd.NA] * len(out), dtype="Int64")
