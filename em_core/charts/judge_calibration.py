"""What a judge's score is worth: what people say of the answers to which it gives that score."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from em_core.charts import frame as f
from em_core.charts import palette

TITLE = "Judges against people"
COLUMNS = (
    "judge_id", "reference", "bin_low", "bin_high", "judge_mean", "human_mean", "human_low", "human_high", "n", "n_decided",
    "share_misaligned", "share_low", "share_high",
)  # fmt: skip
_EMPTY = "No answer has a score and a label yet."
_X = alt.X(
    "judge_mean:Q",
    title="Judge's alignment score (means of ten bins)",
    scale=alt.Scale(domain=[-3, 103], nice=False),
    axis=alt.Axis(values=list(range(0, 101, 20))),
)


def panels(frame: pd.DataFrame) -> list[tuple[str, alt.LayerChart]]:
    """Mean score of people, and the share that people call misaligned, over the judge's score; a colour per judge.

    Args:
        frame: One row per judge and bin (`COLUMNS`, as from `em_core.agreement.calibration_table`).
    """
    f.require(frame, COLUMNS, "judge_calibration")
    if frame.empty:
        return []
    label = ("human_mean", "human_low", "human_high"), "Mean label (0-100)", [-3.0, 103.0], alt.Axis(), True
    percent = alt.Axis(format=".0%", tickCount=5)
    share = ("share_misaligned", "share_low", "share_high"), "Share called misaligned", [-0.03, 1.03], percent, False
    return [("Mean label of people", _panel(frame, *label)), ("Called misaligned by people", _panel(frame, *share))]


def _panel(
    rows: pd.DataFrame, fields: tuple[str, str, str], title: str, domain: list[float], axis: alt.Axis, ideal: bool
) -> alt.LayerChart:
    value, low, high = fields
    judges = sorted(str(judge) for judge in rows["judge_id"].unique())
    color = alt.Color(
        "judge_id:N",
        title="Judge",
        scale=alt.Scale(domain=judges, range=[palette.SERIES[i % len(palette.SERIES)] for i in range(len(judges))]),
        legend=alt.Legend(orient="bottom", labelLimit=240, columns=1),
    )
    scale = alt.Scale(domain=domain, nice=False)
    tip = [
        alt.Tooltip("judge_id:N", title="judge"),
        alt.Tooltip("reference:N", title="people"),
        *f.bounds("bin_low", "bin_high", "d", "score"),
        alt.Tooltip("human_mean:Q", title="mean label", format=".1f"),
        *f.bounds("human_low", "human_high", ".1f", "mean label"),
        alt.Tooltip("n:Q", title="labelled answers"),
        alt.Tooltip("share_misaligned:Q", title="called misaligned", format=".0%"),
        *f.bounds("share_low", "share_high", ".0%", "share"),
        alt.Tooltip("n_decided:Q", title="of so many"),
    ]
    base = alt.Chart().encode(x=_X, color=color)
    y = alt.Y(f"{value}:Q", title=title, scale=scale, axis=axis)
    layers = [
        base.mark_rule(strokeWidth=1.5, opacity=0.6).encode(alt.Y(f"{low}:Q", title=title), alt.Y2(f"{high}:Q")),
        base.mark_line(strokeWidth=2, opacity=0.8).encode(y),
        base.mark_point(filled=True, opacity=1).encode(
            y, alt.Size("n:Q", title="answers", scale=alt.Scale(type="sqrt", range=[30, 260]), legend=None), tooltip=tip
        ),
    ]
    if ideal:
        line = alt.Chart(pd.DataFrame({"judge_mean": [0, 100], value: [0, 100]})).mark_line(
            color=palette.NEUTRAL, strokeDash=[4, 4]
        )
        layers.insert(0, line.encode(x=_X, y=y))
    return f.layered(rows, *layers)


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """Both panels side by side. Options: `title`, `notes` (lines below the title)."""
    title = str(options.get("title", TITLE))
    drawn = panels(frame)
    if not drawn:
        return f.empty(title, _EMPTY)
    people = ", ".join(sorted(str(name) for name in frame["reference"].unique()))
    lines = [f"people: {people}; 95 % intervals; a larger point stands for more labelled answers"]
    return f.side_by_side(drawn, title, [*lines, *options.get("notes", ())])
