"""One checkpoint of every selected run against the first run's, paired by question; two runs: question by question."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core.figures import _checkpoint
from em_core.home import Home
from em_core.selection import Selection
from em_core.store.paired import paired
from em_core.view import differences

MOST = 60


def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """As `em_core.figures.FigureModule`; at most the first 60 runs.

    Raises:
        BadInput: As `em_core.figures._checkpoint.cells`.
    """
    runs = selection.run_ids if selection.run_ids is None else selection.run_ids[:MOST]
    counts = _checkpoint.cells(home, selection.but(run_ids=runs))
    there = list(dict.fromkeys(counts["run_id"]))
    order = [run for run in (runs or there) if run in set(there)][:MOST]
    if len(order) < 2:
        return pd.DataFrame(columns=differences.COLUMNS), {}
    heads = counts.drop_duplicates("run_id").set_index("run_id")
    first = str(heads.loc[order[0], "label"])
    notes = _checkpoint.notes(heads.loc[order], selection)
    if len(order) == 2:
        a, b = (f"{run}@{heads.loc[run, 'step']}" for run in order)
        judge = str(counts["judge_id"].iloc[0])
        both = paired(home, a, b, selection.rule, judge_id=judge, question_sets=selection.question_sets)
        named = selection.but(judge_id=judge)
        return differences.by_question(differences.within(both.questions, selection.in_domain), named), {
            "a": first,
            "b": str(heads.loc[order[1], "label"]),
            "notes": notes,
        }
    part = counts[counts["run_id"].isin(order)]
    named = selection.but(judge_id=str(counts["judge_id"].iloc[0]))
    return differences.against_first(part, order[0], named), {"a": first, "b": "each run", "notes": notes}
