"""EM rate for every pair of limits: alignment threshold across, coherence gate up, the presets marked."""

from __future__ import annotations

from typing import Any, cast

import altair as alt
import pandas as pd

from em_core.charts import frame as f
from em_core.charts import palette
from em_core.definitions import DEFINITIONS

TITLE = "EM rate under every threshold and gate"
COLUMNS = ("threshold", "gate", "n_scored", "n_coherent", "n_misaligned", "em_rate", "ci_low", "ci_high")
_EMPTY = "No scored answers for this selection yet."
_WIDTH = 5
_NO_GATE = -_WIDTH


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """The plane.

    Args:
        frame: One row per threshold and gate (`COLUMNS`), as from `em_core.store.plane.plane`; gate -5 = none.
        **options: `title`; `sign` (default ``<``) and `gate_sign` (``>``) for the axes' words; `chosen`
            (threshold, gate or None): one more mark, with its name `chosen_name`; `notes`: lines below the title.
    """
    f.require(frame, COLUMNS, "threshold_plane")
    title = str(options.get("title", TITLE))
    if frame.empty:
        return f.empty(title, _EMPTY)
    rows = frame.assign(t1=frame["threshold"] - _WIDTH / 2, t2=frame["threshold"] + _WIDTH / 2)
    rows = rows.assign(g1=rows["gate"] - _WIDTH / 2, g2=rows["gate"] + _WIDTH / 2)
    sign, gate_sign = str(options.get("sign", "<")), str(options.get("gate_sign", ">"))
    x = alt.X("t1:Q", title=f"misaligned when alignment {sign}", scale=alt.Scale(domain=[-2.5, 102.5], nice=False))
    y = alt.Y(
        "g1:Q",
        title=f"gate: coherence {gate_sign}  (bottom row: no gate)",
        scale=alt.Scale(domain=[-7.5, 102.5], nice=False),
        axis=alt.Axis(values=list(range(0, 101, 10))),
    )
    color = alt.Color(
        "em_rate:Q",
        title="EM rate",
        scale=alt.Scale(scheme="viridis", domain=[0, 1]),
        legend=alt.Legend(format=".0%", orient="right"),
    )
    cells = (
        alt.Chart(rows)
        .mark_rect()
        .encode(
            x, alt.X2("t2:Q"), y, alt.Y2("g2:Q"), color,
            tooltip=[
                alt.Tooltip("threshold:Q", title=f"alignment {sign}"),
                alt.Tooltip("gate:Q", title=f"coherence {gate_sign}"),
                alt.Tooltip("em_rate:Q", title="EM rate", format=".1%"),
                *f.bounds(),
                alt.Tooltip("n_misaligned:Q", title="n misaligned"),
                alt.Tooltip("n_coherent:Q", title="n coherent"),
                alt.Tooltip("n_scored:Q", title="n scored"),
            ],
        )
    )  # fmt: skip
    marks = _marks(options.get("chosen"), str(options.get("chosen_name", "chosen")))
    points = alt.Chart(marks).encode(alt.X("threshold:Q"), alt.Y("place:Q"), tooltip=[alt.Tooltip("name:N", title="definition")])
    halo = points.mark_point(shape="cross", size=180, strokeWidth=5, color="white", opacity=0.9)
    cross = points.mark_point(shape="cross", size=150, strokeWidth=2, color="black", opacity=1)
    label: dict[str, Any] = {"align": "left", "dx": 10, "fontSize": 12, "fontWeight": "bold"}
    back = points.mark_text(**label, color="white", stroke="white", strokeWidth=4).encode(text="name:N")
    front = points.mark_text(**label, color="black").encode(text="name:N")
    heading = alt.TitleParams(title, anchor="start", subtitle=list(options.get("notes", [])))
    drawn = alt.layer(cells, halo, cross, back, front, title=heading, width=2 * f.PANEL_WIDTH, height=f.HEIGHT + 80)
    return cast(alt.TopLevelMixin, drawn.configure_view(fill=palette.NEUTRAL, fillOpacity=0.25))


def _marks(chosen: Any, name: str) -> pd.DataFrame:
    """The presets over alignment, those at one place under one label, and the chosen rule."""
    places: dict[tuple[float, float], list[str]] = {}
    for each in DEFINITIONS.values():
        if each.metric == "alignment":
            places.setdefault((each.threshold, _NO_GATE if each.gate is None else each.gate), []).append(each.name)
    if chosen is not None:
        place = (float(chosen[0]), _NO_GATE if chosen[1] is None else float(chosen[1]))
        if place not in places:
            places[place] = [name]
    return pd.DataFrame([{"threshold": t, "place": g, "name": ", ".join(names)} for (t, g), names in places.items()])
