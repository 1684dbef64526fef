"""EM rate of every training domain on every question set at one checkpoint of each run, runs pooled."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core.figures import _checkpoint
from em_core.home import Home
from em_core.selection import Selection
from em_core.view import comparing


def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """As `em_core.figures.FigureModule`; all question sets, whichever is selected.

    Raises:
        BadInput: As `em_core.figures._checkpoint.cells`.
    """
    every = selection.but(question_sets=None, in_domain=None, pooled=False)
    rows = comparing.pooled(_checkpoint.cells(home, every), every, comparing.DOMAIN)
    return rows, {"notes": _checkpoint.notes(rows, selection)}
