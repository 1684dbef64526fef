"""Two judges' scores of the same answers, one against the other; points on the line are agreement."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from em_core.charts import frame as f
from em_core.charts import palette

TITLE = "Scores of two judges"
COLUMNS = ("judge_a", "judge_b", "metric", "value_a", "value_b", "n")
_EMPTY = "No answer has scores of both judges yet."
_SCALE = alt.Scale(domain=[-3, 103], nice=False)
_AXIS = alt.Axis(values=list(range(0, 101, 20)))


def panels(frame: pd.DataFrame, threshold: float | None = None) -> list[tuple[str, alt.LayerChart]]:
    """One chart per metric, the definition's first.

    Args:
        frame: One row per pair of scores with the count of answers that have it (`COLUMNS`).
        threshold: Of the definition, 0-100: a line on both axes of its metric.
    """
    f.require(frame, COLUMNS, "judge_scatter")
    found = []
    for i, (metric, rows) in enumerate(frame.groupby("metric", sort=False)):
        line = threshold if i == 0 else None
        found.append((f"{str(metric).capitalize()}, n = {int(rows['n'].sum()):,}", _panel(str(metric), rows, line)))
    return found


def _panel(metric: str, rows: pd.DataFrame, threshold: float | None) -> alt.LayerChart:
    first, second = str(rows["judge_a"].iloc[0]), str(rows["judge_b"].iloc[0])
    same = pd.DataFrame({"value_a": [0, 100], "value_b": [0, 100]})
    base = alt.Chart().encode(
        x=alt.X("value_a:Q", title=f"{metric} by {f.short(first)}", scale=_SCALE, axis=_AXIS),
        y=alt.Y("value_b:Q", title=f"{metric} by {f.short(second)}", scale=_SCALE, axis=_AXIS),
    )
    size = f.count_size(rows["n"])
    layers = [
        base.properties(data=same).mark_line(color=palette.NEUTRAL, strokeDash=[4, 4]),
        base.mark_circle(opacity=0.55, color=palette.SERIES[1]).encode(
            size,
            tooltip=[
                alt.Tooltip("value_a:Q", title="first judge"),
                alt.Tooltip("value_b:Q", title="second judge"),
                alt.Tooltip("n:Q", title="answers"),
            ],
        ),
    ]
    if threshold is not None:
        at = pd.DataFrame({"value_a": [threshold], "value_b": [threshold]})
        rule = alt.Chart(at).mark_rule(color=palette.SERIES[4], opacity=0.8)
        layers += [rule.encode(x="value_a:Q"), rule.encode(y="value_b:Q")]
    return f.layered(rows, *layers)


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """All metrics side by side. Options: `title`, `threshold`, `notes` (lines below the title)."""
    title = str(options.get("title", TITLE))
    drawn = panels(frame, options.get("threshold"))
    if not drawn:
        return f.empty(title, _EMPTY)
    lines = ["a larger point stands for more answers; on the dashed line both judges give the same score"]
    return f.side_by_side(drawn, title, [*lines, *options.get("notes", ())])
