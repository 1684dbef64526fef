"""Verdicts on the answers of each run's last checkpoint, by training domain."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core.errors import BadInput
from em_core.figures.coherence_scatter import complete
from em_core.home import Home
from em_core.selection import Selection
from em_core.store import points
from em_core.store.means import LAST
from em_core.view import coherence


def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """As `em_core.figures.FigureModule`.

    Raises:
        BadInput: No judge gave verdicts.
    """
    chosen = complete(home, selection.but(definition="verdict", judge_id=None))
    if chosen is None:
        raise BadInput("no answer has a verdict", "judge the answers with a verdict judge: `judge --judge openai-verdict`")
    found = points.verdicts(home, chosen, LAST, domains_apart=coherence.MOST_PANELS)
    shares = coherence.verdict_shares(found, coherence.panel_names(found, chosen.pooled), chosen.interval)
    return shares, {"notes": [f"answers of each run's last checkpoint; judge: {chosen.judge_id}"]}
