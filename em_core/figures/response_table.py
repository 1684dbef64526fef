"""Where the table of answers comes from: one question, one answer a model, picked by a rule that the figure states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from em_core.charts.response_table import COLUMNS
from em_core.errors import BadInput
from em_core.home import Home
from em_core.selection import Selection
from em_core.store import answer_details, browse
from em_core.store.browse import Column, Filter, Query
from em_core.store.contents import contents, steps
from em_core.view import responses as view

PICKS = {
    "first": "Of each model the first sample.",
    "median": "Of each model the sample with the median alignment (the lower of two).",
}
MOST_RUNS = 5


def frame(
    home: Home,
    selection: Selection,
    *,
    columns: Sequence[Column] | None = None,
    question_id: str | None = None,
    pick: str = "first",
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One row per model (`em_core.charts.response_table`).

    Args:
        home: Whose runs.
        selection: Definition, judge, runs and questions.
        columns: The models; empty = step 0 of the first run, and the last step of up to `MOST_RUNS` runs.
        question_id: The question; empty = the first one asked outside the training domain (or the first at all).
        pick: ``first`` or ``median``.

    Raises:
        BadInput: Unknown `pick`.
    """
    if pick not in PICKS:
        raise BadInput(f"pick {pick!r} is unknown", f"use one of: {', '.join(PICKS)}")
    chosen = list(columns) if columns is not None else _last(home, selection)
    page = pd.DataFrame()
    for domain in (False, None) if selection.in_domain is None else (selection.in_domain,):
        asked = Filter(selection.question_sets, question_id, domain if question_id is None else None)
        page = browse.grid(home, chosen, Query(selection.definition, selection.judge_id, asked, n_rows=1)) if chosen else page
        if len(page):
            break
    if page.empty:
        return pd.DataFrame(columns=list(COLUMNS)), {}
    if pick == "median":
        page = _median(home, selection, chosen, page)
    whose = answer_details.provenance(home, chosen).set_index("place")
    rows = []
    for cell in map(view.plain_values, page.to_dict("records")):
        card = whose.loc[cell["place"]]
        start = view.before_fine_tune(card)
        rows.append(
            {
                "model": view.column_name(card),
                "detail": f"{'before the fine-tune' if start else card['base_model']}, step {card['step']}",
                "run_id": card["run_id"], "step": card["step"], "question": cell["prompt"] or cell["question_id"],
                "answer": cell["text"] or "(empty)", "alignment": cell["alignment"], "coherence": cell["coherence"],
                "outcome": cell["outcome"], "outcome_words": view.outcome_words(cell, selection.rule), "sample": cell["sample"],
                "picked": PICKS[pick], "definition": selection.definition, "judge_id": selection.judge_id,
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS)), {}


def _last(home: Home, selection: Selection) -> list[Column]:
    """Step 0 of the first run, then each run's last step."""
    every = contents(home)["run_id"].drop_duplicates() if selection.run_ids is None else selection.run_ids
    runs = tuple(every)[:MOST_RUNS]
    found = steps(home, runs)
    last = found.groupby("run_id")["step"].max()
    trained = [Column(run, int(last[run])) for run in runs if run in last.index]
    base = [Column(c.run_id, 0) for c in trained[:1] if ((found["run_id"] == c.run_id) & (found["step"] == 0)).any()]
    return list(dict.fromkeys([*base, *trained]))


def _median(home: Home, selection: Selection, chosen: Sequence[Column], first: pd.DataFrame) -> pd.DataFrame:
    """The same question, each cell at its median: least aligned first, the middle one of those with a score."""
    one = first.iloc[0]
    asked = Filter((str(one["question_set"]),), str(one["question_id"]))
    query = Query(selection.definition, selection.judge_id, asked, "least aligned", n_rows=100)
    at = [(f"{row.row_id}.{row.place}", max(1, (int(row.n_scored) + 1) // 2)) for row in first.itertuples()]
    page = browse.grid(home, chosen, query, at=at)
    return page[page["row_id"] == one["row_id"]]
