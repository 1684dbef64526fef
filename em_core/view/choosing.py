"""From the rows of what there is to the runs, question sets and domain that are looked at."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from em_core.view import headline

MOST_RUNS = 60
"""Lines that a page draws at a time; more can neither be read nor told apart."""


@dataclass(frozen=True)
class Chosen:
    """What a filter bar left over.

    Args:
        run_ids: Newest first, at most as many as asked for.
        n_runs: How many match.
        question_sets: None = all.
        in_domain: True where each run is asked about its own training domain; None = both.
        pooled: Question sets together, in-domain and others apart.
    """

    run_ids: tuple[str, ...]
    n_runs: int
    question_sets: tuple[str, ...] | None
    in_domain: bool | None
    pooled: bool = False


def selection(rows: pd.DataFrame, questions: str, most: int = MOST_RUNS) -> Chosen:
    """The runs of these rows (`em_core.store.contents.contents`, newest first) and what they are asked.

    Args:
        rows: What the filters left.
        questions: A question set, `headline.INSIDE`, `headline.SPLIT` or `headline.ALL`.
        most: Runs at a time.
    """
    runs = tuple(str(run) for run in rows["run_id"].drop_duplicates())
    sets = None if questions in (headline.INSIDE, headline.SPLIT, headline.ALL, "") else (questions,)
    inside = True if questions == headline.INSIDE else None
    return Chosen(runs[:most], len(runs), sets, inside, questions == headline.SPLIT)
