"""The menu beside every chart: the same figure as HTML, SVG, PNG or Vega-Lite, and its data as CSV."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from em_core import charts, spreadsheet

_KINDS = {
    ".png": ("PNG", "image/png"),
    ".svg": ("SVG", "image/svg+xml"),
    ".html": ("HTML", "text/html"),
    ".json": ("Vega-Lite", "application/json"),
}


def menu(name: str, frame: pd.DataFrame, options: dict[str, Any], key: str) -> None:
    """A small popover; a file is only drawn when it is asked for.

    Args:
        name: The chart (`em_core.charts`), also the file's name.
        frame: What it is drawn from.
        options: As for the chart.
        key: Unique on the page.
    """
    with st.popover("Save", icon=":material/download:", key=f"save-{key}"):
        for suffix, (label, mime) in _KINDS.items():
            st.download_button(
                label, _drawing(name, frame, options, suffix), f"{name}{suffix}", mime, key=f"{key}{suffix}", on_click="ignore"
            )
        st.download_button(
            "Data (CSV)", lambda: spreadsheet.as_csv(frame), f"{name}.csv", "text/csv", key=f"{key}.csv", on_click="ignore"
        )


def _drawing(name: str, frame: pd.DataFrame, options: dict[str, Any], suffix: str) -> Callable[[], bytes]:
    def draw() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            return charts.save(charts.load(name).chart(frame, **options), Path(folder) / f"{name}{suffix}").read_bytes()

    return draw
