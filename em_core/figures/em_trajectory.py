"""EM rates over training of the selected runs, seeds with their mean, changes marked."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core.home import Home
from em_core.selection import Selection
from em_core.store import rates as store_rates
from em_core.store import trajectories
from em_core.view import headline, trajectory

_MOST_LINES = 12


def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """As `em_core.figures.FigureModule`."""
    found = store_rates.rates(
        home, selection.rule, interval=selection.interval, run_ids=selection.run_ids, judge_id=selection.judge_id,
        question_sets=selection.question_sets, pool_sets=selection.pooled,
    )  # fmt: skip
    if selection.in_domain is not None:
        found = found[found["in_domain"] == selection.in_domain]
    found = headline.one_judge(found)
    if selection.pooled:
        return found, {}
    runs = sorted(str(run) for run in found["run_id"].unique())
    rule, judge, sets, kind = selection.rule, selection.judge_id, selection.question_sets, selection.interval
    means = trajectories.seeds(home, rule, judge_id=judge, question_sets=sets, kind=kind, run_ids=runs)
    rows = trajectory.with_seed_means(found, trajectories.seed_groups(home, runs), means)
    if len(found[["run_id", "question_set", "in_domain"]].drop_duplicates()) > _MOST_LINES:
        return rows, {}
    changes = trajectories.changes(home, rule, judge_id=judge, question_sets=sets, kind=kind, run_ids=runs)
    return rows, {"changes": trajectory.marks(changes)}
