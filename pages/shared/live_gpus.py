"""The machine's GPUs now and in the last minutes; a machine without one says so calmly."""

from __future__ import annotations

from typing import Any

import streamlit as st

from em_core import gpu_history
from em_core.gpu_history import GpuTrace
from em_core.view import live_gpus as view
from pages.shared import words

_AS_TILES = 2
"""Up to so many GPUs are shown as tiles, more as a table."""


def show() -> None:
    """Load, memory, heat and power of every GPU."""
    seen = gpu_history.look()
    if not seen.asked:
        st.caption("GPUs: the driver is being asked.")
    elif not seen.gpus:
        why = f"The GPUs cannot be read: {words.plain(seen.problem)}." if seen.problem else "No GPU on this machine."
        st.caption(f":material/memory: {why} Runs of small models work on the CPU.")
    elif len(seen.gpus) <= _AS_TILES:
        for gpu in seen.gpus:
            _tiles(gpu)
    else:
        _table(seen.gpus)


def _tiles(gpu: GpuTrace) -> None:
    st.caption(words.plain(view.name(gpu)))
    if gpu.now.problem:
        st.warning(words.plain(gpu.now.problem), icon=":material/report:")
    with st.container(horizontal=True, gap="small"):
        for tile in view.tiles(gpu):
            st.metric(
                tile.label, tile.value, chart_data=tile.history, chart_type="area", border=True, width=250, height="content"
            )


def _table(gpus: tuple[GpuTrace, ...]) -> None:
    percent: dict[str, Any] = {"min_value": 0, "max_value": 100, "format": "%d %%"}
    st.dataframe(
        view.table(gpus),
        hide_index=True,
        width="stretch",
        height="content",
        column_config={  # type: ignore[arg-type]  # made by functions that have no type of their own
            "Load": st.column_config.ProgressColumn(**percent),
            "Last minutes": st.column_config.AreaChartColumn(y_min=0, y_max=100),
            "Memory": st.column_config.ProgressColumn(**percent),
            "GiB": st.column_config.TextColumn(),
            "°C": st.column_config.NumberColumn(format="%d"),
            "W": st.column_config.TextColumn(),
        },
    )
