"""EM rates with their counts and intervals: computed when read, under a named definition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from em_core import definitions
from em_core.definitions import Definition
from em_core.errors import BadInput
from em_core.home import Home
from em_core.stats import IntervalKind, IntervalMethod, estimate, interval_note, pooled_upper_bounds, rate_intervals, upper_bound
from em_core.store import natural
from em_core.store.counts import BY, CARD, common, counted, keys_of
from em_core.store.reader import connect

_COMPANION = [
    "companion", "companion_misaligned", "companion_base", "companion_rate", "companion_low", "companion_high",
]  # fmt: skip
FEW_EVENTS = 3
"""Up to so many misaligned answers a reader may want to claim that there are none."""
INSIDE, OUTSIDE = "in-domain", "out of domain"
"""Names of the pooled question sets."""
COUNTS = ["n_total", "n_scored", "n_coherent", "n_misaligned"]

# One row per cell; the counts of its questions as lists, for the intervals. What is known of the runs
# stands beside it; where the pooled runs differ, null.
_RATES = """, named AS (
    SELECT * REPLACE ({set_name} AS question_set) FROM per_question
), cells_by AS (
    SELECT {keys}, sum(n_total)::BIGINT AS n_total, sum(n_scored)::BIGINT AS n_scored, sum(n_coherent)::BIGINT AS n_coherent,
           sum(named.n_misaligned)::BIGINT AS n_misaligned,
           sum(n_other)::BIGINT AS companion_base, sum(n_other_misaligned)::BIGINT AS companion_misaligned,
           list(named.n_misaligned) AS misaligned, list(named.{denominator}) AS base,
           list(n_other_misaligned) AS other_misaligned, list(n_other) AS other_base
    FROM named GROUP BY {keys}
)"""
_OF_ONE_RUN = """
SELECT cells_by.*, {described} FROM cells_by JOIN appearances USING (run_id) WHERE NOT is_baseline ORDER BY {order}
"""
_POOLED = """, pooled AS (
    SELECT DISTINCT {keys}, run_id AS of_run FROM (SELECT * REPLACE ({set_name} AS question_set) FROM counted)
), cards AS (
    SELECT {of_pooled}, {described}
    FROM pooled JOIN appearances AS a ON a.run_id = of_run AND NOT is_baseline GROUP BY {of_pooled}
)
SELECT cells_by.*, cards.* EXCLUDE ({keys}) FROM cells_by JOIN cards ON {same_keys} ORDER BY {order}
"""


def rates(
    home: Home,
    definition: Definition | str = definitions.DEFAULT,
    by: Sequence[str] = ("run", "step"),
    interval: IntervalKind = "questions",
    *,
    method: IntervalMethod = "wilson",
    run_ids: Sequence[str] | None = None,
    judge_id: str | None = None,
    question_sets: Sequence[str] | None = None,
    demo: bool | None = None,
    baselines: bool | None = None,
    pool_sets: bool = False,
) -> pd.DataFrame:
    """EM rates: one row per `by`, question set, in_domain and judge.

    Args:
        home: Whose runs.
        definition: A rule or its name.
        by: Some of run, step, question, domain (the run's training domain). What is left out is
            pooled; question set, in_domain and judge are always kept apart.
        interval: ``questions`` or ``population`` (see `em_core.stats`).
        method: How the intervals are computed: ``wilson``, or ``t`` or ``bootstrap``, which take longer
            and give none where all answers agree.
        run_ids: Only these runs.
        judge_id: Only this judge, and only runs that it judged.
        question_sets: Only these question sets.
        demo: As for `counts`.
        baselines: As for `counts`.
        pool_sets: Pool the question sets; `question_set` is then `INSIDE` for questions in the run's training domain
            and `OUTSIDE` for all others.

    Returns:
        run_id, label, experiment, base_model, size_b (billions), domain, demo, toy, run_kind (null
        where the pooled runs differ), step (null when pooled), question_set, question_id (only by
        question), in_domain, definition, judge_id, n_total, n_scored, n_coherent, n_misaligned,
        em_rate, ci_low, ci_high (0-1, nan where nothing was scored), interval; and of the definition's
        companion, which stands beside it: companion (its name), companion_misaligned, companion_base
        (its denominator), companion_rate, companion_low, companion_high; and upper_bound: with 95 %
        confidence the rate is below this (one-sided, for claims of "no EM"), only for rows with at most
        `FEW_EVENTS` misaligned answers; n_questions (with an answer in the denominator) and note (what
        a reader must know of an interval over so few, "" = nothing).

    Raises:
        BadInput: Unknown definition, or an unknown word in `by`.
    """
    rule = definitions.get(definition) if isinstance(definition, str) else definition
    if not by:
        raise BadInput("by: nothing is named", f"use some of: {', '.join(BY)}")
    if pool_sets and "question" in by:
        raise BadInput("by: single questions and pooled question sets exclude each other", "leave out one of them")
    start, values = counted(rule, by, run_ids, judge_id, question_sets, demo, baselines)
    with connect(home).cursor() as cursor:
        table: pa.Table = cursor.sql(start + _statement(rule, by, pool_sets), params=values).to_arrow_table()
    out = table.drop_columns(["misaligned", "base", "other_misaligned", "other_base"]).to_pandas()
    cell = _row_numbers(table["base"])
    for prefix, names in (("", ("em_rate", "ci_low", "ci_high")), ("other_", _COMPANION[-3:])):
        misaligned, base = _flat(table[f"{prefix}misaligned"]), _flat(table[f"{prefix}base"])
        for name, bound in zip(names, _bounds(misaligned, base, cell, len(out), interval, method), strict=True):
            # DuckDB lists a cell's questions in any order: without rounding, two reads could differ in the last bit
            out[name] = np.round(bound, 12)
    out["upper_bound"] = _upper_bounds(table, interval)
    answered = np.bincount(cell[_flat(table["base"]) > 0], minlength=len(out)).astype(np.int64)
    out["n_questions"], out["note"] = answered, [interval_note(int(n), interval, method) for n in answered]
    out["definition"], out["interval"], out["companion"] = rule.name, interval, rule.companion.name
    if "step" not in out:
        out["step"] = None
    shown = [
        "run_id",
        *CARD,
        "step",
        "question_set",
        *(["question_id"] if "question" in by else []),
        "in_domain",
        "definition",
    ]
    return out[
        [
            *shown,
            "judge_id",
            *COUNTS,
            "em_rate",
            "ci_low",
            "ci_high",
            "interval",
            *_COMPANION,
            "upper_bound",
            "n_questions",
            "note",
        ]
    ]


def _bounds(
    misaligned: np.ndarray, base: np.ndarray, cell: np.ndarray, n: int, interval: IntervalKind, method: IntervalMethod
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rate, low and high of each cell, nan where there is no estimate; each of shape (n,)."""
    if method == "wilson":
        return rate_intervals(misaligned, base, cell, n, interval)
    found = [estimate(misaligned[cell == i], base[cell == i], interval, method=method) for i in range(n)]
    rate, low, high = (np.array([getattr(e, name) for e in found], dtype=float) for name in ("rate", "low", "high"))
    return rate, low, high


def _upper_bounds(table: pa.Table, interval: IntervalKind) -> np.ndarray:
    """The one-sided bound of the cells with few misaligned answers, shape (cells,); nan for the others."""
    bounds = np.full(table.num_rows, np.nan)
    few = np.flatnonzero(table["n_misaligned"].to_numpy() <= FEW_EVENTS)
    if not len(few):
        return bounds
    if interval == "questions":  # the sums alone decide, so all cells at once
        bad, base = (_sums(table[name])[few] for name in ("misaligned", "base"))
        bounds[few] = np.round(pooled_upper_bounds(bad, base), 12)
        return bounds
    known: dict[tuple[tuple[int, int], ...], float | None] = {}
    few_cells = table.select(["misaligned", "base"]).take(pa.array(few)).to_pydict()
    for i, bad_by, base_by in zip(few, few_cells["misaligned"], few_cells["base"], strict=True):
        key = tuple(sorted((d, m) for m, d in zip(bad_by, base_by, strict=True) if d))
        if key not in known:
            base, misaligned = np.array(key).reshape(-1, 2).T
            bound = upper_bound(misaligned, base, interval)
            known[key] = None if bound is None else round(bound, 12)
        bounds[i] = np.nan if known[key] is None else known[key]
    return bounds


def _statement(rule: Definition, by: Sequence[str], pool_sets: bool) -> str:
    keys = [*keys_of(by), "question_set", *(["question_id"] if "question" in by else []), "in_domain", "judge_id"]
    denominator = "n_coherent" if rule.denominator == "coherent" else "n_scored"
    set_name = f"CASE WHEN in_domain THEN '{INSIDE}' ELSE '{OUTSIDE}' END" if pool_sets else "question_set"
    cells = _RATES.format(keys=", ".join(keys), denominator=denominator, set_name=set_name)
    order = ", ".join(f"cells_by.{key}" for key in keys)
    if "question" in by:
        name = "cells_by.question_id"
        order = order.replace(name, f"{natural.sql(name)}, {name}")
    others = [column for column in ("run_id", *CARD) if column not in keys]
    if "run" in by:
        return cells + _OF_ONE_RUN.format(described=", ".join(f"appearances.{column}" for column in others), order=order)
    return cells + _POOLED.format(
        keys=", ".join(keys),
        set_name=set_name,
        of_pooled=", ".join(f"pooled.{column}" for column in keys),
        described=common(others),
        order=order,
        same_keys=" AND ".join(f"cells_by.{column} IS NOT DISTINCT FROM cards.{column}" for column in keys),
    )


def _flat(column: pa.ChunkedArray) -> np.ndarray:
    """The numbers of a column of lists, one after the other, shape (all elements,)."""
    return np.concatenate([np.zeros(0, dtype=np.int64), *(chunk.flatten().to_numpy() for chunk in column.chunks)])


def _sums(column: pa.ChunkedArray) -> np.ndarray:
    """The sum of each list of a column of lists, shape (rows,)."""
    return np.bincount(_row_numbers(column), weights=_flat(column), minlength=len(column))


def _row_numbers(column: pa.ChunkedArray) -> np.ndarray:
    """For each element of a column of lists the number of its row, shape (all elements,)."""
    return np.repeat(np.arange(len(column)), pc.list_value_length(column).to_numpy().astype(np.int64))
