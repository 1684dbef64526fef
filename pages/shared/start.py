"""Parts of the first page: which page answers what, and the newest results of one's own."""

from __future__ import annotations

import streamlit as st

from em_core import definitions
from em_core.selection import Selection
from em_core.view import headline
from pages.shared import core, panels, tables, words

_QUESTIONS = (
    ("observe/trajectories.py", ":material/show_chart:", "When does it emerge?"),
    ("observe/compare.py", ":material/bar_chart:", "Where, and how strongly?"),
    ("observe/coherence.py", ":material/scatter_plot:", "Misaligned, or broken?"),
    ("observe/responses.py", ":material/forum:", "What did it say?"),
    ("measure/judges.py", ":material/balance:", "Can the judge be trusted?"),
    ("share/export.py", ":material/ios_share:", "Take it along"),
)


def questions() -> None:
    """A link for each question that a reader comes with."""
    with st.container(horizontal=True):
        for page, icon, label in _QUESTIONS:
            st.page_link(page, label=label, icon=icon)


def newest() -> None:
    """The last checkpoints of the newest experiment that is not the demonstration; nothing where there is none."""
    with core.guarded():
        rows = headline.newest(core.contents())
    if rows.empty:
        return
    definition = definitions.DEFAULT if rows["n_alignment"].any() else "verdict"
    runs = tuple(str(run) for run in rows["run_id"].drop_duplicates())
    selection = Selection(definition, judge_id=str(rows["judge_id"].iloc[0]), run_ids=runs)
    with core.guarded():
        rates = core.rates_of(selection)
    shown = headline.questions(rates, headline.question_choices(rates)[0]) if len(rates) else rates
    st.header("Your newest results")
    rule = words.plain(definitions.get(definition).rule)
    st.caption(
        f"Experiment {words.plain(rows['experiment'].iloc[0] or 'without a name')}. **{definition}**: {rule}. Intervals: 95%."
    )
    if not panels.show("em_bars", shown, columns=2, key="newest"):
        st.caption("No scored checkpoint after the first step yet.")
    st.caption(tables.summary(shown))
