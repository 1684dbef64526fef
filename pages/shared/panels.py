"""Chart panels side by side; on a narrow screen they stack. Each chart can be saved, and some can be clicked."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st
from streamlit.dataframe_util import convert_anything_to_arrow_bytes

from em_core import charts
from pages.shared import saving

HEIGHT = 400
"""Of a panel with title, axes and legend, pixels."""


@st.cache_data(show_spinner=False, max_entries=128)
def _specs(name: str, frame: pd.DataFrame, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Vega-Lite of each panel; drawing one costs Altair some 100 ms, so the same frame is drawn once."""
    if frame.empty:
        return []
    return [packed(spec) for spec in charts.quick_panels(name, frame, options, HEIGHT)[0]]


def packed(spec: dict[str, Any]) -> dict[str, Any]:
    """Vega-Lite with its data as the bytes that Streamlit sends: else it is unpickled and converted again at each rerun."""
    return {**spec, "datasets": {name: convert_anything_to_arrow_bytes(rows) for name, rows in spec["datasets"].items()}}


def show(name: str, frame: pd.DataFrame, columns: int = 3, key: str = "", **options: Any) -> bool:
    """Draw a chart's panels, titled, at most `columns` beside each other; False when there is nothing to draw."""
    specs = _specs(name, frame, options)
    _panels(name, specs, columns, key or name, None)
    if specs:
        saving.menu(name, frame, options, key or name)
    return bool(specs)


def pick(name: str, frame: pd.DataFrame, columns: int = 3, key: str = "", **options: Any) -> dict[str, Any] | None:
    """Draw a chart whose points can be clicked (it has ``PICK``), and return the fields of the one that was.

    Returns:
        Column -> value of the clicked point; None when nothing was clicked.
    """
    specs = _specs(name, frame, options)
    picked = _panels(name, specs, columns, key or name, charts.PICK)
    if specs:
        saving.menu(name, frame, options, key or name)
    return picked


def _panels(name: str, specs: list[dict[str, Any]], columns: int, key: str, selection: str | None) -> dict[str, Any] | None:
    picked = None
    for start in range(0, len(specs), columns):
        row = specs[start : start + columns]
        for i, (place, spec) in enumerate(zip(st.columns(min(columns, len(specs))), row, strict=False), start):
            if selection is None:
                place.vega_lite_chart(spec=spec, width="stretch")
                continue
            event = place.vega_lite_chart(
                spec=spec, width="stretch", key=f"{key}-{i}", on_select="rerun", selection_mode=selection
            )
            points = dict(event["selection"]).get(selection) or []
            picked = picked or (dict(points[0]) if points else None)
    return picked


@st.cache_data(show_spinner=False, max_entries=64)
def _spec(name: str, frame: pd.DataFrame, options: dict[str, Any]) -> dict[str, Any]:
    return packed(charts.specification(charts.load(name).chart(frame, **options)))


def whole(name: str, frame: pd.DataFrame, key: str = "", **options: Any) -> None:
    """Draw a chart that is one panel, as wide as its place."""
    spec = {**_spec(name, frame, options), "width": "container"}
    st.vega_lite_chart(spec=spec, width="stretch")
    saving.menu(name, frame, options, key or name)


def pick_whole(name: str, frame: pd.DataFrame, key: str = "", **options: Any) -> list[dict[str, Any]]:
    """Like `whole`, for a chart with ``PICK``; returns the fields of every point that is selected."""
    spec = {**_spec(name, frame, options), "width": "container"}
    event = st.vega_lite_chart(spec=spec, width="stretch", key=key or name, on_select="rerun", selection_mode=charts.PICK)
    saving.menu(name, frame, options, key or name)
    return [dict(point) for point in dict(event["selection"]).get(charts.PICK) or []]
