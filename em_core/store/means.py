"""Mean scores with their counts and intervals: computed when read, beside the rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from em_core.definitions import VERDICT, Definition
from em_core.errors import BadInput
from em_core.home import Home
from em_core.records import METRICS
from em_core.selection import Selection
from em_core.stats import rate_intervals
from em_core.stats.means import mean_intervals, mean_note
from em_core.store.counts import CARD, JUDGED_BY, common, keys_of
from em_core.store.rates import INSIDE, OUTSIDE
from em_core.store.reader import connect

LAST: Literal["last"] = "last"
Steps = Sequence[int] | Literal["last"] | None
"""Which checkpoints: these steps, each run's last that the judge has scored, or (None) all."""
OF = ("alignment", "coherence", "coherent_alignment", "metric")
"""What has a mean: both scores, alignment over the answers that pass the gate, the definition's own metric."""
COLUMNS = [
    "run_id", *CARD, "step", "question_set", "in_domain", "definition", "judge_id", "interval", "n_total", "n_scored",
    "n_coherent", *(f"{a}{b}" for a in OF for b in ("", "_low", "_high")), *(f"n_{a}" for a in OF),
    "metric_name", "coherent_share", "coherent_share_low", "coherent_share_high", "n_questions", "note",
]  # fmt: skip
_SUMS = """count({x}) FILTER ({when}) AS n_{name}, coalesce(sum({x}) FILTER ({when}), 0) AS s_{name},
           coalesce(sum({x} * {x}) FILTER ({when}), 0) AS q_{name}"""
# The scores of the chosen runs alone, named as literals: DuckDB then skips all other rows. Which answers stand
# under which run and judge is as in `counts.py`.
_MEANS = """
WITH shown AS (
    SELECT * FROM appearances WHERE ($runs IS NULL OR list_contains($runs, run_id))
       AND ($runs IS NOT NULL OR run_kind IS DISTINCT FROM 'baseline')
), cells AS (
    SELECT run_id, step, question_set, question_id, judge_id, count(*) FILTER (is_first) AS n_first,
           bool_or({asked}) AS asked, count(*) FILTER ({scored}) AS n_scored, count(*) FILTER ({coherent}) AS n_coherent,
           {sums}
    FROM scores
    WHERE ($sources IS NULL OR list_contains($sources, run_id)) AND ($sets IS NULL OR list_contains($sets, question_set))
    GROUP BY ALL
), totals AS (
    SELECT run_id, step, question_set, question_id, sum(n_first)::BIGINT AS n_total FROM cells GROUP BY ALL
), judging AS (
    SELECT DISTINCT run_id, judge_id FROM cells WHERE judge_id IS NOT NULL AND asked
), judged_by AS ({judged_by}
), topics AS (
    SELECT run_id, question_set, question_id, max(domain) AS topic FROM questions
    WHERE domain <> '' AND ($sources IS NULL OR list_contains($sources, run_id)) GROUP BY ALL
), counted AS (
    SELECT shown.run_id, totals.step, shown.domain, totals.question_set, totals.question_id,
           coalesce(list_contains(string_split(shown.domain, '+'), topic), false) AS in_domain, judged_by.judge_id, n_total,
           coalesce(n_scored, 0) AS n_scored, coalesce(n_coherent, 0) AS n_coherent, {filled}
    FROM totals
    JOIN shown ON source_run_id = totals.run_id AND (NOT is_baseline OR totals.step = 0)
    JOIN judged_by ON judged_by.run_id = shown.run_id AND ($judge IS NULL OR judged_by.judge_id = $judge)
    LEFT JOIN cells ON cells.run_id = totals.run_id AND cells.step = totals.step
        AND cells.question_set = totals.question_set AND cells.question_id = totals.question_id
        AND cells.judge_id = judged_by.judge_id
    LEFT JOIN topics ON topics.run_id = totals.run_id AND topics.question_set = totals.question_set
        AND topics.question_id = totals.question_id
), wanted AS (
    SELECT * FROM counted WHERE ($in_domain IS NULL OR in_domain = $in_domain) AND {step}
), per_question AS (
    SELECT {keys}, {set_name} AS question_set, question_set AS asked_set, question_id, in_domain, judge_id,
           sum(n_total)::BIGINT AS n_total, sum(n_scored)::BIGINT AS n_scored, sum(n_coherent)::BIGINT AS n_coherent, {added}
    FROM wanted GROUP BY ALL
), means AS (
    SELECT {all_keys}, sum(n_total)::BIGINT AS n_total, list(n_scored) AS scored, list(n_coherent) AS coherent, {lists}
    FROM per_question GROUP BY {all_keys}
), cards AS (
    SELECT {held_keys}, {described}
    FROM (SELECT DISTINCT {all_keys_of_wanted}, run_id AS of_run FROM wanted) AS held
    JOIN appearances AS a ON a.run_id = of_run AND NOT is_baseline GROUP BY {held_keys}
)
SELECT means.*, cards.* EXCLUDE ({all_keys}) FROM means JOIN cards ON {same} ORDER BY ALL
"""
_STEP = {"all": "true", "some": "list_contains($steps, step)"}
LAST_STEP = """(run_id, step) IN (
        SELECT (shown.run_id, max(step)) FROM contents
        JOIN shown ON source_run_id = contents.run_id AND (NOT is_baseline OR step = 0)
        WHERE ($judge IS NULL OR judge_id = $judge) AND n_alignment + n_coherence + n_verdict + len(extra_metrics) > 0
          AND ($sets IS NULL OR list_contains($sets, question_set))
          AND ($in_domain IS NULL OR list_contains(string_split(domain, '+'), nullif(question_domain, '')) IS TRUE = $in_domain)
        GROUP BY shown.run_id)"""
"""Condition on run_id and step, in a statement that has ``shown``: each run's last step with a score of the chosen questions."""


def means(home: Home, selection: Selection, by: Sequence[str] = ("run", "step"), steps: Steps = None) -> pd.DataFrame:
    """Mean alignment and coherence of scored answers: one row per `by`, question set, in_domain and judge, as rates have.

    Each answer counts equally; step 0 of a baseline stands under every run that names it; judges are never mixed.
    Answers without that score count in nothing but `n_total`.

    Args:
        home: Whose runs.
        selection: Runs, questions, judge, the kind of interval, and the definition: its gate says which answers
            `coherent_alignment` is over, its metric what `metric` is.
        by: Some of run, step, domain, as for `em_core.store.rates.rates`; what is left out is pooled.
        steps: Only these checkpoints.

    Returns:
        `COLUMNS`: run_id, the run's card (null where pooled runs differ), step (null when pooled), question_set,
        in_domain, definition, judge_id, interval, n_total (answers), n_scored, n_coherent (as in the rates); for each of
        `OF` the mean and its interval (``alignment``, ``alignment_low``, ``alignment_high``; 0-100, nan where there is
        none) and ``n_alignment``, the answers behind it:

        * alignment, coherence: over all answers with that score;
        * coherent_alignment: alignment over answers that also pass the definition's gate (nan without a gate);
        * metric: of a definition over a rubric's own metric (`metric_name`, else ""), nan otherwise;

        coherent_share (0-1, with interval): n_coherent of n_scored; n_questions (with a score) and note (what a reader
        must know of the intervals, "" = nothing). Sorted. No rows for a judge that gives verdicts only.

    Raises:
        BadInput: Unknown definition, or an unknown word in `by`.
    """
    rule = selection.rule
    if not by or "question" in by:
        raise BadInput(f"by: {', '.join(by) or 'nothing'}: means are over questions", "use some of: run, step, domain")
    sql, values = _statement(rule, selection, by, steps)
    reader = connect(home)
    with reader.cursor() as cursor:
        if values["runs"] is not None:
            named = "SELECT DISTINCT source_run_id FROM appearances WHERE list_contains($runs, run_id)"
            values["sources"] = [row[0] for row in cursor.execute(named, {"runs": values["runs"]}).fetchall()]
        table: pa.Table = cursor.sql(sql, params=values).to_arrow_table()
    return _frame(table, rule, selection)


def _statement(rule: Definition, selection: Selection, by: Sequence[str], steps: Steps) -> tuple[str, dict[str, Any]]:
    keys = keys_of(by)
    values: dict[str, Any] = {
        "runs": None if selection.run_ids is None else list(selection.run_ids), "sources": None,
        "sets": None if selection.question_sets is None else list(selection.question_sets),
        "judge": selection.judge_id, "in_domain": selection.in_domain,
    }  # fmt: skip
    if steps is not None and steps != LAST:
        values["steps"] = [int(step) for step in steps]
    value = rule.metric
    if rule.metric not in (*METRICS, VERDICT):
        values["metric"], value = rule.metric, "extra[$metric]"
    if rule.gate is not None:
        values["gate"] = float(rule.gate)
    gate = f"coherence {rule.gate_sign} $gate" if rule.gate is not None else None
    looked = "alignment" if value == VERDICT else value  # a verdict judge has no means, and no rows
    whens = {
        "alignment": ("alignment", "true"), "coherence": ("coherence", "true"),
        "coherent_alignment": ("alignment", gate or "false"), "metric": (looked, "true" if "metric" in values else "false"),
    }  # fmt: skip
    sums = [f"{letter}_{name}" for name in OF for letter in "nsq"]
    set_name = f"CASE WHEN in_domain THEN '{INSIDE}' ELSE '{OUTSIDE}' END" if selection.pooled else "question_set"
    all_keys = [*keys, "question_set", "in_domain", "judge_id"]
    return _MEANS.format(
        asked=" OR ".join(f"{m} IS NOT NULL OR {m}_reason IS NOT NULL" for m in METRICS) + f" OR {looked} IS NOT NULL",
        scored=f"{looked} IS NOT NULL",
        coherent=f"{looked} IS NOT NULL AND {gate or 'true'}",
        sums=", ".join(_SUMS.format(x=x, when=when, name=name) for name, (x, when) in whens.items()),
        filled=", ".join(f"coalesce({c}, 0) AS {c}" for c in sums),
        judged_by=JUDGED_BY,
        step=LAST_STEP if steps == LAST else _STEP["some" if steps is not None else "all"],
        keys=", ".join(keys),
        set_name=set_name,
        added=", ".join(f"sum({c}) AS {c}" for c in sums),
        lists=", ".join(f"list({c}::DOUBLE) AS {c}" for c in sums),
        all_keys=", ".join(all_keys),
        held_keys=", ".join(f"held.{c}" for c in all_keys),
        all_keys_of_wanted=", ".join([*keys, f"{set_name} AS question_set", "in_domain", "judge_id"]),
        described=common(c for c in ("run_id", *CARD) if c not in keys),
        same=" AND ".join(f"means.{c} IS NOT DISTINCT FROM cards.{c}" for c in all_keys),
    ), values


def _frame(table: pa.Table, rule: Definition, selection: Selection) -> pd.DataFrame:
    lists = ["scored", "coherent", *(f"{letter}_{name}" for name in OF for letter in "nsq")]
    out = table.drop_columns(lists).to_pandas()
    cell = np.repeat(np.arange(len(out)), pc.list_value_length(table["scored"]).to_numpy().astype(np.int64))
    flat = {c: np.concatenate([np.zeros(0), *(chunk.flatten().to_numpy() for chunk in table[c].chunks)]) for c in lists}

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(cell, weights=values, minlength=len(out)).astype(np.int64)

    for name in OF:
        n = flat[f"n_{name}"]
        found = mean_intervals(n, flat[f"s_{name}"], flat[f"q_{name}"], cell, len(out), selection.interval)
        # a cell's questions come in any order: without rounding, two reads could differ in the last bit
        for suffix, numbers in zip(("", "_low", "_high"), found, strict=True):
            out[f"{name}{suffix}"] = np.round(numbers, 9)
        out[f"n_{name}"] = total(n)
    share = rate_intervals(flat["coherent"], flat["scored"], cell, len(out), selection.interval)
    for suffix, numbers in zip(("", "_low", "_high"), share, strict=True):
        out[f"coherent_share{suffix}"] = np.round(numbers, 12)
    out["n_scored"], out["n_coherent"] = total(flat["scored"]), total(flat["coherent"])
    out["n_questions"] = total((flat["n_alignment"] + flat["n_coherence"] > 0).astype(float))
    has = np.isfinite(out[["alignment_low", "coherence_low"]]).all(axis=1)
    most = out[["n_alignment", "n_coherence"]].max(axis=1)
    out["note"] = [
        mean_note(int(n), int(k), selection.interval, bool(w)) for n, k, w in zip(most, out["n_questions"], has, strict=True)
    ]
    out["definition"], out["interval"] = rule.name, selection.interval
    out["metric_name"] = rule.metric if rule.metric not in (*METRICS, VERDICT) else ""
    if "step" not in out:
        out["step"] = None
    return out[COLUMNS]
