"""Lines over training: bands, seeds as faint lines, the starting model, and where a line changes. Shared by the trajectories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import altair as alt
import pandas as pd

from em_core.charts import frame as f
from em_core.charts import palette

PICK = ("run_id", "step", "question_set")
X_TITLES = {
    "step": "Training step (0 = starting model)",
    "epoch": "Epochs (0 = starting model)",
    "samples_seen": "Training samples seen (0 = starting model)",
}
_CONSTANT = {"step": 10, "epoch": 0.1, "samples_seen": 100}  # below it a logarithmic axis is linear, so that 0 has a place
_MOST_MARKS = 12  # more vertical lines than that hide the curves


@dataclass(frozen=True)
class Lines:
    """What is drawn over training.

    Args:
        value: Column of the points.
        low, high: Columns of their intervals.
        title: Of the value axis.
        axis: Its format (``.0%``).
        domain: Its ends.
        x: Column of the other axis, a key of `X_TITLES`.
        log: That axis is logarithmic.
        tooltip: What a point says.
        changes: One row per line that changed: run_id, question_set, step and x (start of the new level), earliest, latest.
        picking: Points can be clicked (not in several panels of one figure, which would share the selection).
    """

    value: str
    low: str
    high: str
    title: str
    axis: str
    domain: tuple[float, float]
    tooltip: list[alt.Tooltip]
    x: str = "step"
    log: bool = False
    changes: pd.DataFrame | None = None
    picking: bool = True


def panels(rows: pd.DataFrame, lines: Lines) -> list[tuple[str, alt.LayerChart]]:
    """One chart per base model, smallest first, all with the same axes and colours.

    Args:
        rows: As `frame.rates` gives them, with the columns of `lines`; a column ``role`` (run, seed or mean) tells the
            seeds of one recipe, drawn faint, from their mean.
    """
    rows = rows[rows[lines.x].notna()].assign(role=rows.get("role", "run"))
    said = [str(tooltip.shorthand).split(":")[0] for tooltip in lines.tooltip]
    drawn = [*PICK, lines.x, lines.value, lines.low, lines.high, "role", "size", "domain_label", "label", "panel", *said]
    rows = rows[list(dict.fromkeys(column for column in drawn if column in rows))]  # the page sends every column that is left
    domains = sorted(rows["domain_label"].unique())
    sizes = list(dict.fromkeys(rows["size"]))
    many = rows["question_set"].nunique() > 1
    return [(str(name), _panel(part, lines, domains, sizes, many)) for name, part in rows.groupby("panel", sort=False)]


def _panel(rows: pd.DataFrame, lines: Lines, domains: list[str], sizes: list[str], many: bool) -> alt.LayerChart:
    value = alt.Y(
        f"{lines.value}:Q",
        title=lines.title,
        scale=alt.Scale(domain=list(lines.domain), nice=False),
        axis=alt.Axis(format=lines.axis, tickCount=5),
    )
    low, high = alt.Y(f"{lines.low}:Q", title=lines.title), alt.Y2(f"{lines.high}:Q")
    base = alt.Chart().encode(
        x=x_axis(rows, lines.x, lines.log), color=f.domain_color(domains), detail=["run_id:N", "question_set:N"]
    )
    lead, seeds = base.transform_filter("datum.role != 'seed'"), base.transform_filter("datum.role == 'seed'")
    layers = [
        *_start(rows, lines, many),
        lead.mark_area(opacity=0.12, interpolate="linear").encode(low, high),
        lead.mark_rule(opacity=0.55, strokeWidth=1.5).encode(low, high),
    ]
    dash = [_dash(rows["question_set"].nunique())] if many else []
    if (rows["role"] == "seed").any():
        layers.append(seeds.mark_line(strokeWidth=1.2, opacity=0.4).encode(value, *dash))
    layers.append(lead.mark_line(strokeWidth=2.5).encode(value, *dash))
    shape = alt.Shape("size:N", scale=palette.shape_scale(sizes), legend=None)
    points = base.transform_filter("datum.role != 'mean'").encode(value, shape, tooltip=lines.tooltip)
    if (rows["role"] == "mean").any():
        layers.append(
            base.transform_filter("datum.role == 'mean'")
            .mark_point(filled=True, size=60, shape="diamond")
            .encode(value, tooltip=lines.tooltip)
        )
    drawn_points = points.mark_point(filled=True, size=70, cursor="pointer", opacity=1)
    if (rows["role"] == "seed").any():  # a condition costs Altair a fifth of the whole chart
        drawn_points = drawn_points.encode(opacity=alt.condition("datum.role == 'seed'", alt.value(0.5), alt.value(1)))
    layers.append(drawn_points.add_params(f.picking(PICK)) if lines.picking else drawn_points)
    drawn = f.layered(f.thin(rows, ["run_id", "question_set"]), *layers)
    marks = _changes(rows, lines, domains)
    return drawn if marks is None else cast(alt.LayerChart, alt.layer(drawn, marks, height=f.HEIGHT))


def x_axis(rows: pd.DataFrame, x: str, log: bool, start: bool = True) -> alt.X:
    """The axis of training: steps, epochs or samples; a logarithmic one has its ticks at the checkpoints.

    Args:
        rows: What is drawn.
        x: A key of `X_TITLES`.
        log: Logarithmic.
        start: The starting model is at 0, and every x is a checkpoint.
    """
    scale = alt.Scale(type="symlog", constant=_CONSTANT[x]) if log else alt.Scale()
    ticks: dict[str, Any] = {"tickCount": 6} if x == "epoch" else {"tickMinStep": 1, "tickCount": 6}
    if log and start:
        ticks = {"values": sorted(float(v) for v in rows[x].unique())}
    axis = alt.Axis(format={"step": "d", "epoch": ".2~f", "samples_seen": "~s"}[x], labelOverlap=True, **ticks)
    return alt.X(f"{x}:Q", title=X_TITLES[x] if start else X_TITLES[x].split(" (")[0], scale=scale, axis=axis)


def _dash(n_sets: int) -> alt.StrokeDash:
    legend = alt.Legend(  # a few below each other fit a narrow window
        orient="bottom", columns=1 if n_sets <= 4 else 2, symbolType="stroke", symbolSize=400,
        symbolStrokeColor=palette.NEUTRAL, symbolStrokeWidth=2.5,
    )  # fmt: skip
    return alt.StrokeDash("question_set:N", title="Questions", legend=legend)


def _start(rows: pd.DataFrame, lines: Lines, many: bool) -> list[alt.Chart]:
    """A dashed line at the height of the starting model, where all lines of the panel share one."""
    start = rows.loc[(rows["step"] == 0) & (rows["role"] != "mean"), lines.value].dropna()
    if many or start.empty or start.nunique() > 1:
        return []
    level = pd.DataFrame({"start": [float(start.iloc[0])], "what": ["starting model"]})
    rule = alt.Chart(level).mark_rule(strokeDash=[4, 4], color=palette.NEUTRAL, opacity=0.9)
    return [
        rule.encode(
            y=alt.Y("start:Q", title=lines.title), tooltip=[alt.Tooltip("what:N"), alt.Tooltip("start:Q", format=lines.axis)]
        )
    ]


def _changes(rows: pd.DataFrame, lines: Lines, domains: list[str]) -> alt.Chart | None:
    """Where lines change, as thin vertical lines with the steps between which that is 95 % credible."""
    if lines.changes is None or lines.changes.empty:
        return None
    keys = ["run_id", "question_set"]
    marks = lines.changes.merge(rows[[*keys, "domain_label", "label"]].drop_duplicates(keys), on=keys, suffixes=("_", ""))
    if marks.empty or len(marks) > _MOST_MARKS:
        return None
    shown = list(dict.fromkeys([*keys, "domain_label", "label", lines.x, "step", "earliest", "latest", "p_change"]))
    return (
        alt.Chart(marks[shown])
        .mark_rule(strokeDash=[2, 3], strokeWidth=1.5, opacity=0.8)
        .encode(
            x=alt.X(f"{lines.x}:Q"),
            color=f.domain_color(domains),
            tooltip=[
                alt.Tooltip("label:N", title="changes in"),
                alt.Tooltip("question_set:N", title="questions"),
                alt.Tooltip("step:Q", title="new level from step"),
                alt.Tooltip("earliest:Q", title="95 % credible: not before"),
                alt.Tooltip("latest:Q", title="not after"),
                alt.Tooltip("p_change:Q", title="probability of any change", format=".0%"),
            ],
        )
    )
