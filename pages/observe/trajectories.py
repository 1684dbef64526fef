"""When does misalignment emerge, and how strongly? EM rate over the steps of every fine-tune."""

import streamlit as st

from em_core import definitions
from em_core.supervisor.evidence import list_runs
from pages.shared import changes, core, filters, health, panels, tables, words

REFRESH_S = 3.0

st.title("Trajectories")
st.caption("When does misalignment emerge in a fine-tune, and how strongly? Step 0 is the model before the fine-tune.")

with core.guarded():
    busy = any(status.active or status.state == "queued" for status in list_runs(core.home()))


@st.fragment(run_every=REFRESH_S if busy else None)
def view() -> None:
    """Filters, chart and table; drawn again by itself only while something runs."""
    with core.guarded():
        known = core.judges()
    if known.empty:
        words.empty_state(
            "show_chart",
            "No scored answers yet",
            "Start the demo on [Home](/), or your own run on [Launch](/launch); points appear with the first checkpoint.",
        )
        return

    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        definition = filters.definition()
        interval = filters.interval()
        with core.guarded():
            rates = core.rates(definition, interval)
        judge_id = filters.judge(rates, known)
        log_steps = filters.log_steps()
    if judge_id is None:
        words.no_judge_for(definition)
        return
    chosen = filters.narrow(rates[rates["judge_id"] == judge_id])

    st.caption(f"**{definition}**: {words.plain(definitions.get(definition).rule)}. {filters.INTERVALS[interval]}")
    if not panels.show("em_trajectory", chosen, log_steps=log_steps):
        words.empty_state("filter_alt_off", "Nothing here yet", "Remove a filter, or wait for the next checkpoint to be scored.")
    st.caption(tables.summary(chosen))
    if chosen["toy"].any():
        words.toy_notice()
    changes.judge_warnings(rates, judge_id)

    changes.show(chosen, definition, interval, judge_id)
    health.show(chosen, "trajectories", judge_id)
    st.subheader("Numbers behind the chart")
    tables.rates(chosen, "trajectories")


view()
