"""EM rate by training domain and base model at one checkpoint of each run, with intervals: outside the domain, and in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from em_core.charts import frame as f
from em_core.charts import palette

TITLE = "EM rate by training domain and size"
COLUMNS = f.RATE_COLUMNS
PICK = ("run_id", "step", "question_set")
_EMPTY = "No run has a scored checkpoint yet."


def final(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of each run's last step (one row per run and question set); runs that have only step 0 are left out."""
    trained = frame[frame["step"] > 0]
    return trained[trained["step"] == trained.groupby("run_id")["step"].transform("max")]


def panels(frame: pd.DataFrame, picking: bool = True, notes: Sequence[str] = ()) -> list[tuple[str, alt.LayerChart]]:
    """One chart per question set outside the training domain, then one for questions inside it.

    Args:
        frame: Rates, one row per run, step and question set (`COLUMNS`): each run's last step is drawn, runs of one
            domain and model side by side. Or, with a column ``pooled``, what `em_core.view.comparing.bars` gives: a bar
            per domain and model (``pooled``), and a point for each of the runs behind it.
        picking: Points of single runs can be clicked.
        notes: For `chart`.
    """
    f.require(frame, COLUMNS, "em_bars")
    told = "pooled" in frame
    rows = f.rates(frame if told else final(frame).assign(pooled=True, n_runs=1)).head(f.MAX_POINTS)
    rows = rows[[*COLUMNS, "pooled", "n_runs", "panel", "where", "domain_label"]]  # what a chart carries, it sends
    # several runs that nobody pooled stand side by side, each with its own interval
    rows["seed"] = 0 if told else rows.groupby(["panel", "where", "domain_label"]).cumcount()
    rows["series"] = rows["domain_label"] + rows["seed"].map(lambda i: f" {i + 1}" if i else "")
    domains, upper, order = sorted(rows["domain_label"].unique()), f.top(rows), list(dict.fromkeys(rows["panel"]))
    inside_last = sorted(rows.groupby("where"), key=lambda item: (bool(item[1]["in_domain"].any()), str(item[0])))
    return [(f"Questions: {name}", _panel(part, domains, upper, order, picking)) for name, part in inside_last]


def _panel(rows: pd.DataFrame, domains: list[str], upper: float, order: list[str], picking: bool) -> alt.LayerChart:
    here = [name for name in order if name in set(rows["panel"])]
    words = [word for name in here for word in name.split(" · ")]
    level = 6.5 * max(map(len, words), default=0) * len(here) < f.PANEL_WIDTH  # labels beside each other have place
    lines = "split(datum.label, ' · ')" if level else alt.Undefined
    base = alt.Chart().encode(
        x=alt.X("panel:N", title=None, sort=here, axis=alt.Axis(labelAngle=0 if level else -30, labelLimit=140, labelExpr=lines)),
        xOffset=alt.XOffset("series:N", title=None, sort=sorted(rows["series"].unique())),
        color=f.domain_color(domains),
    )
    low, high = f.interval_axis()
    whole, wide = base.transform_filter("datum.pooled"), "datum.pooled ? {} : {}"
    points = base.mark_point(filled=True).encode(
        f.rate_axis(upper),
        size=alt.Size("spot:Q", scale=None),
        opacity=alt.Opacity("shade:Q", scale=None),
        shape=alt.Shape("panel:N", scale=palette.shape_scale(order), legend=None),
        tooltip=[*f.rate_tooltip(), alt.Tooltip("n_runs:Q", title="runs")],
    )
    points = points.transform_calculate(spot=wide.format(80, 30), shade=wide.format(1, 0.5))
    return f.layered(
        rows,
        whole.mark_bar(opacity=0.35).encode(f.rate_axis(upper)),
        whole.mark_rule(strokeWidth=2).encode(low, high),
        points.add_params(f.picking(PICK)) if picking else points,
    )


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """Both panels side by side. Options: `title`, `notes` (sentences below the title)."""
    title = str(options.get("title", TITLE))
    drawn = panels(frame, picking=False)
    return f.side_by_side(drawn, title, [*f.rules(frame), *options.get("notes", ())]) if drawn else f.empty(title, _EMPTY)
