"""Signs of breakage in the answers of the selected runs, before and after the fine-tune."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core.home import Home
from em_core.selection import Selection
from em_core.store import health as store_health


def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Counts of signs, one row per run, step, question set and judge; judges' reasons of the selected judge only."""
    rows = store_health.health(
        home, run_ids=selection.run_ids, judge_id=selection.judge_id, question_sets=selection.question_sets
    )
    return (rows if selection.in_domain is None else rows[rows["in_domain"] == selection.in_domain]), {}
