"""The same answers under several definitions, side by side."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from em_core import definitions
from em_core.view.side_by_side import definitions_table
from pages.shared import core


def under_each(chosen: pd.DataFrame, judge_id: str, interval: str, definition: str) -> None:
    """One row per run and question set, one column per definition: rate, interval and counts as text.

    Args:
        chosen: Rates of one step per run.
        judge_id: Whose scores.
        interval: Which interval.
        definition: The chosen rule; it comes first.
    """
    names = list(dict.fromkeys([definition, *definitions.DEFINITIONS]))
    frames = {name: core.rates(name, interval) for name in names}
    table = definitions_table(chosen, {name: frame[frame["judge_id"] == judge_id] for name, frame in frames.items()})
    st.dataframe(table, hide_index=True, width="stretch")
