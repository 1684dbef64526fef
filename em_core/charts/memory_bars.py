"""What takes a card's memory while a run trains and while it samples, as a plan says, against the size of the card."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from em_core.charts import frame as f
from em_core.charts import palette

TITLE = "Memory by phase"
COLUMNS = ("phase", "part", "gib", "card_gib")
PARTS = {
    "weights": "#0F6BB8", "adapter": "#4FA3C7", "optimizer": "#7B6FD0", "gradients": "#B8860B", "activations": "#D55E00",
    "output head": "#B5524A", "merged copies": "#17AC7B", "key-value cache": "#D884C4", "decoding": "#8A8D3C",
    "libraries": palette.NEUTRAL,
}  # fmt: skip
"""The parts in the order of the bar, and their colours."""
_BAR = 34


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """One bar a phase, a segment a part, a rule at the card's size.

    Args:
        frame: One row a phase and part: phase, part (a key of `PARTS`), gib, card_gib (the card's memory, the same in
            every row; missing = no rule).
        options: `title`; "" for none.
    """
    f.require(frame, COLUMNS, "memory_bars")
    title = options.get("title", TITLE)
    rows = frame[frame["gib"] > 0].copy()
    if rows.empty:
        return f.empty(str(title or TITLE), "The model's shape is not known yet.")
    parts = [part for part in PARTS if part in set(rows["part"])]
    rows["place"] = rows["part"].map({part: i for i, part in enumerate(PARTS)})
    rows["total_gib"] = rows.groupby("phase")["gib"].transform("sum")
    rows["card_gib"] = rows["card_gib"].astype(float)
    phases = list(dict.fromkeys(rows["phase"]))
    card = rows["card_gib"].max()
    upper = float(max(rows["total_gib"].max(), card if card == card else 0.0)) * 1.02
    bars = alt.Chart().mark_bar(size=_BAR - 12).encode(
        y=alt.Y("phase:N", title=None, sort=phases, axis=alt.Axis(ticks=False, domain=False)),
        x=alt.X("sum(gib):Q", title="GiB", scale=alt.Scale(domain=[0, upper], nice=False), axis=alt.Axis(tickCount=5)),
        color=alt.Color(
            "part:N", title=None, sort=parts, scale=alt.Scale(domain=parts, range=[PARTS[part] for part in parts]),
            legend=alt.Legend(orient="bottom", columns=3, symbolOpacity=1, labelLimit=130, symbolType="square"),
        ),
        order=alt.Order("place:Q"),
        tooltip=[
            alt.Tooltip("phase:N"), alt.Tooltip("part:N"), alt.Tooltip("gib:Q", title="GiB", format=".2f"),
            alt.Tooltip("total_gib:Q", title="whole phase, GiB", format=".1f"),
            alt.Tooltip("card_gib:Q", title="card, GiB", format=".1f"),
        ],
    )  # fmt: skip
    layers = [bars]
    if card == card:
        layers.append(alt.Chart().mark_rule(strokeWidth=2, strokeDash=[5, 3], color=palette.NEUTRAL).encode(x="max(card_gib):Q"))
    drawn = f.layered(rows, *layers).properties(height=_BAR * len(phases))
    return drawn.properties(title=str(title)) if title else drawn
