"""Checkpoints on a plane: a point with the intervals of both axes, connected along the steps of a run."""

from __future__ import annotations

from dataclasses import dataclass

import altair as alt
import pandas as pd

from em_core.charts import frame as f
from em_core.charts import palette

PICK = ("run_id", "step", "question_set")
_MOST_LEGEND = 6


@dataclass(frozen=True)
class Plane:
    """The two axes.

    Args:
        x, y: Columns of the points.
        x_low, x_high, y_low, y_high: Columns of their intervals.
        x_axis, y_axis: The axes, with their scales.
        titles: Of both axes, for the layers that draw intervals.
        tooltip: What a point says.
        pick: Columns that name a point.
        picking: Points can be clicked.
    """

    x: str
    y: str
    x_low: str
    x_high: str
    y_low: str
    y_high: str
    x_axis: alt.X
    y_axis: alt.Y
    titles: tuple[str, str]
    tooltip: list[alt.Tooltip]
    pick: tuple[str, ...] = PICK
    picking: bool = True


def layers(rows: pd.DataFrame, plane: Plane) -> list[alt.Chart]:
    """Lines along steps, crosses, points; colour by domain, shape by size, the last checkpoint of a line larger.

    Args:
        rows: As `frame.rates` gives them, with the columns of `plane`; the layers share them (`frame.layered`).
    """
    domains, sizes = sorted(rows["domain_label"].unique()), list(dict.fromkeys(rows["size"]))
    base = alt.Chart().encode(color=f.domain_color(domains), detail=["run_id:N", "question_set:N"])
    shape_legend = (
        alt.Legend(orient="bottom", symbolFillColor=palette.NEUTRAL, symbolStrokeColor=palette.NEUTRAL)
        if 1 < len(sizes) <= _MOST_LEGEND
        else None
    )
    shape = alt.Shape("size:N", title="Size", scale=palette.shape_scale(sizes), legend=shape_legend)
    points = base.mark_point(filled=True, opacity=0.95, cursor="pointer").encode(
        plane.x_axis,
        plane.y_axis,
        shape,
        size=alt.condition("datum.is_last", alt.value(110), alt.value(38)),
        tooltip=plane.tooltip,
    )
    return [
        base.mark_line(strokeWidth=1.2, opacity=0.5).encode(plane.x_axis, plane.y_axis, order=alt.Order("step:Q")),
        base.mark_rule(strokeWidth=1.2, opacity=0.4).encode(
            alt.X(f"{plane.x_low}:Q", title=plane.titles[0]), alt.X2(f"{plane.x_high}:Q"), plane.y_axis
        ),
        base.mark_rule(strokeWidth=1.2, opacity=0.4).encode(
            plane.x_axis, alt.Y(f"{plane.y_low}:Q", title=plane.titles[1]), alt.Y2(f"{plane.y_high}:Q")
        ),
        points.add_params(f.picking(plane.pick)) if plane.picking else points,
    ]


def labelled(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """The rows that have the value, as `frame.rates` labels them, and is_last: the last checkpoint of its line."""
    rows = f.rates(frame.assign(em_rate=frame[value]))
    last = rows.groupby(["run_id", "question_set"])["step"].transform("max")
    unused = ["base_model", "size_b", "domain", "where", "in_domain", "demo", "toy", "run_kind", "experiment", "note"]
    return rows.assign(is_last=rows["step"] == last).drop(columns=unused, errors="ignore")
