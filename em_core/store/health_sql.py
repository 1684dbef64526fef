"""The statements of `health.py`."""

from __future__ import annotations

from collections.abc import Sequence

from em_core.store.counts import CARD, JUDGED_BY, common

ANSWER_COLUMNS = (
    "n_total", "n_end_known", "n_truncated", "n_end_guessed", "n_looks_cut", "n_measured", "n_empty", "n_refused", "n_code",
    "n_repeated", "n_overlap_known", "n_overlap", "mean_words", "median_tokens",
)  # fmt: skip
JUDGE_COLUMNS = (
    "n_scored", "n_refusal", "n_code_reason", "n_parse_failure", "n_api_error", "n_truncated_reply", "n_empty_reason",
    "n_other_reason", "n_pending",
)  # fmt: skip

# An answer that was measured twice counts once, with its last measurement: those few are found first,
# because a window over a million answers would cost more than everything else. The judges of a run are
# those of its own answers; a run that nobody judged yet takes its baseline's. `scores` keeps no reason
# for metrics of a rubric of one's own, so for these few (`odd`) the judgements themselves are asked.
_HEALTH = """
WITH shown AS (
    SELECT * FROM appearances
    WHERE ($runs IS NULL OR run_id IN (SELECT unnest($runs::VARCHAR[])))
      AND ($demo IS NULL OR demo = $demo)
      AND ($baselines OR run_kind IS DISTINCT FROM 'baseline')
), places AS (
    SELECT DISTINCT shown.source_run_id, questions.question_set, questions.question_id, shown.run_id, true AS in_domain
    FROM questions JOIN shown ON source_run_id = questions.run_id
    WHERE questions.domain <> '' AND list_contains(string_split(shown.domain, '+'), questions.domain)
), sources AS (
    SELECT DISTINCT source_run_id FROM shown
), elsewhere AS (
    SELECT run_id FROM run_totals WHERE n_responses = 0
), found AS (
    SELECT * EXCLUDE (t), t AS measured_t FROM answer_health WHERE run_id IN (SELECT source_run_id FROM sources)
    UNION ALL
    SELECT * EXCLUDE (t), t AS measured_t FROM answer_health
    WHERE run_id IN (SELECT run_id FROM elsewhere)
      AND response_id IN (SELECT response_id FROM scores WHERE run_id IN (SELECT source_run_id FROM sources))
), twice AS (
    SELECT response_id FROM found GROUP BY response_id HAVING count(*) > 1
), measured AS (
    SELECT * EXCLUDE (run_id, measured_t) FROM found ANTI JOIN twice USING (response_id)
    UNION ALL
    SELECT * EXCLUDE (run_id, measured_t) FROM (
        SELECT * FROM found SEMI JOIN twice USING (response_id)
        QUALIFY row_number() OVER (PARTITION BY response_id ORDER BY measured_t DESC, run_id DESC) = 1
    )
), answers AS (
    SELECT shown.run_id, shown.domain, responses.step, responses.question_set, responses.question_id,
           coalesce(in_domain, false) AS in_domain, coalesce(finish_reason IN ('stop', 'length'), false) AS end_known,
           finish_reason, n_tokens, measured.*
    FROM responses_once AS responses
    JOIN shown ON shown.source_run_id = responses.run_id AND (NOT is_baseline OR responses.step = 0)
    LEFT JOIN places ON places.source_run_id = responses.run_id AND places.question_set = responses.question_set
        AND places.question_id = responses.question_id AND places.run_id = shown.run_id
    LEFT JOIN measured ON measured.response_id = responses.response_id
    WHERE responses.run_id IN (SELECT source_run_id FROM sources)
      AND ($sets IS NULL OR responses.question_set IN (SELECT unnest($sets::VARCHAR[])))
), odd AS (
    SELECT response_id, judge_id FROM scores
    WHERE judge_id IS NOT NULL AND run_id IN (SELECT source_run_id FROM shown)
      AND alignment IS NULL AND coherence IS NULL AND verdict IS NULL AND alignment_reason IS NULL AND verdict_reason IS NULL
      AND coherence_reason IS NULL AND coalesce(cardinality(extra), 0) = 0
), odd_reasons AS (
    SELECT response_id, judge_id, arg_max(unscored_reason, (t, unscored_reason)) AS odd_reason
    FROM judgements SEMI JOIN odd USING (response_id, judge_id) GROUP BY ALL
), cells AS (
    SELECT run_id, step, question_set, question_id, scores.judge_id,
           coalesce(alignment_reason, verdict_reason, coherence_reason, odd_reason, '') AS reason,
           alignment IS NOT NULL OR verdict IS NOT NULL OR coalesce(cardinality(extra), 0) > 0 AS is_scored, count(*) AS n
    FROM scores LEFT JOIN odd_reasons ON odd_reasons.response_id = scores.response_id AND odd_reasons.judge_id = scores.judge_id
    WHERE run_id IN (SELECT source_run_id FROM shown)
      AND ($sets IS NULL OR question_set IN (SELECT unnest($sets::VARCHAR[])))
    GROUP BY ALL
), judging AS (
    SELECT DISTINCT run_id, judge_id FROM cells WHERE judge_id IS NOT NULL
), judged_by AS ({judged_by}
), spread AS (
    SELECT shown.run_id, shown.domain, cells.* EXCLUDE (run_id), coalesce(in_domain, false) AS in_domain
    FROM cells
    JOIN shown ON shown.source_run_id = cells.run_id AND (NOT is_baseline OR cells.step = 0)
    LEFT JOIN places ON places.source_run_id = cells.run_id AND places.question_set = cells.question_set
        AND places.question_id = cells.question_id AND places.run_id = shown.run_id
), unscored AS (
    SELECT {keys}, judge_id, {sums} FROM spread SEMI JOIN judged_by USING (run_id, judge_id) GROUP BY {keys}, judge_id
), signs AS (
    SELECT {sign_keys}, count(*) AS n_total,
           count(*) FILTER (end_known) AS n_end_known,
           count(*) FILTER (finish_reason = 'length') AS n_truncated,
           count(response_id) FILTER (NOT end_known) AS n_end_guessed,
           count(*) FILTER (NOT end_known AND looks_cut) AS n_looks_cut,
           count(response_id) AS n_measured,
           count(*) FILTER (n_chars = 0) AS n_empty,
           count(*) FILTER (refused) AS n_refused,
           count(*) FILTER (code_share > $code) AS n_code,
           count(*) FILTER (repetition > $repeated) AS n_repeated,
           count(overlap_words) AS n_overlap_known,
           count(*) FILTER (overlap_words >= $copied) AS n_overlap,
           avg(n_words) AS mean_words,
           median(n_tokens) AS median_tokens
    FROM {sign_rows} GROUP BY {sign_keys}
), per_judge AS (
    SELECT * FROM {judged_signs} WHERE $judge IS NULL OR judge_id = $judge
), health_by AS (
    SELECT {columns}, {filled} FROM per_judge LEFT JOIN unscored USING ({keys}, judge_id)
)
"""
_REASONS = {
    "n_scored": "is_scored",
    "n_refusal": "NOT is_scored AND reason = 'refusal'",
    "n_code_reason": "NOT is_scored AND reason = 'code'",
    "n_parse_failure": "NOT is_scored AND reason = 'parse_failure'",
    "n_api_error": "NOT is_scored AND reason = 'api_error'",
    "n_truncated_reply": "NOT is_scored AND reason = 'truncated'",
    "n_empty_reason": "NOT is_scored AND reason = 'empty'",
    "n_other_reason": "NOT is_scored AND reason NOT IN ('refusal', 'code', 'parse_failure', 'api_error', 'truncated', 'empty')",
}
_OF_ONE_RUN = """
SELECT health_by.*, {described} FROM health_by JOIN appearances USING (run_id) WHERE NOT is_baseline ORDER BY ALL
"""
# what is known of the pooled runs, null where they differ
_POOLED = """, cards AS (
    SELECT {of_pool}, {described}
    FROM (SELECT DISTINCT {keys}, run_id AS of_run FROM spread) AS pooled
    JOIN appearances AS a ON a.run_id = of_run AND NOT is_baseline GROUP BY {of_pool}
)
SELECT health_by.*, cards.* EXCLUDE ({keys}) FROM health_by JOIN cards USING ({keys}) ORDER BY ALL
"""


def statement(by: Sequence[str], per_question: bool) -> str:
    """The statement for the key columns `by`; its values are runs, sets, judge, demo, baselines, code, repeated, copied."""
    listed = [*by, "question_set", *(["question_id"] if per_question else []), "in_domain"]
    keys, per_run = ", ".join(listed), "run_id" in by
    start = _HEALTH.format(
        keys=keys,
        judged_by=JUDGED_BY,
        sums=", ".join(f"sum(n) FILTER ({condition}) AS {name}" for name, condition in _REASONS.items()) + ", sum(n) AS n_judged",
        sign_keys=keys if per_run else f"{keys}, judge_id",  # all answers of one run have the same judges
        sign_rows="answers" if per_run else "answers LEFT JOIN judged_by USING (run_id)",
        judged_signs="signs LEFT JOIN judged_by USING (run_id)" if per_run else "signs",
        columns=", ".join(f"per_judge.{column}" for column in (*listed, "judge_id", *ANSWER_COLUMNS)),
        filled=", ".join(f"coalesce(unscored.{name}, 0)::BIGINT AS {name}" for name in _REASONS)
        + ", (n_total - coalesce(n_judged, 0))::BIGINT AS n_pending",
    )
    others = [column for column in ("run_id", *CARD) if column not in listed]
    if per_run:
        return start + _OF_ONE_RUN.format(described=", ".join(f"appearances.{column}" for column in others))
    of_pool = ", ".join(f"pooled.{column}" for column in listed)
    return start + _POOLED.format(keys=keys, of_pool=of_pool, described=common(others))


MISSING_BY_RUN = """
SELECT run_id, count(*) AS n
FROM responses_once ANTI JOIN (SELECT response_id FROM answer_health WHERE rules = $rules) USING (response_id)
WHERE $runs IS NULL OR run_id IN (SELECT source_run_id FROM appearances WHERE run_id IN (SELECT unnest($runs::VARCHAR[])))
GROUP BY run_id ORDER BY run_id
"""
MISSING = """
SELECT response_id, text
FROM responses_once ANTI JOIN (SELECT response_id FROM answer_health WHERE rules = $rules) USING (response_id)
WHERE run_id = $run
"""
