"""Rates at one checkpoint of each run, and pooled over runs: what bars, heat map and scaling curve are drawn from.

Frames of cells are those of `em_core.store.comparing.cells`: one row per run and question.
"""

from __future__ import annotations

from collections.abc import Sequence

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
MOST_POINTS = 400
"""Single runs that are drawn behind pooled rows; where there are more, evenly chosen ones."""


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
    out = out.reset_index().assign(definition=selection.rule.name, interval=selection.interval, n_runs=1, pooled=False)
    return out[COLUMNS]


def pooled(cells: pd.DataFrame, selection: Selection, by: Sequence[str] = MODEL) -> pd.DataFrame:
    """Runs that agree in `by` together: one row per group, question set and in_domain (`COLUMNS`), ``pooled`` True.

    Runs are taken as draws (seeds), crossed with questions (`em_core.stats.across_seeds`): each run and question counts
    the same, the interval is for other runs like these, and questions that not all runs answered are left out; where
    nothing is left, answers are pooled by question and the note says so. A group of one run is that run's own rate and keeps
    its run_id.
    """
    if cells.empty:
        return pd.DataFrame(columns=COLUMNS)
    keys = [*by, "question_set", "in_domain"]
    groups = cells.groupby(keys, sort=True, dropna=False)
    out = pd.concat([_common(cells, keys), groups[COUNTS].sum()], axis=1)
    group = groups.ngroup().to_numpy()
    order = np.argsort(group, kind="stable")
    run, question = (pd.factorize(cells[column])[0][order] for column in ("run_id", "question_id"))
    misaligned, base = (cells[column].to_numpy(dtype=float)[order] for column in ("n_misaligned", "base"))
    ends = np.flatnonzero(np.diff(group[order])) + 1
    parts = zip(*(np.split(values, ends) for values in (run, question, misaligned, base)), strict=True)
    found = [_pool(r, q, m, b, selection, int(k)) for (r, q, m, b), k in zip(parts, out["n_checkpoints"], strict=True)]
    out[["em_rate", "ci_low", "ci_high", "n_questions", "note"]] = found
    for column in ("em_rate", "ci_low", "ci_high"):
        out[column] = out[column].astype(float)
    out = out.reset_index().assign(definition=selection.rule.name, interval=selection.interval, pooled=True)
    return out[COLUMNS]


def bars(cells: pd.DataFrame, selection: Selection, most: int = MOST_POINTS) -> pd.DataFrame:
    """Pooled rows by base model and training domain, and the runs behind each that has several, at most `most` of these."""
    whole = pooled(cells, selection)
    several = whole[whole["n_runs"] > 1]
    if several.empty:
        return whole
    keys = [*MODEL, "question_set", "in_domain"]
    runs = rates(cells, selection).merge(several[keys], on=keys)
    return pd.concat([whole, runs.iloc[:: max(1, -(-len(runs) // most))]], ignore_index=True)


def _common(cells: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """What all runs of a group agree on, else None; n_runs; n_checkpoints (the most). One row per group."""
    runs = cells.drop_duplicates([*keys, "run_id"]).groupby(keys, sort=True, dropna=False)
    columns = [column for column in ("run_id", *_CARD) if column not in keys]
    same = runs[columns].nunique(dropna=False) == 1
    out = runs[columns].first().astype(object).where(same, None)
    out["n_runs"], out["n_checkpoints"] = runs.size(), runs["n_checkpoints"].max()
    out["label"] = out["label"].where(out["n_runs"] == 1, out["n_runs"].astype(str) + " runs")
    return out


def _pool(
    run: np.ndarray, question: np.ndarray, misaligned: np.ndarray, base: np.ndarray, selection: Selection, k: int
) -> tuple[float | None, float | None, float | None, int, str]:
    """Rate, low, high, n_questions and note of one group; the arguments have one element per run and question."""
    (runs, run), (names, question) = (np.unique(values, return_inverse=True) for values in (run, question))
    tables = np.zeros((2, len(runs), len(names)))
    tables[0, run, question], tables[1, run, question] = misaligned, base
    if len(runs) > 1:
        found = across_seeds(tables[0], tables[1], selection.interval, level(k))
        if found.rate is not None:
            return found.rate, found.low, found.high, found.n_questions, found.note.replace("seed", "run")
    one = estimate(tables[0].sum(axis=0), tables[1].sum(axis=0), selection.interval, level(k))
    note = one.note
    if len(runs) > 1 and one.rate is not None:
        note = "; ".join(filter(None, ["no question was asked of all runs: answers pooled, runs not told apart", note]))
    return one.rate, one.low, one.high, one.n_questions, note


def peak_note(rows: pd.DataFrame) -> str:
    """What a reader must know of rates whose checkpoint was picked as the highest of k; empty where none was.

    The highest of k noisy rates overstates its checkpoint's own rate: of k equal checkpoints with n answers each by
    about the standard error times the expected largest of k normal draws.
    """
    k = rows["n_checkpoints"]
    if rows.empty or k.max() <= 1:
        return ""
    of = f"{int(k.min())}" if k.min() == k.max() else f"{int(k.min())} to {int(k.max())}"
    return (
        f"peak: the highest of {of} noisy checkpoints, biased upward and not corrected for it; "
        f"intervals are widened to hold for all {int(k.max())} at once"
    )


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows for a table: what pooled runs do not share says so."""
    steps = ["several" if pd.isna(step) else str(int(step)) for step in rows["step"]]
    several = {column: rows[column].where(rows[column].notna(), "several") for column in ("base_model", "experiment")}
    return rows.assign(step=steps, **several)
