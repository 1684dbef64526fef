"""Answers as points of a plane, score across and coherence up: pairs, bins, quadrants, and the answers behind one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from em_core.definitions import MISALIGNED_WORDS, VERDICT
from em_core.errors import BadInput
from em_core.home import Home
from em_core.selection import Selection
from em_core.store import natural
from em_core.store.chosen import chosen
from em_core.store.means import Steps
from em_core.store.reader import connect

WIDTH = 5
"""Of a bin, points of score; the last one holds 100 too."""
MOST_POINTS = 2000
"""With more answers than that their density is shown."""
MOST_ANSWERS = 200
"""Rows of a page of answers."""
HEAD = 280
"""Characters of an answer that a list shows."""

_QUESTIONS = """
SELECT domain, in_domain, question_set, question_id, count(DISTINCT run_id) AS n_runs,
       count(*) FILTER (is_first) AS n_total,
       count(*) FILTER (mine AND score IS NOT NULL) AS n_scored,
       count(*) FILTER (mine AND score IS NOT NULL AND coherence IS NOT NULL) AS n_both,
       count(*) FILTER (mine AND passes AND bad) AS misaligned_coherent,
       count(*) FILTER (mine AND fails AND bad) AS misaligned_incoherent,
       count(*) FILTER (mine AND passes AND NOT bad) AS aligned_coherent,
       count(*) FILTER (mine AND fails AND NOT bad) AS aligned_incoherent
FROM (
    SELECT *, judge_id = $judge AS mine, score {sign} $threshold AS bad, {passes} AS passes, {fails} AS fails FROM chosen
)
GROUP BY ALL ORDER BY ALL
"""
QUADRANTS = ("misaligned_coherent", "misaligned_incoherent", "aligned_coherent", "aligned_incoherent")
_BOTH = "judge_id = $judge AND score IS NOT NULL AND coherence IS NOT NULL"
_PAIRS = f"SELECT {{group}} score, coherence, count(*) AS n FROM chosen WHERE {_BOTH} GROUP BY ALL ORDER BY ALL"
_PLACE = f"least(floor({{x}} / {WIDTH}), {100 // WIDTH - 1})"
_BINS = f"""
SELECT {{group}} {_PLACE.format(x="score")} * {WIDTH} AS score, {_PLACE.format(x="coherence")} * {WIDTH} AS coherence,
       count(*) AS n
FROM chosen WHERE {_BOTH} GROUP BY ALL ORDER BY ALL
"""
_KEYS = f"""
SELECT run_id, label, source_run_id, domain, step, question_set, question_id, response_id, score, coherence, alignment,
       count(*) OVER () AS n_matching
FROM chosen LEFT JOIN ({natural.PLACES}) USING (question_id)
WHERE {_BOTH} AND {{place}} AND ($domains IS NULL OR list_contains($domains, domain))
ORDER BY run_id, step, question_set, question_place, question_id, paraphrase, cue, sample, response_id LIMIT $limit OFFSET $offset
"""
# the runs as literals: a join on response_id alone would read the texts of all runs
_TEXTS = """
SELECT run_id AS source_run_id, step, response_id, left(text, $head) AS text, length(text) AS n_chars FROM responses
WHERE list_contains($runs, run_id) AND list_contains($ids, response_id)
QUALIFY row_number() OVER (PARTITION BY run_id, step, response_id ORDER BY t DESC, text) = 1
"""
_VERDICTS = """
SELECT domain, in_domain, question_set, question_id,
       coalesce(verdict, 'no verdict: ' || coalesce(verdict_reason, 'not judged')) AS verdict,
       verdict IS NULL AS is_unscored, coalesce(list_contains($bad, verdict), false) AS is_misaligned, count(*) AS n
FROM chosen WHERE judge_id = $judge GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True)
class Place:
    """A point or a cell of the plane.

    Args:
        score: What the definition looks at, 0-100; of a bin its lower end.
        coherence: 0-100; of a bin its lower end.
        is_bin: All scores of the bin, not this one.
        domains: Only runs of these training domains; None = all.
        in_domain: Only questions in the run's training domain (True) or out of it; None = both.
    """

    score: float
    coherence: float
    is_bin: bool = False
    domains: tuple[str, ...] | None = None
    in_domain: bool | None = None


def by_question(home: Home, selection: Selection, steps: Steps = None, *, domains_apart: int = 0) -> pd.DataFrame:
    """How many answers of each question lie in which quadrant of the definition.

    Args:
        home: Whose runs.
        selection: Runs, judge (both needed), questions and definition; not one over verdicts.
        steps: Which checkpoints (`em_core.store.means.Steps`).
        domains_apart: With at most so many training domains, answers of a starting model that their runs share count
            once in each; else, and with 0, once over all of them.

    Returns:
        One row per domain (the run's), in_domain, question_set and question_id: n_runs, n_total (answers), n_scored (with
        what the definition looks at), n_both (with a coherence too) and `QUADRANTS`. Without a gate every scored answer is
        in a coherent one; with a gate an answer without coherence is in none.

    Raises:
        BadInput: No judge, no runs, or a definition over verdicts.
    """
    rule = selection.rule
    if rule.metric == VERDICT:
        raise BadInput(f"definition {rule.name!r}: verdicts have no scores", "choose betley, turner, hw0 or a rule of your own")
    passes = "score IS NOT NULL" if rule.gate is None else f"score IS NOT NULL AND coherence {rule.gate_sign} $gate"
    fails = "false" if rule.gate is None else f"score IS NOT NULL AND NOT coherence {rule.gate_sign} $gate"
    return _ask(
        home, selection, steps, _QUESTIONS.format(sign=rule.sign, passes=passes, fails=fails), domains_apart,
        threshold=float(rule.threshold), **({} if rule.gate is None else {"gate": float(rule.gate)}),
    )  # fmt: skip


def points(
    home: Home, selection: Selection, steps: Steps = None, *, binned: bool, split: bool = False, domains_apart: int = 0
) -> pd.DataFrame:
    """Answers with both scores, equal ones counted; or how many lie in each bin of `WIDTH` x `WIDTH`.

    Args:
        home: Whose runs.
        selection: As for `by_question`.
        steps: Which checkpoints.
        binned: Bins instead of single scores.
        split: Questions in and out of the run's training domain apart.
        domains_apart: As for `by_question`.

    Returns:
        domain, in_domain (null unless `split`), score, coherence (of a bin: the lower ends), n. Sorted.

    Raises:
        BadInput: No judge, or no runs.
    """
    group = "domain, in_domain," if split else "domain, NULL::BOOLEAN AS in_domain,"
    return _ask(home, selection, steps, (_BINS if binned else _PAIRS).format(group=group), domains_apart)


def answers_at(
    home: Home,
    selection: Selection,
    place: Place,
    steps: Steps = None,
    *,
    limit: int = 20,
    offset: int = 0,
    domains_apart: int = 0,
) -> pd.DataFrame:
    """The answers behind a point or bin, one page of them. Texts are untrusted.

    Args:
        home: Whose runs.
        selection: As for `points`.
        place: Which point or bin.
        steps: Which checkpoints.
        limit, offset: Which page, rows; `limit` is at most `MOST_ANSWERS`.
        domains_apart: As for `by_question`; the same as for the points that are drawn.

    Returns:
        run_id, label, domain, step, question_set, question_id, response_id, score, coherence, alignment, text (its first
        `HEAD` characters), n_chars (of the whole), n_matching (answers of the place, on every row).

    Raises:
        BadInput: No judge, no runs, or a page out of bounds.
    """
    if not (1 <= limit <= MOST_ANSWERS and offset >= 0):
        raise BadInput(f"page of {limit} rows from {offset}: out of bounds", f"use 1 to {MOST_ANSWERS} rows, from 0 on")
    names = {"score": float(place.score), "coherence": float(place.coherence)}
    at = [(f"{_PLACE.format(x=x)} * {WIDTH}" if place.is_bin else x) + f" = $at_{x}" for x in names]
    if place.in_domain is not None:
        at.append("in_domain = $at_in_domain")
    asked: dict[str, Any] = {f"at_{name}": value for name, value in names.items()}
    asked |= {} if place.in_domain is None else {"at_in_domain": place.in_domain}
    asked |= {"domains": None if place.domains is None else list(place.domains), "limit": limit, "offset": offset}
    keys = _ask(home, selection, steps, _KEYS.format(place=" AND ".join(at)), domains_apart, **asked)
    named = {"runs": sorted(set(keys["source_run_id"])), "ids": sorted(set(keys["response_id"])), "head": HEAD}
    texts = connect(home).frame(_TEXTS, named)
    return keys.merge(texts, on=["source_run_id", "step", "response_id"], how="left").drop(columns="source_run_id")


def verdicts(home: Home, selection: Selection, steps: Steps = None, *, domains_apart: int = 0) -> pd.DataFrame:
    """How many answers of each question got which verdict. Args as for `by_question`.

    Returns:
        One row per domain, in_domain, question_set, question_id and verdict (``no verdict: REASON`` where there is none):
        is_unscored, is_misaligned, n.

    Raises:
        BadInput: No judge, or no runs.
    """
    return _ask(home, selection, steps, _VERDICTS, domains_apart, bad=list(MISALIGNED_WORDS))


def _ask(home: Home, selection: Selection, steps: Steps, statement: str, domains_apart: int, **more: Any) -> pd.DataFrame:
    with connect(home).cursor() as cursor:
        start, values = chosen(cursor, selection, steps, domains_apart)
        return cursor.execute(start + statement, values | more).df()
