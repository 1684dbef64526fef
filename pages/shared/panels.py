"""Chart panels side by side; on a narrow screen they stack."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import streamlit as st


def show(panels: Sequence[tuple[str, alt.LayerChart]], columns: int = 3) -> None:
    """One column per panel, titled; at most `columns` beside each other."""
    for start in range(0, len(panels), columns):
        row = panels[start : start + columns]
        for place, (name, chart) in zip(st.columns(min(columns, max(len(panels), 1))), row, strict=False):
            place.altair_chart(chart.properties(title=name), width="stretch")
