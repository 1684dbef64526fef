"""Final EM rate of every training domain on every question set, runs pooled."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core.home import Home
from em_core.selection import Selection
from em_core.store.comparing import cells
from em_core.view import comparing


def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """As `em_core.figures.FigureModule`; all question sets, whichever is selected.

    Raises:
        BadInput: Several judges scored these runs, and none is named.
    """
    every = selection.but(question_sets=None, in_domain=None, pooled=False)
    return comparing.pooled(cells(home, every), every, comparing.DOMAIN), {}
