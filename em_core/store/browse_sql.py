"""The statements behind `em_core.store.browse`. Values are always parameters; only names and signs are written in.

Each run is compared with its own parameter (``run_id IN ($s0, $s1)``): only so does DuckDB skip the blocks of other
runs, and each text is looked at behind a CASE: else DuckDB would search the texts of all runs and filter afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from em_core.definitions import Definition
from em_core.store import natural
from em_core.store.counts import answer_conditions

KEYS = "question_set, question_id, paraphrase, cue"
_IN_ORDER = f"question_set, {natural.sql('question_id')}, question_id, paraphrase, cue"
_NARROW = (
    f"run_id, step, {KEYS}, sample, response_id, response_t, alignment, coherence, alignment_reason, coherence_reason, "
    "verdict, verdict_reason, extra"
)
_NULLED = ", ".join(
    f"NULL AS {name}"
    for name in ("alignment", "coherence", "alignment_reason", "coherence_reason", "verdict", "verdict_reason", "extra")
)
_ONE_PER_ANSWER = """
SELECT {place} AS place, {narrow}, true AS asked FROM scores
WHERE {where} AND {of_judge}
UNION ALL BY NAME
SELECT {place} AS place, {keys}, {nulled}, false AS asked FROM scores
WHERE {where} AND {other_judge} AND response_id NOT IN (SELECT response_id FROM scores WHERE {where} AND {of_judge})
"""


class Values(dict[str, Any]):
    """The parameters of a statement, collected while it is written."""

    def add(self, value: object, prefix: str = "v") -> str:
        """Take a value; returns how the statement names it."""
        name = f"{prefix}{len(self)}"
        self[name] = value
        return f"${name}"

    def used(self, statement: str) -> dict[str, Any]:
        """Those that the statement names; DuckDB refuses others."""
        return {name: self[name] for name in set(re.findall(r"\$(\w+)", statement))}

    def any_of(self, column: str, wanted: Sequence[object]) -> str:
        """Condition: the column is one of the values (false for none)."""
        return f"{column} IN ({', '.join(self.add(value) for value in wanted)})" if wanted else "false"


def one_per_answer(values: Values, place: int, where: str, judge_id: str | None, all_asked: bool = False) -> str:
    """One row per answer that `where` (on `scores`) lets through, with the scores of one judge, or nulls where it gave none.

    Args:
        values: Where parameters go.
        place: Number of the column.
        where: Condition on `scores`.
        judge_id: Whose scores.
        all_asked: It is known that this judge was asked about each of them: much quicker for many.
    """
    keys = f"run_id, step, {KEYS}, sample, response_id, response_t"
    if judge_id is None:
        return f"SELECT {place} AS place, {keys}, {_NULLED}, false AS asked FROM scores WHERE ({where}) AND is_first"
    judge = values.add(judge_id)
    if all_asked:
        return f"SELECT {place} AS place, {_NARROW}, true AS asked FROM scores WHERE ({where}) AND judge_id = {judge}"
    return _ONE_PER_ANSWER.format(
        place=place, narrow=_NARROW, keys=keys, nulled=_NULLED, where=f"({where})", of_judge=f"judge_id = {judge}",
        other_judge=f"is_first AND judge_id IS DISTINCT FROM {judge}",
    )  # fmt: skip


def outcome(values: Values, definition: Definition) -> str:
    """What an answer is under a definition: misaligned, aligned, incoherent (the gate) or unscored."""
    limits: dict[str, Any] = {}
    rule = answer_conditions(definition, limits)
    values |= limits
    return f"""CASE WHEN ({rule["scored"]}) IS NOT TRUE THEN 'unscored' WHEN ({rule["coherent"]}) IS NOT TRUE THEN 'incoherent'
        WHEN {rule["misaligned"]} THEN 'misaligned' ELSE 'aligned' END"""


BADNESS = "alignment NULLS LAST, list_position(['misaligned', 'aligned', 'incoherent', 'unscored'], outcome)"
"""Least aligned first; verdicts, which have no number, by their outcome."""

# Rows of the comparison: one per question, paraphrase and cue. `judged` has one row per column (`place`) and answer.
# Which outcome a cell has is what most of its scored answers have, the worse one of two equals.
GRID = f"""
WITH answers AS MATERIALIZED ({{answers}}
), texts AS ({{texts}}
), judged AS MATERIALIZED (
    SELECT answers.*, {{outcome}} AS outcome, {{n_chars}} AS n_chars, {{finish_reason}} AS finish_reason, {{hit}} AS hit
    FROM answers {{join}}
), marked AS (
    SELECT *, place = $baseline AND $compared OR ({{matching}}) AS is_shown, {{matching}} AS matches FROM judged
    WHERE {{of_questions}}
), tallies AS (
    SELECT {KEYS}, place, count(*) FILTER (matches) AS n_matching, min(alignment) FILTER (matches) AS alignment,
           min(coherence) FILTER (matches) AS coherence, max(n_chars) FILTER (matches) AS n_chars, avg(alignment) AS mean,
           min(list_position(['misaligned', 'aligned', 'incoherent', 'unscored'], outcome)) FILTER (matches) AS worst,
           count(*) FILTER (outcome = 'misaligned') AS bad, count(*) FILTER (outcome = 'aligned') AS good,
           count(*) FILTER (outcome = 'incoherent') AS gated
    FROM marked GROUP BY ALL
), said AS (
    SELECT *, CASE WHEN bad + good + gated = 0 THEN 'unscored' WHEN bad >= greatest(good, gated) THEN 'misaligned'
                   WHEN gated >= good THEN 'incoherent' ELSE 'aligned' END AS most,
           bad / nullif(bad + good + gated, 0) AS share
    FROM tallies
), lines AS (
    SELECT one.question_set, one.question_id, one.paraphrase, one.cue,
           sum(one.n_matching) FILTER (NOT ($compared AND one.place = $baseline)) AS n_matching,
           min(one.alignment) FILTER (NOT ($compared AND one.place = $baseline)) AS row_alignment,
           min(one.worst) FILTER (NOT ($compared AND one.place = $baseline)) AS worst,
           min(one.coherence) FILTER (NOT ($compared AND one.place = $baseline)) AS row_coherence,
           max(one.n_chars) FILTER (NOT ($compared AND one.place = $baseline)) AS row_n_chars,
           coalesce(bool_or(one.most <> base.most AND one.most <> 'unscored' AND base.most <> 'unscored'), false) AS differs,
           max(abs(one.share - base.share)) AS difference, max(abs(one.mean - base.mean)) AS mean_difference
    FROM said AS one LEFT JOIN (SELECT * FROM said WHERE place = $baseline) AS base
        ON base.question_set = one.question_set AND base.question_id = one.question_id
        AND base.paraphrase = one.paraphrase AND base.cue = one.cue
    GROUP BY ALL
), page AS (
    SELECT *, row_number() OVER (ORDER BY {{order}}, {_IN_ORDER}) AS row_number, count(*) OVER () AS n_rows,
           sum(n_matching) OVER ()::BIGINT AS n_answers,
           substr(md5(concat_ws(chr(31), question_set, question_id, paraphrase, cue)), 1, 8) AS row_id
    FROM lines WHERE n_matching > 0 AND (NOT $differs OR differs)
    ORDER BY row_number LIMIT $limit OFFSET $offset
), numbered AS (
    SELECT page.row_id, page.row_number, page.n_rows, page.n_answers, page.differs, page.difference, marked.*,
           row_number() OVER (PARTITION BY row_id, place ORDER BY {{inner_order}}, sample, marked.response_id) AS k,
           count(*) OVER (PARTITION BY row_id, place) AS n_shown
    FROM marked JOIN page ON page.question_set = marked.question_set AND page.question_id = marked.question_id
        AND page.paraphrase = marked.paraphrase AND page.cue = marked.cue
    WHERE is_shown
)
SELECT numbered.* EXCLUDE (hit, n_chars, finish_reason, is_shown, extra), bad, good, gated, bad + good + gated AS n_scored,
       n_all.n AS n_all
FROM numbered
JOIN said ON said.place = numbered.place AND said.question_set = numbered.question_set AND said.paraphrase = numbered.paraphrase
    AND said.question_id = numbered.question_id AND said.cue = numbered.cue
JOIN (SELECT {KEYS}, place, count(*) AS n FROM marked GROUP BY ALL) AS n_all
    ON n_all.place = numbered.place AND n_all.question_set = numbered.question_set AND n_all.paraphrase = numbered.paraphrase
    AND n_all.question_id = numbered.question_id AND n_all.cue = numbered.cue
WHERE k = least(coalesce($at_samples[list_position($at_cells, row_id || '.' || numbered.place)], $sample), n_shown)
ORDER BY row_number, numbered.place
"""

# One row per answer.
FOUND = """
WITH answers AS ({answers}
), judged AS (
    SELECT *, {outcome} AS outcome FROM answers
), texts AS ({texts}
), matching AS (
    SELECT judged.*, {n_chars} AS n_chars FROM judged {join} WHERE {matching} AND {of_questions}
)
"""
COUNT = "SELECT count(*) AS n_rows FROM matching"
LISTING = f"""SELECT matching.* EXCLUDE (extra){{n_rows}} FROM matching LEFT JOIN ({natural.PLACES}) USING (question_id)
ORDER BY {{order}}, run_id, step, question_set, question_place, question_id, paraphrase, cue, sample, response_id
LIMIT $limit OFFSET $offset
"""

# The texts of few answers, cut to what is shown; a hit of the search is marked, by the database's own engine.
TEXTS = """
SELECT run_id, step, response_id, {shown} AS text, {excerpt} AS excerpt, length(text) AS n_chars, finish_reason, n_tokens,
       n_prompt_tokens, seed, decoding, weights_sha256
FROM responses
WHERE ({where}) AND list_contains($ids::VARCHAR[], response_id)
QUALIFY row_number() OVER (PARTITION BY run_id, step, response_id ORDER BY t DESC, responses.text) = 1
"""
