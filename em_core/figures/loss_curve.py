"""Training loss of the selected runs."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core.home import Home
from em_core.selection import Selection
from em_core.store import contents, queries
from em_core.view import trajectory

_POINTS = 1800


def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """As `em_core.figures.FigureModule`."""
    cards = contents.contents(home) if selection.run_ids is None else queries.runs(home, baselines=False)
    runs = list(selection.run_ids) if selection.run_ids is not None else sorted(cards["run_id"].unique())
    steps = queries.metrics(home, runs, max_points=max(20, _POINTS // max(1, len(runs))))
    return trajectory.training(steps, cards, queries.checkpoints(home, runs)), {}
