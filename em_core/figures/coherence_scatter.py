"""Alignment against coherence at each run's last checkpoint: single answers when they are few, else means per checkpoint."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core.errors import BadInput
from em_core.home import Home
from em_core.selection import Selection
from em_core.store import contents as store_contents
from em_core.store import points
from em_core.store.means import LAST
from em_core.view import coherence, headline


def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """As `em_core.figures.FigureModule`.

    Raises:
        BadInput: The definition is over verdicts.
    """
    rule = selection.rule
    if not coherence.has_scatter(rule):
        raise BadInput(f"definition {rule.name!r}: verdicts are words, not points of a plane", "draw the chart verdict_shares")
    chosen = complete(home, selection)
    if chosen is None:
        return coherence.answer_points(pd.DataFrame(columns=["n"]), pd.Series(dtype=object), False, points.WIDTH), {}
    questions = points.by_question(home, chosen, LAST, domains_apart=coherence.MOST_PANELS)
    questions["panel"] = coherence.panel_names(questions, chosen.pooled)
    binned = int(questions["n_both"].sum()) > points.MOST_POINTS
    found = points.points(home, chosen, LAST, binned=binned, split=chosen.pooled, domains_apart=coherence.MOST_PANELS)
    drawn = coherence.answer_points(found, coherence.panel_names(found, chosen.pooled), binned, points.WIDTH)
    return drawn, {
        "definition": chosen.definition,
        "quadrants": coherence.quadrants(questions, rule, chosen.interval),
        "notes": [f"answers of each run's last checkpoint; judge: {chosen.judge_id}"],
    }


def complete(home: Home, selection: Selection) -> Selection | None:
    """The selection with its runs and one judge named: the one that scored most; None where nobody scored anything."""
    there = store_contents.contents(home)
    if selection.run_ids is not None:
        there = there[there["run_id"].isin(selection.run_ids)]
    there = there.assign(n_scored=store_contents.given(there, selection.rule))
    judges = headline.judges_of(there[there["n_scored"] > 0])
    judge = selection.judge_id or next(iter(judges), None)
    there = there[there["judge_id"] == judge]
    return selection.but(judge_id=judge, run_ids=tuple(there["run_id"].unique())) if len(there) else None
