"""What there is to choose from: runs, question sets and judges, without reading a single score."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from em_core.definitions import VERDICT, Definition
from em_core.home import Home
from em_core.records import METRICS, SIDE_KINDS
from em_core.store.reader import connect

# The judges of a run are those of its own answers; a run that nobody judged yet takes its baseline's.
_CONTENTS = """
WITH shown AS (
    SELECT * FROM appearances WHERE NOT list_contains($side, run_kind) OR run_kind IS NULL
), found AS (
    SELECT shown.run_id, is_baseline, step, question_set, judge_id, n_answers, n_alignment, n_coherence, n_verdict, extra_metrics,
           question_domain <> '' AND list_contains(string_split(shown.domain, '+'), question_domain) AS in_domain
    FROM contents JOIN shown ON source_run_id = contents.run_id AND (NOT is_baseline OR step = 0)
), judged AS (
    SELECT run_id, judge_id FROM found GROUP BY ALL
    HAVING judge_id IS NOT NULL AND (
            bool_or(NOT is_baseline)
            OR run_id NOT IN (SELECT run_id FROM found WHERE judge_id IS NOT NULL AND NOT is_baseline)
        ) OR judge_id IS NULL AND run_id NOT IN (SELECT run_id FROM found WHERE judge_id IS NOT NULL)
), counted AS (
    SELECT run_id, question_set, in_domain, judge_id, count(DISTINCT step) AS n_steps, min(step) AS first_step,
           max(step) AS last_step, sum(n_answers)::BIGINT AS n_answers, sum(n_alignment)::BIGINT AS n_alignment,
           sum(n_coherence)::BIGINT AS n_coherence, sum(n_verdict)::BIGINT AS n_verdict,
           list_sort(list_distinct(flatten(list(extra_metrics)))) AS extra_metrics
    FROM found SEMI JOIN judged ON judged.run_id = found.run_id AND judged.judge_id IS NOT DISTINCT FROM found.judge_id
    GROUP BY ALL
)
SELECT counted.run_id, cards.* EXCLUDE (run_id, source_run_id, is_baseline), created_t, counted.* EXCLUDE (run_id)
FROM counted
JOIN (SELECT * FROM appearances WHERE NOT is_baseline) AS cards USING (run_id)
LEFT JOIN (SELECT run_id, min(t) AS created_t FROM run_created GROUP BY run_id) USING (run_id)
ORDER BY created_t DESC NULLS LAST, counted.run_id, question_set, in_domain, judge_id
"""


def contents(home: Home) -> pd.DataFrame:
    """One row per run, question set, in_domain and judge that scored something of it; newest run first.

    Returns:
        run_id, run_kind, label, experiment, base_model, size_b (billions), domain, demo, toy, created_t
        (seconds since 1970), question_set, in_domain, judge_id, n_steps, first_step, last_step, n_answers
        (that the judge was asked about), n_alignment, n_coherence, n_verdict, extra_metrics (list). Runs that
        only hold something of others (`SIDE_KINDS`) have no rows; runs that nobody judged have judge_id null.
    """
    return connect(home).frame(_CONTENTS, {"side": list(SIDE_KINDS)})


def column_of(definition: Definition) -> str | None:
    """The column that counts answers with what the definition looks at; None for a rubric's own metric (`extra_metrics`)."""
    return f"n_{definition.metric}" if definition.metric in (*METRICS, VERDICT) else None


def given(contents: pd.DataFrame, definition: Definition) -> pd.Series:
    """How many answers of each row have what the definition looks at: its verdict or metric. Shape (rows,).

    Of a rubric's own metric only its name is known here: it counts as given to all answers that the judge was asked about.
    """
    column = column_of(definition)
    if column is not None:
        return contents[column]
    has = contents["extra_metrics"].map(lambda names: definition.metric in list(names)).astype(bool)
    return contents["n_answers"].where(has, 0)


def steps(home: Home, run_ids: Sequence[str]) -> pd.DataFrame:
    """Every answered step of these runs: run_id, step, n_answers; by run and step."""
    return connect(home).frame(
        """
        SELECT shown.run_id, step, max(n)::BIGINT AS n_answers
        FROM (SELECT run_id, step, judge_id, sum(n_answers) AS n FROM contents GROUP BY ALL) AS counted
        JOIN appearances AS shown ON source_run_id = counted.run_id AND (NOT is_baseline OR step = 0)
        WHERE list_contains($runs, shown.run_id) GROUP BY ALL ORDER BY ALL
        """,
        {"runs": list(run_ids)},
    )
