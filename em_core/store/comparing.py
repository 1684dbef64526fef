"""One checkpoint of each run, side by side: its last, its worst, or a given step, question by question."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core.errors import BadInput
from em_core.home import Home
from em_core.records import SIDE_KINDS
from em_core.selection import Selection
from em_core.store import natural
from em_core.store.contents import column_of, contents, given
from em_core.store.counts import CARD, answer_conditions
from em_core.store.rates import INSIDE, OUTSIDE
from em_core.store.reader import connect

FINAL, PEAK = "final", "peak"
At = str | int
"""Which checkpoint of each run: `FINAL`, `PEAK` (see `cells`), or a step."""

COLUMNS = [
    "run_id", *CARD, "step", "n_checkpoints", "question_set", "question_id", "in_domain", "judge_id", "n_total", "n_scored",
    "n_coherent", "n_misaligned", "base",
]  # fmt: skip

# candidates: the answered checkpoints of each run, from the catalogue alone. scores is then read at those (run, step)
# only, which skips most of it: its rows lie sorted by run.
_START = """
WITH shown AS MATERIALIZED (
    SELECT * FROM appearances
    WHERE ($runs IS NULL AND (run_kind IS NULL OR NOT list_contains($side, run_kind))) OR list_contains($runs, run_id)
), answered AS (
    SELECT shown.run_id, source_run_id, step, run_kind
    FROM contents JOIN shown ON contents.run_id = source_run_id AND (NOT is_baseline OR step = 0)
    WHERE judge_id = $judge AND {given} > 0 AND ($sets IS NULL OR list_contains($sets, question_set))
      AND ($inside IS NULL OR $inside = (question_domain <> '' AND list_contains(string_split(domain, '+'), question_domain)))
    GROUP BY ALL
), candidates AS MATERIALIZED (
    SELECT * EXCLUDE (run_kind) FROM answered {wanted}
), cells AS MATERIALIZED (
    SELECT scores.run_id AS source_run_id, scores.step, question_set, question_id, count(*) FILTER (is_first) AS n_total,
           count(*) FILTER (judge_id = $judge AND {scored}) AS n_scored,
           count(*) FILTER (judge_id = $judge AND {coherent}) AS n_coherent,
           count(*) FILTER (judge_id = $judge AND {coherent} AND {misaligned}) AS n_misaligned
    FROM scores SEMI JOIN candidates ON candidates.source_run_id = scores.run_id AND candidates.step = scores.step
    WHERE $sets IS NULL OR list_contains($sets, question_set)
    GROUP BY ALL
), asked AS (
    SELECT run_id, question_set, question_id, max(domain) AS domain FROM questions WHERE domain <> '' GROUP BY ALL
), told AS (
    SELECT shown.* EXCLUDE (source_run_id, is_baseline), cells.* EXCLUDE (source_run_id),
           coalesce(list_contains(string_split(shown.domain, '+'), asked.domain), false) AS in_domain,
           {denominator} AS base
    FROM candidates
    JOIN cells USING (source_run_id, step)
    JOIN shown USING (run_id, source_run_id)
    LEFT JOIN asked ON asked.run_id = source_run_id AND asked.question_set = cells.question_set
        AND asked.question_id = cells.question_id
    WHERE $inside IS NULL OR in_domain = $inside
)
"""
_TRAINED = "(step > 0 OR (run_kind IS DISTINCT FROM 'train' AND max(step) OVER (PARTITION BY run_id) = 0))"
_WANTED = {
    FINAL: f"QUALIFY {_TRAINED} AND step = max(step) OVER (PARTITION BY run_id)",
    PEAK: f"QUALIFY {_TRAINED}",
}
_IN_ORDER = f"run_id, question_set, {natural.sql('question_id')}, question_id"
_ALL = f"SELECT *, 1 AS n_checkpoints FROM told ORDER BY {_IN_ORDER}"
# which questions decide: those outside the training domain where the run has any
_HIGHEST = f""", deciding AS (
    SELECT * FROM told QUALIFY NOT in_domain OR bool_and(in_domain) OVER (PARTITION BY run_id)
), heights AS (
    SELECT run_id, step, sum(n_misaligned) / sum(base) AS rate, count(*) OVER (PARTITION BY run_id) AS n_checkpoints
    FROM deciding GROUP BY run_id, step HAVING sum(base) > 0
), highest AS (
    SELECT * FROM heights QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY rate DESC, step) = 1
)
SELECT told.*, n_checkpoints FROM told JOIN highest USING (run_id, step) ORDER BY {_IN_ORDER}
"""


def cells(home: Home, selection: Selection, at: At = FINAL) -> pd.DataFrame:
    """Counts at one checkpoint of each selected run, question by question.

    `FINAL` is the last step at which the selection's questions have a score. `PEAK` is the step with the highest
    rate on the selection's questions (those outside the run's training domain, where it has any), step 0 left out;
    of equals the earliest. **Picking the highest of k noisy checkpoints biases its rate upward**, the more the
    larger k and the fewer the answers: `n_checkpoints` says k, and intervals of such rates must be made for k
    comparisons at once (level 1 - 0.05 / k: Bonferroni), as `em_core.view.comparing.rates` does. A number is that
    step exactly; runs without answers there have no rows.

    Args:
        home: Whose runs.
        selection: Runs, questions, definition and judge. With no judge named, the one that scored them is taken.
        at: Which checkpoint.

    Returns:
        One row per run and question (`COLUMNS`): the run's card, step, n_checkpoints (that the step was picked from;
        1 unless `at` is `PEAK`), counts, and base (the definition's denominator). A run of kind ``train`` that has
        only step 0 has no rows.

    Raises:
        BadInput: Several judges scored these runs and the selection names none; or `at` is no checkpoint.
    """
    judge = selection.judge_id or _only_judge(home, selection)
    if judge is None:
        return pd.DataFrame(columns=COLUMNS)
    rule = selection.rule
    values: dict[str, Any] = {
        "runs": None if selection.run_ids is None else list(selection.run_ids),
        "sets": None if selection.question_sets is None else list(selection.question_sets),
        "judge": judge,
        "inside": None if selection.pooled else selection.in_domain,
        "side": list(SIDE_KINDS),
    }
    if at not in _WANTED:
        values["step"] = _step(at)
    conditions = answer_conditions(rule, values)
    sql = _START.format(
        given=column_of(rule) or "list_contains(extra_metrics, $metric)::INT * n_answers",
        wanted=_WANTED.get(str(at), "WHERE step = $step"),
        denominator="n_coherent" if rule.denominator == "coherent" else "n_scored",
        **{name: conditions[name] for name in ("scored", "coherent", "misaligned")},
    )
    found = connect(home).frame(sql + (_HIGHEST if at == PEAK else _ALL), values).assign(judge_id=judge)[COLUMNS]
    if selection.pooled:
        found["question_id"] = found["question_set"] + "/" + found["question_id"]
        found["question_set"] = found["in_domain"].map({True: INSIDE, False: OUTSIDE})
    return found


def _step(at: At) -> int:
    try:
        return int(at)
    except ValueError:
        raise BadInput(f"checkpoint {at!r} is unknown", f"use {FINAL}, {PEAK} or a step") from None


def _only_judge(home: Home, selection: Selection) -> str | None:
    """The one judge of the selected runs' answers to the selected questions; None where there is none."""
    rows = contents(home)
    if selection.run_ids is not None:
        rows = rows[rows["run_id"].isin(selection.run_ids)]
    if selection.question_sets is not None:
        rows = rows[rows["question_set"].isin(selection.question_sets)]
    judges = sorted(rows[rows["judge_id"].notna() & (given(rows, selection.rule) > 0)]["judge_id"].unique())
    if len(judges) > 1:
        raise BadInput(
            f"these runs were scored by {len(judges)} judges, and a comparison has one",
            f"choose one of them: {', '.join(judges)}",
        )
    return str(judges[0]) if judges else None
