"""Answers that a judge has not scored: how many, and page by page with their texts.

What a judge would score of an answer is Python's to know (`Judge.metrics`) and depends on the
question and the run's domain only; it comes in as `Wanted` rows. An answer is unjudged while one of
these metrics has neither a value nor a reason other than a failed call. Texts are read for one page
at a time; the pages of a group go by `response_id`, a digest, so that they are in no telling order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from em_core.home import Home
from em_core.store.reader import connect

PAGE = 1000


@dataclass(frozen=True)
class Scope:
    """Which answers.

    Args:
        run_ids: Runs whose own folders hold them (`with_baselines`); None = all.
        question_sets: Only these; None = all.
        steps: Only these steps; None = all.
        last: Also the last answered step of each run that is no baseline (matters only with `steps`).
    """

    run_ids: tuple[str, ...] | None = None
    question_sets: tuple[str, ...] | None = None
    steps: tuple[int, ...] | None = None
    last: bool = False

    def parameters(self) -> dict[str, Any]:
        """For the statements below."""
        listed = {"runs": self.run_ids, "sets": self.question_sets, "steps": self.steps}
        return {**{key: None if value is None else list(value) for key, value in listed.items()}, "last": self.last}


@dataclass(frozen=True)
class Wording:
    """A question as it was asked in this scope; `domain` is what the model that answered was trained on (empty at step 0)."""

    question_set: str
    question_set_hash: str
    question_id: str
    system: str
    prompt: str
    domain: str


@dataclass(frozen=True)
class Wanted:
    """The metrics that a judge scores of the answers to one question."""

    question_set: str
    question_set_hash: str
    question_id: str
    domain: str
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """The answers of one run and step.

    Args:
        run_id, step: Where they are.
        n_answers: All in scope.
        n_unjudged: Those that miss a score.
        n_scores: Scores that they miss.
        n_unasked: Those that the judge scores nothing of, or whose question is not recorded.
    """

    run_id: str
    step: int
    n_answers: int
    n_unjudged: int
    n_scores: int
    n_unasked: int


@dataclass(frozen=True)
class Unjudged:
    """One answer with what a judge needs to know; `scored` are the metrics that are there already."""

    response_id: str
    question_set: str
    question_set_hash: str
    question_id: str
    sample: int
    system: str
    prompt: str
    text: str
    finish_reason: str
    domain: str
    scored: list[str]


_ANSWERS = """
WITH lasts AS (SELECT run_id, max(step) AS step FROM scores GROUP BY run_id),
answers AS (
    SELECT scores.run_id, scores.step, scores.question_set, scores.question_id, scores.paraphrase, sample, response_id,
           CASE WHEN scores.step > 0 THEN coalesce(cards.domain, '') ELSE '' END AS domain,
           questions.prompt, coalesce(questions.system, '') AS system,
           coalesce(questions.question_set_hash, '') AS question_set_hash
    FROM scores
    LEFT JOIN created_once AS cards ON cards.run_id = scores.run_id
    LEFT JOIN lasts ON lasts.run_id = scores.run_id
    LEFT JOIN questions_once AS questions
        ON questions.run_id = scores.run_id AND questions.question_set = scores.question_set
        AND questions.question_id = scores.question_id AND questions.paraphrase = scores.paraphrase
    WHERE is_first {where}
      AND ($runs IS NULL OR scores.run_id IN (SELECT unnest($runs::VARCHAR[])))
      AND ($sets IS NULL OR scores.question_set IN (SELECT unnest($sets::VARCHAR[])))
      AND ($steps IS NULL OR list_contains($steps::BIGINT[], scores.step)
           OR ($last AND scores.step = lasts.step AND cards.run_kind IS DISTINCT FROM 'baseline'))
)"""
_OF_ANSWERS = "AND response_id IN (SELECT response_id FROM answers)"
# wanted metrics as a comma-separated text: metric names are plain words
_MISSING = (
    _ANSWERS
    + """, wanted AS (
    SELECT unnest($w_sets::VARCHAR[]) AS question_set, unnest($w_hashes::VARCHAR[]) AS question_set_hash,
           unnest($w_ids::VARCHAR[]) AS question_id, unnest($w_domains::VARCHAR[]) AS domain,
           string_split(unnest($w_metrics::VARCHAR[]), ',') AS metrics
), scored AS (
    SELECT response_id, list(DISTINCT metric) AS metrics FROM judgements
    WHERE judge_id = $judge AND unscored_reason IS DISTINCT FROM 'api_error' {of_answers}
    GROUP BY response_id
), looked AS (
    SELECT answers.*, coalesce(scored.metrics, []) AS scored, wanted.metrics IS NULL AS unasked,
           coalesce(len(wanted.metrics) - len(list_intersect(wanted.metrics, coalesce(scored.metrics, []))), 0) AS n_missing
    FROM answers
    LEFT JOIN wanted USING (question_set, question_set_hash, question_id, domain)
    LEFT JOIN scored USING (response_id)
)"""
)


def with_baselines(home: Home, run_ids: Sequence[str]) -> list[str]:
    """These runs and the runs that hold the step 0 which they share, each once."""
    with connect(home).cursor() as cursor:
        rows = cursor.execute(
            """SELECT DISTINCT source_run_id FROM appearances
            WHERE run_id IN (SELECT unnest($runs::VARCHAR[])) ORDER BY source_run_id""",
            {"runs": list(run_ids)},
        ).fetchall()
    return [name for (name,) in rows]


def judged_by(home: Home, judge_id: str) -> set[str]:
    """Runs that this judge is, or was, at work in."""
    with connect(home).cursor() as cursor:
        rows = cursor.execute("SELECT DISTINCT run_id FROM judges WHERE judge_id = ?", [judge_id]).fetchall()
    return {name for (name,) in rows}


def wordings(home: Home, scope: Scope) -> list[Wording]:
    """Every question of the scope as it was asked, once per set, version, domain (and one of its paraphrases)."""
    sql = (
        _ANSWERS.format(where="")
        + """ SELECT question_set, question_set_hash, question_id, min(system), min(prompt), domain FROM answers
        WHERE prompt IS NOT NULL GROUP BY question_set, question_set_hash, question_id, domain
        ORDER BY question_set, question_set_hash, question_id, domain"""
    )
    with connect(home).cursor() as cursor:
        return [Wording(*row) for row in cursor.execute(sql, scope.parameters()).fetchall()]


def groups(home: Home, judge_id: str, scope: Scope, wanted: Sequence[Wanted]) -> list[Group]:
    """What there is and what is missing, one entry per run and step, in that order."""
    sql = (
        _MISSING.format(where="", of_answers="" if scope.run_ids is None else _OF_ANSWERS)
        + """ SELECT run_id, step, count(*), count(*) FILTER (n_missing > 0), sum(n_missing)::BIGINT, count(*) FILTER (unasked)
        FROM looked GROUP BY run_id, step ORDER BY run_id, step"""
    )
    with connect(home).cursor() as cursor:
        return [Group(*row) for row in cursor.execute(sql, _parameters(judge_id, scope, wanted)).fetchall()]


def pages(
    home: Home, judge_id: str, scope: Scope, wanted: Sequence[Wanted], group: Group, limit: int = PAGE
) -> Iterator[list[Unjudged]]:
    """The group's unjudged answers, at most `limit` at a time, read when they are asked for."""
    sql = (
        _MISSING.format(
            where="AND scores.run_id = $run AND scores.step = $step AND response_id > $after",
            of_answers=_OF_ANSWERS,
        )
        + """, page AS (SELECT * FROM looked WHERE n_missing > 0 ORDER BY response_id LIMIT $limit),
        texts AS (
            SELECT response_id, text, finish_reason FROM responses
            WHERE run_id = $run AND step = $step AND response_id IN (SELECT response_id FROM page)
            QUALIFY row_number() OVER (PARTITION BY response_id ORDER BY t DESC, text) = 1
        )
        SELECT response_id, question_set, question_set_hash, question_id, sample, system, prompt, text, finish_reason, domain,
               scored
        FROM page JOIN texts USING (response_id) ORDER BY response_id"""
    )
    fixed = {**_parameters(judge_id, scope, wanted), "run": group.run_id, "step": group.step, "limit": limit}
    after = ""
    while True:
        with connect(home).cursor() as cursor:
            rows = cursor.execute(sql, {**fixed, "after": after}).fetchall()
        if rows:
            yield [Unjudged(*row) for row in rows]
            after = rows[-1][0]
        if len(rows) < limit:
            return


def _parameters(judge_id: str, scope: Scope, wanted: Sequence[Wanted]) -> dict[str, Any]:
    asked = [each for each in wanted if each.metrics]
    return {
        **scope.parameters(),
        "judge": judge_id,
        "w_sets": [each.question_set for each in asked],
        "w_hashes": [each.question_set_hash for each in asked],
        "w_ids": [each.question_id for each in asked],
        "w_domains": [each.domain for each in asked],
        "w_metrics": [",".join(each.metrics) for each in asked],
    }
