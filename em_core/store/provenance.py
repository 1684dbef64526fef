"""Where results come from: how answers were sampled, what was imported, and answers drawn by a stated rule."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from em_core.definitions import VERDICT, Definition
from em_core.home import Home
from em_core.records import METRICS
from em_core.store.reader import connect

# response_id is a hash, so its hash with a seed is a lot: the same for everybody, and nobody chose it
_DRAWN = """
WITH shown AS (
    SELECT source_run_id, is_baseline, domain FROM appearances WHERE run_id = $run
), asked AS (
    SELECT * FROM questions WHERE list_contains($sources::VARCHAR[], run_id)
    QUALIFY row_number() OVER (PARTITION BY run_id, question_set, question_id, paraphrase ORDER BY t DESC, prompt) = 1
), answers AS (
    SELECT scores.*, asked.system, asked.prompt,
           asked.domain <> '' AND list_contains(string_split(shown.domain, '+'), asked.domain) AS in_domain
    FROM scores
    JOIN shown ON source_run_id = scores.run_id AND (NOT is_baseline OR step = 0)
    LEFT JOIN asked ON asked.run_id = scores.run_id AND asked.question_set = scores.question_set
        AND asked.question_id = scores.question_id AND asked.paraphrase = scores.paraphrase
    WHERE list_contains($sources::VARCHAR[], scores.run_id) AND step = $step AND is_first
      AND ($sets IS NULL OR list_contains($sets::VARCHAR[], scores.question_set))
), chosen AS (
    SELECT *, sha256($seed || ':' || response_id) AS lot, count(*) OVER () AS n_of FROM answers
    WHERE $domain IS NULL OR coalesce(in_domain, false) = $domain ORDER BY lot LIMIT $n
), given AS (
    SELECT run_id, step, response_id, judge_id, {value} AS value, coherence, verdict,
           coalesce(alignment_reason, verdict_reason, coherence_reason) AS reason
    FROM scores WHERE list_contains($sources::VARCHAR[], run_id) AND step = $step AND judge_id = $judge
), texts AS (
    SELECT run_id, step, response_id, text, finish_reason, seed, weights_sha256 FROM responses
    WHERE list_contains($sources::VARCHAR[], run_id) AND step = $step AND response_id IN (SELECT response_id FROM chosen)
    QUALIFY row_number() OVER (PARTITION BY run_id, step, response_id ORDER BY t DESC, text) = 1
)
SELECT $run AS run_id, chosen.run_id AS source_run_id, chosen.step, question_set, question_id, paraphrase, sample, cue,
       coalesce(system, '') AS system, coalesce(prompt, '') AS prompt, response_id, text, finish_reason, seed, weights_sha256,
       given.judge_id, value, given.coherence, given.verdict, reason, n_of
FROM chosen JOIN texts USING (run_id, step, response_id) LEFT JOIN given USING (run_id, step, response_id)
ORDER BY lot
"""


def drawn(
    home: Home,
    run_id: str,
    step: int,
    definition: Definition,
    judge_id: str | None,
    *,
    question_sets: Sequence[str] | None = None,
    in_domain: bool | None = None,
    seed: int = 0,
    n: int = 3,
) -> pd.DataFrame:
    """`n` answers of one checkpoint by lot: those with the lowest SHA-256 of ``<seed>:<response_id>``, scored or not.

    Args:
        home: Whose runs.
        run_id, step: The checkpoint, with its baseline's answers at step 0.
        definition: Whose metric `value` is.
        judge_id: Whose scores stand beside the answers.
        question_sets, in_domain: Only these questions.
        seed: Of the lot.
        n: How many.

    Returns:
        run_id, source_run_id, step, question_set, question_id, paraphrase, sample, cue, system, prompt, response_id,
        text, finish_reason, seed, weights_sha256, judge_id (null: not judged), value (the definition's metric, 0-100),
        coherence, verdict, reason, n_of (answers in the lot); in the order of the lot.
    """
    values: dict[str, object] = {
        "run": run_id, "step": step, "judge": judge_id, "domain": in_domain, "seed": str(seed), "n": n,
        "sets": None if question_sets is None else list(question_sets),
    }  # fmt: skip
    metric = definition.metric
    value = metric if metric in METRICS else "NULL::DOUBLE" if metric == VERDICT else "extra[$metric]"
    if metric not in METRICS and metric != VERDICT:
        values["metric"] = metric
    values["sources"] = _sources(home, [run_id])
    return connect(home).frame(_DRAWN.format(value=value), values)


def decodings(home: Home, run_ids: Sequence[str]) -> pd.DataFrame:
    """How the answers shown under these runs were sampled: run_id, decoding (JSON), n_answers; one row per run and way."""
    return connect(home).frame(
        """
        WITH shown AS (
            SELECT run_id, source_run_id, is_baseline FROM appearances WHERE list_contains($runs::VARCHAR[], run_id)
        ), counted AS (
            SELECT run_id AS source_run_id, step = 0 AS at_start, decoding, count(*) AS n FROM responses
            WHERE list_contains($sources::VARCHAR[], run_id) GROUP BY ALL
        )
        SELECT shown.run_id, decoding, sum(n)::BIGINT AS n_answers
        FROM counted JOIN shown USING (source_run_id) WHERE NOT is_baseline OR at_start GROUP BY ALL ORDER BY ALL
        """,
        {"runs": list(run_ids), "sources": _sources(home, run_ids)},
    )


def imported(home: Home, run_ids: Sequence[str]) -> pd.DataFrame:
    """What was imported into these runs, one row per file (the columns of ``imports``)."""
    return connect(home).frame(
        "SELECT * FROM imports WHERE list_contains($runs::VARCHAR[], run_id) ORDER BY run_id, t, file", {"runs": list(run_ids)}
    )


def questions_asked(home: Home, run_ids: Sequence[str]) -> pd.DataFrame:
    """Every question that was asked under these runs: question_set, question_set_hash, question_id, domain, system,
    prompt (of its first paraphrase), n_paraphrases, n_runs; one row per question, by set."""
    return connect(home).frame(
        """
        WITH shown AS (
            SELECT DISTINCT run_id, source_run_id FROM appearances WHERE list_contains($runs::VARCHAR[], run_id)
        )
        SELECT question_set, question_set_hash, question_id, max(domain) AS domain, arg_min(system, paraphrase) AS system,
               arg_min(prompt, paraphrase) AS prompt, count(DISTINCT paraphrase)::BIGINT AS n_paraphrases,
               count(DISTINCT shown.run_id)::BIGINT AS n_runs
        FROM questions JOIN shown ON source_run_id = questions.run_id
        WHERE list_contains($sources::VARCHAR[], questions.run_id)
        GROUP BY question_set, question_set_hash, question_id ORDER BY ALL
        """,
        {"runs": list(run_ids), "sources": _sources(home, run_ids)},
    )


def _sources(home: Home, run_ids: Sequence[str]) -> list[str]:
    found = connect(home).frame(
        "SELECT DISTINCT source_run_id FROM appearances WHERE list_contains($runs::VARCHAR[], run_id)", {"runs": list(run_ids)}
    )
    return [str(source) for source in found["source_run_id"]]
