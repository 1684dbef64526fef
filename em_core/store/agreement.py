"""What several judges made of the same answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from em_core.agreement import Answers
from em_core.definitions import VERDICT, Definition
from em_core.home import Home
from em_core.records import METRICS
from em_core.store.reader import connect

# A run's answers are its own and its baseline's (step 0); an answer counts once, under however many runs it is shown.
OF_SELECTION = """
    ($runs IS NULL OR run_id IN (SELECT source_run_id FROM appearances WHERE run_id IN (SELECT unnest($runs::VARCHAR[]))))
    AND ($sets IS NULL OR question_set IN (SELECT unnest($sets::VARCHAR[])))"""

_SIDE_BY_SIDE = """
SELECT response_id, any_value(question_set || chr(31) || question_id) AS question, {columns}
FROM scores
WHERE list_contains($judges::VARCHAR[], judge_id) AND {of_selection}
  AND ($ids IS NULL OR response_id IN (SELECT unnest($ids::VARCHAR[])))
GROUP BY response_id ORDER BY response_id
"""
_OF_ONE = """
    max({value}) FILTER (judge_id = $judge_{i}) AS value_{i}, max(coherence) FILTER (judge_id = $judge_{i}) AS coherence_{i},
    max(verdict) FILTER (judge_id = $judge_{i}) AS verdict_{i},
    coalesce(bool_or({asked}) FILTER (judge_id = $judge_{i}), false) AS asked_{i}"""

# Where one of two judges scored a run whole, the other one's number is what both scored; only the other runs are read.
_PAIRS = """
WITH per_run AS (
    SELECT contents.run_id, judge_id, sum(n_answers) AS n, any_value(n_responses) AS n_all
    FROM contents JOIN run_totals USING (run_id) WHERE judge_id IS NOT NULL GROUP BY ALL
), couples AS (
    SELECT a.run_id, a.judge_id AS judge_a, b.judge_id AS judge_b, a.n = a.n_all OR b.n = b.n_all AS whole, least(a.n, b.n) AS n
    FROM per_run AS a JOIN per_run AS b ON b.run_id = a.run_id AND a.judge_id < b.judge_id
), parts AS (
    SELECT run_id, judge_id, response_id FROM scores
    WHERE judge_id IS NOT NULL AND run_id IN (SELECT run_id FROM couples WHERE NOT whole)
), counted AS (
    SELECT judge_a, judge_b, n FROM couples WHERE whole
    UNION ALL
    SELECT a.judge_id, b.judge_id, count(*)
    FROM parts AS a JOIN parts AS b ON b.run_id = a.run_id AND b.response_id = a.response_id AND a.judge_id < b.judge_id
    JOIN couples ON couples.run_id = a.run_id AND judge_a = a.judge_id AND judge_b = b.judge_id AND NOT whole
    GROUP BY ALL
)
SELECT judge_a, judge_b, sum(n)::BIGINT AS n FROM counted GROUP BY ALL HAVING sum(n) > 0 ORDER BY n DESC, judge_a, judge_b
"""


def selection(run_ids: Sequence[str] | None, question_sets: Sequence[str] | None) -> dict[str, Any]:
    """Values of `OF_SELECTION`."""
    return {
        "runs": None if run_ids is None else list(run_ids),
        "sets": None if question_sets is None else list(question_sets),
    }


def side_by_side(
    home: Home,
    judge_ids: Sequence[str],
    metric: str = "alignment",
    *,
    run_ids: Sequence[str] | None = None,
    question_sets: Sequence[str] | None = None,
    response_ids: Sequence[str] | None = None,
) -> pd.DataFrame:
    """One row per answer that at least one of the judges was asked about.

    Args:
        home: Whose runs.
        judge_ids: The judges, in the order of the columns.
        metric: What ``value`` is; ``verdict`` gives alignment there.
        run_ids: Only answers shown under these runs, their shared step 0 included.
        question_sets: Only these question sets.
        response_ids: Only these answers.

    Returns:
        response_id, question (set and id), and for judge i value_i, coherence_i (0-100), verdict_i, asked_i.
    """
    values: dict[str, Any] = {
        **selection(run_ids, question_sets),
        "judges": list(judge_ids),
        "ids": None if response_ids is None else list(response_ids),
        **{f"judge_{i}": judge_id for i, judge_id in enumerate(judge_ids)},
    }
    scale = "alignment" if metric == VERDICT else metric
    value, asked = (
        scale,
        f"{scale} IS NOT NULL OR {scale}_reason IS NOT NULL OR verdict IS NOT NULL OR verdict_reason IS NOT NULL",
    )
    if scale not in METRICS:
        values["metric"] = scale
        value, asked = "extra[$metric]", "true"  # why another metric is missing is in the judgements only
    columns = ",".join(_OF_ONE.format(i=i, value=value, asked=asked) for i in range(len(judge_ids)))
    return connect(home).frame(_SIDE_BY_SIDE.format(columns=columns, of_selection=OF_SELECTION), values)


def answers(
    home: Home,
    judge_ids: Sequence[str],
    definition: Definition,
    *,
    run_ids: Sequence[str] | None = None,
    question_sets: Sequence[str] | None = None,
) -> Answers:
    """`side_by_side` as arrays, with the definition applied to each judge's kind (`em_core.agreement`)."""
    frame = side_by_side(home, judge_ids, definition.metric, run_ids=run_ids, question_sets=question_sets)
    return Answers.from_frame(frame, list(judge_ids), definition)


def pairs(home: Home) -> pd.DataFrame:
    """One row per two judges that judged the same answers: judge_a, judge_b, n (answers both were asked about), most first."""
    return connect(home).frame(_PAIRS)


def served_models(home: Home, run_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """Which models answered for which judge.

    Args:
        home: Whose runs.
        run_ids: Only judgements written in these runs' folders and in those of later judging (quick at any size); None = all.

    Returns:
        judge_id, served_model (the one asked for where the server named no other), n (judgements), most first.
    """
    return connect(home).frame(
        """
        WITH folders AS (
            SELECT source_run_id AS run_id FROM appearances WHERE list_contains($runs::VARCHAR[], run_id)
            UNION
            SELECT run_id FROM run_totals WHERE n_responses = 0 AND n_judgements > 0
        ), counted AS (
            SELECT judge_id, served_model, sum(n)::BIGINT AS n FROM served
            WHERE $runs IS NULL OR run_id IN (SELECT run_id FROM folders) GROUP BY ALL
        )
        SELECT judge_id, coalesce(served_model, judges.model, '') AS served_model, n
        FROM counted LEFT JOIN judges_once AS judges USING (judge_id) ORDER BY judge_id, n DESC, served_model
        """,
        {"runs": None if run_ids is None else list(run_ids)},
    )
