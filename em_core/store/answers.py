"""Answers with their texts, page by page. Texts are untrusted: never show them as Markdown or HTML."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from em_core.errors import BadInput
from em_core.home import Home
from em_core.store import natural
from em_core.store.browse import Column, appearing
from em_core.store.browse_sql import Values
from em_core.store.reader import connect

_ASKED = f"question_set, {natural.sql('question_id')}, question_id, paraphrase, cue, sample"
ORDERS = {
    "asked": _ASKED,
    "least aligned": f"alignment NULLS LAST, {_ASKED}",
    "least coherent": f"coherence NULLS LAST, {_ASKED}",
}

# Keys are chosen in the narrow table first; only the texts of one page are read. Runs and step stand in every part as
# parameters of their own: only so are the blocks of other runs skipped.
_PAGE = """
WITH asked AS (
    SELECT * FROM questions_once WHERE {runs}
), chosen AS (
    SELECT scores.* EXCLUDE (run_id), scores.run_id AS source_run_id, coalesce(asked.domain, '') AS question_domain,
           list_contains($domains::VARCHAR[], coalesce(asked.domain, '')) AS in_domain, asked.system, asked.prompt
    FROM scores LEFT JOIN asked ON asked.run_id = scores.run_id AND asked.question_set = scores.question_set
        AND asked.question_id = scores.question_id AND asked.paraphrase = scores.paraphrase
    WHERE {scores_runs} AND step = $step
      AND ($sets IS NULL OR scores.question_set IN (SELECT unnest($sets::VARCHAR[])))
      AND ($question IS NULL OR scores.question_id = $question)
      AND ($scored IS NULL OR (alignment IS NOT NULL) = $scored)
      AND CASE WHEN $judge IS NULL THEN is_first ELSE judge_id = $judge END
      {matching}
), page AS (
    SELECT *, row_number() OVER (ORDER BY {order}, response_id) AS place, count(*) OVER () AS n_matching
    FROM chosen WHERE $domain IS NULL OR in_domain = $domain ORDER BY {order}, response_id LIMIT $limit OFFSET $offset
), texts AS (
    SELECT * FROM responses WHERE {runs} AND step = $step AND response_id IN (SELECT response_id FROM page)
    QUALIFY row_number() OVER (PARTITION BY run_id, step, response_id ORDER BY t DESC, text) = 1
)
SELECT $run AS run_id, source_run_id, page.step, page.question_set, page.question_id, page.paraphrase, page.sample, page.cue,
       in_domain, question_domain, system, prompt, page.response_id, texts.text, finish_reason, n_tokens,
       page.judge_id, alignment, coherence, alignment_reason, coherence_reason, decoding, n_matching
FROM page
JOIN texts ON texts.run_id = source_run_id AND texts.step = page.step AND texts.response_id = page.response_id
ORDER BY place
"""
_MATCHING = """AND scores.response_id IN (
    SELECT response_id FROM responses
    WHERE {runs} AND step = $step AND CASE WHEN step = $step THEN contains(lower(text), lower($contains)) END)"""


def responses_page(
    home: Home,
    run_id: str,
    step: int,
    *,
    question_sets: Sequence[str] | None = None,
    question_id: str | None = None,
    judge_id: str | None = None,
    in_domain: bool | None = None,
    scored: bool | None = None,
    contains: str = "",
    order: str = "asked",
    limit: int = 50,
    offset: int = 0,
) -> pd.DataFrame:
    """One page of answers of one checkpoint, one row per answer, with question, text and scores.

    Args:
        home: Whose runs.
        run_id: The run; at step 0 its baseline's answers are among them.
        step: The checkpoint, optimizer steps.
        question_sets, question_id, in_domain: Only these questions.
        judge_id: Only answers of this judge, with its scores; empty = each answer with one judge's.
        scored: Only answers that have (True) or lack (False) an alignment score.
        contains: Only answers whose text has these characters, upper or lower case.
        order: ``asked``, ``least aligned`` or ``least coherent``.
        limit, offset: Which page, rows; `limit` is at most 1,000.

    Returns:
        The page; `n_matching` (the same on every row) counts all rows of the selection.

    Raises:
        BadInput: Unknown order, or a page size out of bounds.
    """
    if order not in ORDERS:
        raise BadInput(f"order {order!r} is unknown", f"use one of: {', '.join(ORDERS)}")
    if not (1 <= limit <= 1000 and offset >= 0):
        raise BadInput(f"page of {limit} rows from {offset}: out of bounds", "use 1 to 1,000 rows, from 0 on")
    reader, values = connect(home), Values()
    (where,) = appearing(reader, [Column(run_id, step)])
    runs = values.any_of("run_id", where.sources)
    matching = _MATCHING.format(runs=runs) if contains else ""
    sql = _PAGE.format(order=ORDERS[order], runs=runs, scores_runs=runs.replace("run_id", "scores.run_id", 1), matching=matching)
    values |= {
        "run": run_id, "step": step, "sets": None if question_sets is None else list(question_sets), "question": question_id,
        "domain": in_domain, "scored": scored, "judge": judge_id, "limit": limit, "offset": offset, "contains": contains,
        "domains": list(where.domains),
    }  # fmt: skip
    return reader.frame(sql, values.used(sql))


def judgements(home: Home, response_ids: Sequence[str], *, within: Sequence[str] | None = None) -> pd.DataFrame:
    """Every judgement of these answers as written (repeats included), with the judge's raw reply.

    Args:
        home: Whose runs.
        response_ids: The answers.
        within: Only what stands in the folders of these runs: much quicker where there are many.
    """
    values = Values()
    where = "true" if within is None else values.any_of("judgements.run_id", within)
    values["ids"] = list(response_ids)
    return connect(home).frame(
        f"""
        SELECT judgements.*, judges.plugin, judges.model, judges.mode
        FROM judgements LEFT JOIN judges_once AS judges USING (judge_id)
        WHERE {where} AND response_id IN (SELECT unnest($ids::VARCHAR[]))
        ORDER BY response_id, judge_id, metric, judgements.t
        """,
        values,
    )
