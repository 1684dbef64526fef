"""EM rate against mean coherence, one point per checkpoint with both intervals, connected along the steps of a run."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from em_core.charts import _crosses
from em_core.charts import frame as f

TITLE = "Coherence against EM rate"
COLUMNS = (*f.RATE_COLUMNS, "coherence", "coherence_low", "coherence_high", "n_coherence")
PICK = _crosses.PICK
_EMPTY = "No checkpoint with an EM rate and a mean coherence yet."


def panels(frame: pd.DataFrame, picking: bool = True) -> list[tuple[str, alt.LayerChart]]:
    """One panel: coherence across, EM rate up.

    Args:
        frame: Rates with the mean coherence of the same answers, one row per run, step and question set (`COLUMNS`).
        picking: Points can be clicked.
    """
    f.require(frame, COLUMNS, "coherence_em")
    rows = _crosses.labelled(frame.loc[frame["coherence"].notna(), list(COLUMNS)], "em_rate")
    if rows.empty:
        return []
    least = float(rows[["coherence", "coherence_low"]].min().min())
    left = 10 * max(0, int(least / 10) - 1) if least < 60 else 50
    x = alt.X("coherence:Q", title="Mean coherence", scale=alt.Scale(domain=[left, 100], nice=False), axis=alt.Axis(tickCount=6))
    y = f.rate_axis(f.top(rows))
    tooltip = [
        *f.rate_tooltip(),
        alt.Tooltip("coherence:Q", title="mean coherence", format=".1f"),
        *f.bounds("coherence_low", "coherence_high", ".1f", "coherence"),
        alt.Tooltip("n_coherence:Q", title="n with coherence"),
    ]
    plane = _crosses.Plane(
        "coherence",
        "em_rate",
        "coherence_low",
        "coherence_high",
        "ci_low",
        "ci_high",
        x,
        y,
        ("Mean coherence", "EM rate"),
        tooltip,
        PICK,
        picking,
    )
    drawn = f.thin(rows, ["run_id", "question_set"])
    return [("", f.layered(drawn, *_crosses.layers(drawn, plane)))]


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """The panel. Option: `title`."""
    title = str(options.get("title", TITLE))
    drawn = panels(frame, picking=False)
    if not drawn:
        return f.empty(title, _EMPTY)
    return f.side_by_side(drawn, title, f.rules(frame), 2 * f.PANEL_WIDTH)
