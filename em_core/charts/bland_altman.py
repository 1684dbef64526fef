"""How far two judges are apart, over the height of the score: bias and limits of agreement with their intervals."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from em_core.charts import frame as f
from em_core.charts import palette

TITLE = "Difference of two judges"
COLUMNS = (
    "judge_a", "judge_b", "metric", "mean", "difference", "n", "n_answers", "bias", "bias_low", "bias_high", "lower", "lower_low",
    "lower_high", "upper", "upper_low", "upper_high",
)  # fmt: skip
_EMPTY = "No answer has scores of both judges yet."
_LINES = (("bias", "mean difference", [1, 0]), ("lower", "95% of differences lie above", [5, 4]),
          ("upper", "95% of differences lie below", [5, 4]))  # fmt: skip


def panels(frame: pd.DataFrame) -> list[tuple[str, alt.LayerChart]]:
    """One chart per metric, the definition's first.

    Args:
        frame: One row per mean and difference with the count of answers that have it, bias and limits
            repeated (`COLUMNS`, as from `em_core.agreement.frames.differences`).
    """
    f.require(frame, COLUMNS, "bland_altman")
    return [
        (f"{str(metric).capitalize()}, n = {int(rows['n_answers'].iloc[0]):,}", _panel(str(metric), rows))
        for metric, rows in frame.groupby("metric", sort=False)
    ]


def _panel(metric: str, rows: pd.DataFrame) -> alt.LayerChart:
    one = rows.iloc[0]
    lines = pd.DataFrame(
        [
            {"what": words, "at": float(one[name]), "from": float(one[f"{name}_low"]), "to": float(one[f"{name}_high"])}
            for name, words, _ in _LINES
            if pd.notna(one[name])
        ],
        columns=["what", "at", "from", "to"],
    )
    base = alt.Chart().encode(
        x=alt.X("mean:Q", title=f"Mean {metric} of the two", scale=alt.Scale(domain=[-3, 103], nice=False)),
        y=alt.Y("difference:Q", title="Second minus first"),
    )
    size = f.count_size(rows["n"])
    level = alt.Chart(lines)
    tip = [
        alt.Tooltip("what:N", title="second minus first"),
        alt.Tooltip("at:Q", format="+.1f", title="value"),
        *f.bounds("from", "to", "+.1f"),
    ]
    dash = alt.StrokeDash("what:N", scale=alt.Scale(domain=[w for _, w, _ in _LINES], range=[d for *_, d in _LINES]), legend=None)
    return f.layered(
        rows,
        level.mark_rect(opacity=0.18, color=palette.SERIES[4]).encode(y=alt.Y("from:Q"), y2="to:Q", tooltip=tip),
        base.mark_circle(opacity=0.55, color=palette.SERIES[1]).encode(
            size, tooltip=[alt.Tooltip("mean:Q"), alt.Tooltip("difference:Q"), alt.Tooltip("n:Q", title="answers")]
        ),
        level.mark_rule(strokeWidth=2, color=palette.SERIES[4]).encode(
            dash, y=alt.Y("at:Q", title="Second minus first"), tooltip=tip
        ),
        level.mark_text(align="right", dy=-7, fontSize=11, color=palette.NEUTRAL).encode(
            x=alt.XDatum(103), y="at:Q", text=alt.Text("at:Q", format="+.1f")
        ),
    )


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """All metrics side by side. Options: `title`, `notes` (lines below the title)."""
    title = str(options.get("title", TITLE))
    drawn = panels(frame)
    if not drawn:
        return f.empty(title, _EMPTY)
    lines = [
        f"first: {frame['judge_a'].iloc[0]}; second: {frame['judge_b'].iloc[0]}",
        "mean difference (line) and the limits that hold 95 % of the differences (dashed), bands: their 95 % intervals",
    ]
    return f.side_by_side(drawn, title, [*lines, *options.get("notes", ())])
