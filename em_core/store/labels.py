"""People's labels, and which answers a person could label next. Texts are untrusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from em_core.agreement import Answers
from em_core.definitions import VERDICT, Definition
from em_core.errors import BadInput
from em_core.home import Home
from em_core.store.agreement import OF_SELECTION, selection, side_by_side
from em_core.store.reader import connect

WITHDRAWN = "withdrawn"
"""Reason of a label that its labeller took back."""
NONSENSE = "incoherent"
"""Reason of a label that gives no alignment because the answer makes no sense."""

ORDERS: dict[str, str] = {
    "random": "place",
    "disagreement": "spread DESC NULLS LAST, distance NULLS LAST, place",
    "others first": "others DESC, place",
}

# The last word of each person on each answer and metric; an answer whose labels were all taken back has none.
_LABELS = """
WITH last AS (
    SELECT * FROM labels
    QUALIFY row_number() OVER (PARTITION BY labeller, response_id, metric ORDER BY t DESC, rowid DESC) = 1
), standing AS (
    SELECT labeller, response_id, max(value) FILTER (metric = 'alignment') AS alignment,
           max(value) FILTER (metric = 'coherence') AS coherence,
           max(unscored_reason) FILTER (metric = 'alignment') AS alignment_reason,
           max(unscored_reason) FILTER (metric = 'coherence') AS coherence_reason, max(note) AS note, max(t) AS t
    FROM last WHERE unscored_reason IS DISTINCT FROM $withdrawn GROUP BY labeller, response_id
)"""

# Verdicts count as the ends of the scale, so that a judge of words can disagree with one of numbers. Spread and distance
# are looked at only where they order anything: over all answers they would cost more than everything else.
_JUDGED = """
SELECT response_id, CASE WHEN count(value) > 1 THEN max(value) - min(value) END AS spread,
       min(abs(value - $threshold)) AS distance
FROM (
    SELECT response_id, coalesce(alignment, CASE WHEN verdict IN ('UNALIGNED', 'FALSE') THEN 0
                                                 WHEN verdict IN ('ALIGNED', 'TRUE') THEN 100 END) AS value
    FROM scores WHERE ($judges IS NULL OR list_contains($judges::VARCHAR[], judge_id)) AND {of_selection}
) GROUP BY response_id"""
_PLAIN = """
SELECT {distinct} response_id, NULL AS spread, NULL AS distance FROM scores
WHERE (CASE WHEN $judges IS NULL THEN is_first ELSE list_contains($judges::VARCHAR[], judge_id) END)
  AND {of_selection} AND $threshold IS NOT NULL"""
_CANDIDATES = (
    _LABELS
    + """, ranked AS ({answers}
), told AS (
    SELECT response_id, count(*) AS others FROM standing GROUP BY response_id
)
SELECT response_id, spread, distance, coalesce(others, 0) AS others, md5($seed || response_id) AS place
FROM ranked LEFT JOIN told USING (response_id)
WHERE response_id NOT IN (SELECT response_id FROM standing WHERE labeller = $labeller)
ORDER BY {order} LIMIT $limit
"""
)


def labels(home: Home) -> pd.DataFrame:
    """Everybody's standing labels, the latest of each person and answer, one row each.

    Returns:
        labeller, response_id, alignment, coherence (0-100), alignment_reason, coherence_reason (why not), note, t
        (seconds since 1970), and of the answer run_id (that holds it), step, question_set, question_id; null where the
        answer is not here.
    """
    return connect(home).frame(
        _LABELS
        + """, places AS (
            SELECT response_id, any_value(run_id) AS run_id, any_value(step) AS step, any_value(question_set) AS question_set,
                   any_value(question_id) AS question_id
            FROM scores WHERE response_id IN (SELECT response_id FROM standing) GROUP BY response_id
        )
        SELECT standing.*, places.* EXCLUDE (response_id) FROM standing LEFT JOIN places USING (response_id)
        ORDER BY labeller, t, response_id""",
        {"withdrawn": WITHDRAWN},
    )


def candidates(
    home: Home,
    labeller: str,
    order: str = "random",
    *,
    run_ids: Sequence[str] | None = None,
    question_sets: Sequence[str] | None = None,
    judge_ids: Sequence[str] | None = None,
    threshold: float = 50.0,
    seed: str = "",
    limit: int = 60,
) -> list[str]:
    """Response ids to label next, in order; none that this person has labelled.

    Args:
        home: Whose runs.
        labeller: For whom.
        order: ``random``; ``disagreement`` (largest spread between the judges' alignment first, then what lies closest to
            the threshold: with one judge only that); ``others first`` (what most others have labelled).
        run_ids, question_sets: Only these answers, as for `agreement.side_by_side`.
        judge_ids: Only answers of these judges, and only their scores count; empty = judged or not.
        threshold: 0-100.
        seed: Of the random order, which also breaks ties.
        limit: At most so many.

    Raises:
        BadInput: Unknown order.
    """
    if order not in ORDERS:
        raise BadInput(f"order {order!r} is unknown", f"use one of: {', '.join(ORDERS)}")
    values: dict[str, Any] = {
        **selection(run_ids, question_sets), "judges": list(judge_ids) if judge_ids else None, "withdrawn": WITHDRAWN,
        "labeller": labeller, "threshold": threshold, "seed": seed, "limit": limit,
    }  # fmt: skip
    answers = _JUDGED if order == "disagreement" else _PLAIN
    answers = answers.format(of_selection=OF_SELECTION, distinct="DISTINCT" if judge_ids else "")
    frame = connect(home).frame(_CANDIDATES.format(answers=answers, order=ORDERS[order]), values)
    return [str(each) for each in frame["response_id"]]


def known_answers(home: Home, response_ids: Sequence[str]) -> set[str]:
    """Those of the ids that are answers of this home."""
    frame = connect(home).frame(
        "SELECT DISTINCT response_id FROM scores WHERE response_id IN (SELECT unnest($ids::VARCHAR[]))",
        {"ids": list(response_ids)},
    )
    return set(frame["response_id"])


def question_sets(home: Home) -> list[str]:
    """Question sets that have answers, by name."""
    return [str(name) for name in connect(home).frame("SELECT DISTINCT question_set FROM contents ORDER BY ALL")["question_set"]]


def text(home: Home, response_id: str) -> dict[str, str] | None:
    """What was asked and answered, and nothing about who answered: system, prompt, text; None when it is not here."""
    frame = connect(home).frame(
        """
        WITH one AS (
            SELECT * FROM responses WHERE response_id = $id
            QUALIFY row_number() OVER (ORDER BY t DESC, text) = 1
        )
        SELECT coalesce(questions.system, '') AS system, coalesce(questions.prompt, '') AS prompt, one.text
        FROM one LEFT JOIN questions_once AS questions ON questions.run_id = one.run_id
            AND questions.question_set = one.question_set AND questions.question_id = one.question_id
            AND questions.paraphrase = one.paraphrase
        """,
        {"id": response_id},
    )
    return None if frame.empty else {str(name): str(value) for name, value in frame.iloc[0].items()}


def against_judges(
    home: Home,
    judge_ids: Sequence[str],
    definition: Definition,
    *,
    run_ids: Sequence[str] | None = None,
    question_sets: Sequence[str] | None = None,
    only: Sequence[str] | None = None,
) -> tuple[Answers, Answers]:
    """The labelled answers as the judges and as the people see them: (judges, people), same answers in the same order.

    Args:
        home: Whose runs.
        judge_ids: The judges.
        definition: The rule; for people, who give scores, ``verdict`` becomes the default definition.
        run_ids, question_sets: Only these answers.
        only: Only these response ids.
    """
    found = labels(home)
    found = found[found["run_id"].notna()]
    if question_sets is not None:
        found = found[found["question_set"].isin(list(question_sets))]
    if only is not None:
        found = found[found["response_id"].isin(list(only))]
    ids = sorted(found["response_id"].unique())
    holders = sorted(set(found["run_id"].astype(str)))
    scores = side_by_side(home, judge_ids, definition.metric, run_ids=holders, response_ids=ids)
    if run_ids is not None:
        ids = sorted(side_by_side_ids(home, run_ids, ids))
        found = found[found["response_id"].isin(ids)]
    places = found.drop_duplicates("response_id").set_index("response_id")
    base = pd.DataFrame({"response_id": pd.Series(ids, dtype=object)})
    base["question"] = [f"{places.at[i, 'question_set']}\x1f{places.at[i, 'question_id']}" for i in ids]
    judged = scores.set_index("response_id").reindex(ids).reset_index().assign(question=base["question"])
    people = sorted(str(name) for name in found["labeller"].unique())
    for i, name in enumerate(people):
        own = found[found["labeller"] == name].set_index("response_id").reindex(ids)
        scored = definition.metric in ("alignment", VERDICT)
        base[f"value_{i}"] = (own["alignment"] if scored else own["alignment"] * float("nan")).to_numpy()
        base[f"coherence_{i}"] = own["coherence"].to_numpy()
        base[f"verdict_{i}"] = ""
        base[f"nonsense_{i}"] = (own["alignment_reason"] == NONSENSE).to_numpy(dtype=bool)
        base[f"asked_{i}"] = own["labeller"].notna().to_numpy()
    return Answers.from_frame(judged, list(judge_ids), definition), Answers.from_frame(base, people, definition)


def side_by_side_ids(home: Home, run_ids: Sequence[str], response_ids: Sequence[str]) -> set[str]:
    """Those of the answers that are shown under the runs."""
    frame = connect(home).frame(
        f"SELECT DISTINCT response_id FROM scores WHERE {OF_SELECTION} AND response_id IN (SELECT unnest($ids::VARCHAR[]))",
        {**selection(run_ids, None), "ids": list(response_ids)},
    )
    return set(frame["response_id"])
