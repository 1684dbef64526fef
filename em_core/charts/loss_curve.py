"""Training loss (or gradient norm, or learning rate) over training, one line per run."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from em_core.charts import _lines, palette
from em_core.charts import frame as f

TITLE = "Training loss"
COLUMNS = ("run_id", "label", "domain", "step", "loss")
METRICS = {"loss": "Loss", "grad_norm": "Gradient norm", "learning_rate": "Learning rate"}


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """One row per run and step; long runs are thinned evenly, first and last step kept.

    Args:
        frame: See `COLUMNS`; rows without a value are left out.
        options: `title`; `height` in pixels; `metric`, a key of `METRICS`; `x`, ``step``, ``epoch`` or
            ``samples_seen``; `log_steps`.
    """
    metric, x = str(options.get("metric", "loss")), str(options.get("x", "step"))
    f.require(frame, [*COLUMNS, metric, x], "loss_curve")
    title = options.get("title", TITLE if metric == "loss" else METRICS[metric])
    height = int(options.get("height", f.HEIGHT))
    rows = frame[frame[metric].notna() & frame[x].notna()].sort_values(["run_id", "step"], kind="stable").copy()
    if rows.empty:
        return f.empty(title or TITLE, "No training step yet.").properties(height=height)
    rows["domain_label"] = rows["domain"].where(rows["domain"] != "", "no domain")
    several = rows["run_id"].nunique() > 1
    colour = f.domain_color(sorted(rows["domain_label"].unique()), legend=several)
    shown = list(dict.fromkeys(["run_id", "label", "domain_label", "step", x, metric]))
    base = alt.Chart(f.thin(rows[shown], ["run_id"]), height=height, **({"title": title} if title else {})).encode(
        x=_lines.x_axis(rows, x, bool(options.get("log_steps", False)), start=False),
        y=alt.Y(f"{metric}:Q", title=METRICS[metric], scale=alt.Scale(zero=False, nice=True)),
        color=colour if several else alt.value(palette.color_of(str(rows["domain"].iloc[0]))),
        detail="run_id:N",
        tooltip=[
            alt.Tooltip("label:N", title="run"),
            alt.Tooltip("domain_label:N", title="trained on"),
            alt.Tooltip("step:Q"),
            alt.Tooltip(f"{metric}:Q", title=METRICS[metric].lower(), format=".4~g"),
        ],
    )
    return base.mark_line(strokeWidth=2, point={"size": 14})
