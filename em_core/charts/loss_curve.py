"""Training loss over steps, one line per run."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from em_core.charts import frame as f
from em_core.charts import palette

TITLE = "Training loss"
COLUMNS = ("run_id", "label", "domain", "step", "loss")


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """One row per run and step; long runs are thinned evenly, first and last step kept.

    Args:
        frame: See `COLUMNS`; rows without a loss are left out.
        options: `title`; `height` in pixels.
    """
    f.require(frame, COLUMNS, "loss_curve")
    title, height = options.get("title", TITLE), int(options.get("height", f.HEIGHT))
    rows = frame[frame["loss"].notna()].sort_values(["run_id", "step"], kind="stable").copy()
    if rows.empty:
        return f.empty(title or TITLE, "No training step yet.").properties(height=height)
    rows["domain_label"] = rows["domain"].where(rows["domain"] != "", "no domain")
    several = rows["run_id"].nunique() > 1
    colour = f.domain_color(sorted(rows["domain_label"].unique()), legend=several)
    base = alt.Chart(f.thin(rows, ["run_id"]), height=height, **({"title": title} if title else {})).encode(
        x=alt.X("step:Q", title="Training step", axis=alt.Axis(format="d", tickMinStep=1, tickCount=6)),
        y=alt.Y("loss:Q", title="Loss", scale=alt.Scale(zero=False, nice=True)),
        color=colour if several else alt.value(palette.color_of(str(rows["domain"].iloc[0]))),
        detail="run_id:N",
        tooltip=[alt.Tooltip("label:N", title="run"), alt.Tooltip("step:Q"), alt.Tooltip("loss:Q", format=".4f")],
    )
    return base.mark_line(strokeWidth=2, point={"size": 14})
