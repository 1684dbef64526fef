"""What a verdict judge said, as shares of all answers, with intervals: for definitions that have no scores to scatter."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from em_core.charts import frame as f
from em_core.charts import palette

TITLE = "Verdicts on these answers"
COLUMNS = ("panel", "verdict", "is_misaligned", "is_unscored", "n", "n_of", "share", "low", "high")
_EMPTY = "No verdicts for this selection yet."
_GROUPS = {"misaligned": palette.SERIES[4], "other verdict": palette.SERIES[1], "no verdict": palette.NEUTRAL}


def panels(frame: pd.DataFrame) -> list[tuple[str, alt.LayerChart]]:
    """One chart per panel, the same order of verdicts in all.

    Args:
        frame: One row per panel and verdict (`COLUMNS`).
    """
    f.require(frame, COLUMNS, "verdict_shares")
    kinds = frame["is_misaligned"].map(lambda v: "misaligned" if v else "other verdict")
    rows = frame.assign(kind=kinds.where(~frame["is_unscored"].astype(bool), "no verdict"))
    totals = rows.groupby(["is_unscored", "verdict"])["n"].sum().reset_index()
    order = totals.sort_values(["is_unscored", "n"], ascending=[True, False])["verdict"].drop_duplicates().tolist()
    return [(str(name), _panel(part, order)) for name, part in rows.groupby("panel", sort=True)]


def _panel(rows: pd.DataFrame, order: list[str]) -> alt.LayerChart:
    scale = alt.Scale(domain=list(_GROUPS), range=list(_GROUPS.values()))
    base = alt.Chart().encode(y=alt.Y("verdict:N", title=None, sort=order, axis=alt.Axis(labelLimit=180)))
    x = alt.X("share:Q", title="Share of the answers", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%"))
    color = alt.Color("kind:N", title=None, scale=scale, legend=alt.Legend(orient="bottom"))
    return f.layered(
        rows.head(f.MAX_POINTS),
        base.mark_bar(opacity=0.75).encode(
            x, color,
            tooltip=[
                alt.Tooltip("verdict:N"), alt.Tooltip("share:Q", format=".1%"),
                *f.bounds("low", "high"), alt.Tooltip("n:Q", title="answers"),
                alt.Tooltip("n_of:Q", title="of"),
            ],
        ),
        base.mark_rule(strokeWidth=2, color=palette.NEUTRAL).encode(
            alt.X("low:Q", title="Share of the answers"), alt.X2("high:Q")
        ),
    )  # fmt: skip


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """All panels side by side. Options: `title`, `notes`."""
    title = str(options.get("title", TITLE))
    drawn = panels(frame)
    return f.side_by_side(drawn, title, list(options.get("notes", []))) if drawn else f.empty(title, _EMPTY)
