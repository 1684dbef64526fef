"""Chart panels side by side; on a narrow screen they stack."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from em_core import charts

HEIGHT = 400
"""Of a panel with title, axes and legend, pixels."""


@st.cache_data(show_spinner=False, max_entries=128)
def _specs(name: str, frame: pd.DataFrame, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Vega-Lite of each panel; drawing one costs Altair some 100 ms, so the same frame is drawn once."""
    drawn = charts.load(name).panels(frame, **options)  # type: ignore[attr-defined]
    return [chart.properties(title=title, height=HEIGHT).to_dict() for title, chart in drawn]


def show(name: str, frame: pd.DataFrame, columns: int = 3, **options: Any) -> bool:
    """Draw a chart's panels, titled, at most `columns` beside each other; False when there is nothing to draw."""
    specs = _specs(name, frame, options)
    for start in range(0, len(specs), columns):
        row = specs[start : start + columns]
        for place, spec in zip(st.columns(min(columns, len(specs))), row, strict=False):
            place.vega_lite_chart(spec=spec, width="stretch")
    return bool(specs)


@st.cache_data(show_spinner=False, max_entries=64)
def _spec(name: str, frame: pd.DataFrame, options: dict[str, Any]) -> dict[str, Any]:
    return charts.load(name).chart(frame, **options).to_dict()


def whole(name: str, frame: pd.DataFrame, **options: Any) -> None:
    """Draw a chart that is one panel, as wide as its place."""
    spec = {**_spec(name, frame, options), "width": "container"}
    st.vega_lite_chart(spec=spec, width="stretch")
