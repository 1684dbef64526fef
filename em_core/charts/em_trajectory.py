"""EM rate over training steps: domain by colour, base model by panel, step 0 = the baseline."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from em_core.charts import frame as f
from em_core.charts import palette

TITLE = "EM rate over training steps"
COLUMNS = f.RATE_COLUMNS
_EMPTY = "No scored answers for this selection yet."


def panels(frame: pd.DataFrame, log_steps: bool = False) -> list[tuple[str, alt.LayerChart]]:
    """One chart per base model, smallest first, all with the same axes and colours.

    Args:
        frame: Rates, one row per run, step and question set (`COLUMNS`); rows without an estimate are left out.
        log_steps: Space the steps logarithmically (from step 10 on; 0 keeps its place), to see an early rise.
    """
    f.require(frame, COLUMNS, "em_trajectory")
    rows = f.rates(frame)
    domains, upper = sorted(rows["domain_label"].unique()), f.top(rows)
    many = rows["question_set"].nunique() > 1
    return [(str(name), _panel(part, domains, upper, many, log_steps)) for name, part in rows.groupby("panel", sort=False)]


def _panel(rows: pd.DataFrame, domains: list[str], upper: float, many: bool, log_steps: bool) -> alt.LayerChart:
    scale = alt.Scale(type="symlog", constant=10) if log_steps else alt.Scale()
    ticks = {"values": sorted(rows["step"].unique().tolist())} if log_steps else {"tickMinStep": 1, "tickCount": 6}
    axis = alt.Axis(format="d", labelOverlap=True, **ticks)
    base = alt.Chart().encode(
        x=alt.X("step:Q", title="Training step (0 = starting model)", scale=scale, axis=axis),
        color=f.domain_color(domains),
        detail=["run_id:N", "question_set:N"],
    )
    legend = alt.Legend(
        orient="bottom", symbolType="stroke", symbolSize=400, symbolStrokeColor=palette.NEUTRAL, symbolStrokeWidth=2.5
    )
    dash = alt.StrokeDash("question_set:N", title="Questions", legend=legend)
    line = base.encode(f.rate_axis(upper), dash) if many else base.encode(f.rate_axis(upper))
    low, high = f.interval_axis()
    return f.layered(
        f.thin(rows, ["run_id", "question_set"]),
        base.mark_area(opacity=0.12, interpolate="linear").encode(low, high),
        base.mark_rule(opacity=0.55, strokeWidth=1.5).encode(low, high),
        line.mark_line(strokeWidth=2.5),
        base.encode(f.rate_axis(upper)).mark_point(filled=True, size=70, opacity=1).encode(tooltip=f.rate_tooltip()),
    )


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """All panels side by side. Options: `title`, `log_steps`."""
    title = str(options.get("title", TITLE))
    drawn = panels(frame, bool(options.get("log_steps", False)))
    return f.side_by_side(drawn, title, f.rules(frame)) if drawn else f.empty(title, _EMPTY)
