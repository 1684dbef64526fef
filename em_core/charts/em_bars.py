"""Final EM rate by training domain and base model, with intervals: outside the domain, and in it."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from em_core.charts import frame as f
from em_core.charts import palette

TITLE = "EM rate at the last checkpoint"
COLUMNS = f.RATE_COLUMNS
_EMPTY = "No run has a scored last checkpoint yet."


def final(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of each run's last step (one row per run and question set); runs that have only step 0 are left out."""
    trained = frame[frame["step"] > 0]
    return trained[trained["step"] == trained.groupby("run_id")["step"].transform("max")]


def panels(frame: pd.DataFrame) -> list[tuple[str, alt.LayerChart]]:
    """One chart per question set outside the training domain, then one for questions inside it.

    Args:
        frame: Rates, one row per run, step and question set (`COLUMNS`).
    """
    f.require(frame, COLUMNS, "em_bars")
    rows = f.rates(final(frame))
    # several runs of one domain and model (seeds) stand side by side, each with its own interval
    rows["seed"] = rows.groupby(["panel", "where", "domain_label"]).cumcount()
    rows["series"] = rows["domain_label"] + rows["seed"].map(lambda i: f" {i + 1}" if i else "")
    domains, upper, order = sorted(rows["domain_label"].unique()), f.top(rows), list(dict.fromkeys(rows["panel"]))
    return [
        (f"Questions: {name}", _panel(part, domains, upper, order))
        for name, part in sorted(rows.groupby("where"), key=lambda item: (bool(item[1]["in_domain"].any()), str(item[0])))
    ]


def _panel(rows: pd.DataFrame, domains: list[str], upper: float, order: list[str]) -> alt.LayerChart:
    sizes = palette.shape_scale(order)
    base = alt.Chart().encode(
        x=alt.X("panel:N", title=None, sort=order, axis=alt.Axis(labelAngle=0, labelLimit=140)),
        xOffset=alt.XOffset("series:N", title=None, sort=sorted(rows["series"].unique())),
        color=f.domain_color(domains),
    )
    low, high = f.interval_axis()
    return f.layered(
        rows.head(f.MAX_POINTS),
        base.mark_bar(opacity=0.35).encode(f.rate_axis(upper)),
        base.mark_rule(strokeWidth=2).encode(low, high),
        base.mark_point(filled=True, size=80, opacity=1).encode(
            f.rate_axis(upper), shape=alt.Shape("panel:N", scale=sizes, legend=None), tooltip=f.rate_tooltip()
        ),
    )


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """Both panels side by side. Option: `title`."""
    title = str(options.get("title", TITLE))
    drawn = panels(frame)
    return f.side_by_side(drawn, title, f.rules(frame)) if drawn else f.empty(title, _EMPTY)
