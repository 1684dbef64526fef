"""Mean coherence and alignment over training of the selected runs: the study's coherence trajectories."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core.home import Home
from em_core.selection import Selection
from em_core.store.means import means
from em_core.view import headline


def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """As `em_core.figures.FigureModule`."""
    found = means(home, selection)
    return headline.one_judge(found), {"metrics": ["coherence", "alignment"]}
