"""The scored answers of a selection as the beginning of a statement: each under its run, with what the definition looks at."""

from __future__ import annotations

from typing import Any

import duckdb

from em_core.definitions import VERDICT
from em_core.errors import BadInput
from em_core.records import METRICS
from em_core.selection import Selection
from em_core.store.means import LAST, LAST_STEP, Steps

# The runs' scores are named as literals, so that DuckDB skips all other rows. `chosen` has one row per answer and
# judge; `score` is what the definition looks at (alignment for verdicts).
_CHOSEN = """
WITH shown AS (
    SELECT * FROM appearances WHERE list_contains($runs, run_id)
    QUALIFY NOT is_baseline OR row_number() OVER (PARTITION BY is_baseline, {once} ORDER BY run_id) = 1
), topics AS (
    SELECT run_id, question_set, question_id, max(domain) AS topic FROM questions
    WHERE domain <> '' AND list_contains($sources, run_id) GROUP BY ALL
), under AS (
    SELECT shown.run_id, shown.label, shown.domain, scores.run_id AS source_run_id, scores.* EXCLUDE (run_id),
           {score} AS score, coalesce(list_contains(string_split(shown.domain, '+'), topic), false) AS in_domain
    FROM scores
    JOIN shown ON source_run_id = scores.run_id AND (NOT is_baseline OR scores.step = 0)
    LEFT JOIN topics ON topics.run_id = scores.run_id AND topics.question_set = scores.question_set
        AND topics.question_id = scores.question_id
    WHERE list_contains($sources, scores.run_id) AND ($sets IS NULL OR list_contains($sets, scores.question_set))
), chosen AS (
    SELECT * FROM under WHERE ($in_domain IS NULL OR in_domain = $in_domain) AND {step}
)
"""


def chosen(
    cursor: duckdb.DuckDBPyConnection, selection: Selection, steps: Steps, domains_apart: int = 0
) -> tuple[str, dict[str, Any]]:
    """``chosen`` and the values of its statement; ``$judge`` is among them.

    Columns: run_id, label, domain, source_run_id, in_domain, score, and those of `scores`; all judges. Answers of a
    starting model that several runs share stand under the first of these runs, so that they are counted once. Where at
    most `domains_apart` training domains are looked at, each apart, they stand under the first run of each domain; so they
    do where the selection asks which questions are in the run's own domain, which only the run can say.

    Raises:
        BadInput: No judge, or no runs are named.
    """
    if selection.judge_id is None or selection.run_ids is None:
        raise BadInput("answers: no judge or no runs are chosen", "choose a judge and at least one run")
    rule = selection.rule
    runs = list(selection.run_ids)
    held = cursor.execute(
        "SELECT DISTINCT source_run_id, domain FROM appearances WHERE list_contains($runs, run_id)", {"runs": runs}
    ).fetchall()
    by_domain = len({domain for _, domain in held}) <= domains_apart or selection.in_domain is not None or selection.pooled
    values: dict[str, Any] = {
        "runs": runs, "sources": sorted({source for source, _ in held}),
        "sets": None if selection.question_sets is None else list(selection.question_sets),
        "judge": selection.judge_id, "in_domain": selection.in_domain,
    }  # fmt: skip
    score = "alignment" if rule.metric == VERDICT else rule.metric
    if score not in METRICS:
        values["metric"], score = rule.metric, "extra[$metric]"
    step = "true"
    if steps == LAST:
        step = LAST_STEP
    elif steps is not None:
        values["steps"], step = [int(number) for number in steps], "list_contains($steps, step)"
    partition = "source_run_id, domain" if by_domain else "source_run_id"
    return _CHOSEN.format(score=f"scores.{score}", step=step, once=partition), values
