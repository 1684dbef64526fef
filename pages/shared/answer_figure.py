"""The columns' answers to one question as a figure, the published study's table, with its Save menu."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from em_core import charts
from em_core.charts import response_table
from em_core.figures import response_table as figure
from em_core.home import Home
from em_core.selection import Selection
from em_core.store.browse import Column
from pages.shared import core, saving, words
from pages.shared.responses import Asked


@st.cache_data(show_spinner=False, max_entries=32)
def _frame(
    root: str, generation: str, selection: Selection, columns: tuple[Column, ...], question_id: str | None, pick: str
) -> tuple[pd.DataFrame, dict[str, Any]]:
    return figure.frame(Home(core.home().root), selection, columns=columns, question_id=question_id, pick=pick)


def show(asked: Asked, selection: Selection) -> None:
    """Which answer stands for a model is said by a rule, never chosen by hand; the filters of answers do not apply."""
    pick = str(
        st.segmented_control("Of each model", list(figure.PICKS), default="first", required=True, key="pick", bind="query-params")
    )
    if asked.query.filter.question_id is None:
        st.caption("Choose a question above; without one it is the first outside the training domain.")
    if asked.query.filter.picks:
        st.caption(":material/info: Search, scores and outcome are not applied here: the rule alone picks the answers.")
    with core.guarded():
        frame, options = _frame(*core.key(), selection, asked.columns, asked.query.filter.question_id, pick)
    if frame.empty:
        words.empty_state("table_chart", "No answers to this question", "Choose another question or other columns.")
        return
    spec = charts.specification(response_table.chart(frame, **options))
    with st.container(height=int(spec["height"]) + 120, border=False):  # scrolls sideways on a narrow screen
        st.vega_lite_chart(spec=spec, width="content")
    st.caption("On a narrow screen, scroll the figure sideways, or save it as PNG.")
    saving.menu("response_table", frame, options, "response_table")
