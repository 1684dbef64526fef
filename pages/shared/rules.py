"""The same answers under several definitions, side by side."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from em_core import definitions
from em_core.selection import Selection
from em_core.view.side_by_side import definitions_table
from pages.shared import core

FEW_RUNS = 12
"""With more of them the table is made when it is asked for."""


def under_each(chosen: pd.DataFrame, selection: Selection) -> None:
    """One row per run and question set, one column per definition: rate, interval and counts as text.

    Args:
        chosen: Rates of one step per run.
        selection: What is looked at; its rule comes first.
    """
    names = list(dict.fromkeys([selection.definition, *definitions.DEFINITIONS]))
    table = definitions_table(chosen, {name: core.rates_of(selection.but(definition=name)) for name in names})
    st.dataframe(table, hide_index=True, width="stretch")
