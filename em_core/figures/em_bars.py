"""EM rate by training domain and base model at one checkpoint of each run, runs pooled."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core.figures import _checkpoint
from em_core.home import Home
from em_core.selection import Selection
from em_core.view import comparing


def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """As `em_core.figures.FigureModule`.

    Raises:
        BadInput: As `em_core.figures._checkpoint.cells`.
    """
    rows = comparing.bars(_checkpoint.cells(home, selection), selection)
    return rows, {"notes": _checkpoint.notes(rows, selection)}
