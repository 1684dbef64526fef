"""Rates at one checkpoint of each run, and pooled over runs: what bars, heat map and scaling curve are drawn from.

Frames of cells are those of `em_core.store.comparing.cells`: one row per run and question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from em_core.selection import Selection
from em_core.stats import across_seeds, estimate, interval_note, rate_intervals

COUNTS = ["n_total", "n_scored", "n_coherent", "n_misaligned"]
_CARD = ["label", "experiment", "base_model", "size_b", "domain", "demo", "toy", "run_kind", "step", "n_checkpoints", "judge_id"]
_LINE = ["run_id", "question_set", "in_domain"]
COLUMNS = [
    "run_id", "label", "experiment", "base_model", "size_b", "domain", "demo", "toy", "run_kind", "step", "question_set",
    "in_domain", "definition", "judge_id", *COUNTS, "em_rate", "ci_low", "ci_high", "interval", "n_runs", "n_questions",
    "n_checkpoints", "pooled", "note",
]  # fmt: skip
MODEL = ("base_model", "size_b", "domain")
DOMAIN = ("domain",)
LEVEL = 0.95


def level(n_checkpoints: int) -> float:
    """Coverage of one interval such that the intervals of k checkpoints hold together (Bonferroni): 1 - 0.05 / k."""
    return 1 - (1 - LEVEL) / max(1, n_checkpoints)


def rates(cells: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """One row per run, question set and in_domain (`COLUMNS`): the rate at its checkpoint, ``pooled`` False.

    The interval of a checkpoint that was picked as the highest of k is widened to hold for all k at once (`level`);
    its rate is still biased upward.
    """
    if cells.empty:
        return pd.DataFrame(columns=COLUMNS)
    groups = cells.groupby(_LINE, sort=True)
    out = groups[_CARD].first()
    out[COUNTS] = groups[COUNTS].sum()
    out["n_questions"] = cells[cells["base"] > 0].groupby(_LINE)["question_id"].nunique().reindex(out.index, fill_value=0)
    cell, misaligned, base = groups.ngroup().to_numpy(), cells["n_misaligned"].to_numpy(), cells["base"].to_numpy()
    picked_from = out["n_checkpoints"].to_numpy()
    bounds = np.full((3, len(out)), np.nan)
    for k in np.unique(picked_from):
        found = rate_intervals(misaligned, base, cell, len(out), selection.interval, level(int(k)))
        bounds[:, picked_from == k] = np.array(found)[:, picked_from == k]
    for name, values in zip(("em_rate", "ci_low", "ci_high"), bounds, strict=True):
        out[name] = np.round(values, 12)
    out["note"] = [interval_note(int(n), selection.interval) for n in out["n_questions"]]
    out = out.reset_index().assign(
        definition=selection.rule.name, interval=selection.interval, n_runs=1, pooled=False, in_domain=lambda f: f["in_domain"]
    )
    return out[COLUMNS]


def pooled(cells: pd.DataFrame, selection: Selection, by: Sequence[str] = MODEL) -> pd.DataFrame:
    """Runs that agree in `by` together: one row per group, question set and in_domain (`COLUMNS`), ``pooled`` True.

    Runs are taken as draws (seeds), crossed with questions (`em_core.stats.across_seeds`): each run and question counts
    the same, the interval is for other runs like these, and questions that not all runs answered are left out; where
    nothing is left, answers are pooled by question and the note says so. A group of one run is that run's own rate and keeps
    its run_id.
    """
    rows = []
    for key, part in cells.groupby([*by, "question_set", "in_domain"], sort=True, dropna=False):
        rows.append({**_common(part), **dict(zip([*by, "question_set", "in_domain"], key, strict=True)), **_pool(part, selection)})
    return pd.DataFrame(rows, columns=COLUMNS)


def bars(cells: pd.DataFrame, selection: Selection, most: int = 1000) -> pd.DataFrame:
    """Pooled rows by base model and training domain, and the runs behind each that has several, at most `most` of these."""
    whole = pooled(cells, selection)
    several = whole[whole["n_runs"] > 1]
    if several.empty:
        return whole
    keys = [*MODEL, "question_set", "in_domain"]
    runs = rates(cells, selection).merge(several[keys], on=keys)
    return pd.concat([whole, runs.iloc[:: max(1, -(-len(runs) // most))]], ignore_index=True)


def _common(part: pd.DataFrame) -> dict[str, Any]:
    """What all rows agree on, else None."""
    found = {}
    for column in ("run_id", *_CARD):
        values = part[column].unique()
        found[column] = values[0] if len(values) == 1 else None
    n_runs = part["run_id"].nunique()
    if n_runs > 1:
        found["label"] = f"{n_runs} runs"
    return {**found, "n_runs": n_runs, "n_checkpoints": int(part["n_checkpoints"].max())}


def _pool(part: pd.DataFrame, selection: Selection) -> dict[str, Any]:
    run, runs = pd.factorize(part["run_id"])
    question, names = pd.factorize(part["question_id"])
    misaligned, base = (np.zeros((len(runs), len(names))) for _ in range(2))
    np.add.at(misaligned, (run, question), part["n_misaligned"].to_numpy())
    np.add.at(base, (run, question), part["base"].to_numpy())
    at = level(int(part["n_checkpoints"].max()))
    found = across_seeds(misaligned, base, selection.interval, at) if len(runs) > 1 else None
    if found is not None and found.rate is not None:
        rate, low, high, n_questions, note = found.rate, found.low, found.high, found.n_questions, found.note
    else:
        one = estimate(misaligned.sum(axis=0), base.sum(axis=0), selection.interval, at)
        rate, low, high, n_questions, note = one.rate, one.low, one.high, one.n_questions, one.note
        if len(runs) > 1 and rate is not None:
            note = "; ".join(filter(None, ["no question was asked of all runs: answers pooled, runs not told apart", note]))
    return {
        **{name: int(part[name].sum()) for name in COUNTS}, "em_rate": rate, "ci_low": low, "ci_high": high, "note": note,
        "definition": selection.rule.name, "interval": selection.interval, "n_questions": n_questions, "pooled": True,
    }  # fmt: skip
