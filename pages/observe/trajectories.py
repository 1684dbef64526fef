"""When does misalignment emerge, and how strongly? Rates, scores and losses over the training of every fine-tune."""

import streamlit as st

from em_core import definitions
from pages.shared import changes, core, curves, filters, health, links, tables, words

REFRESH_S = 3.0
FEW_RUNS = 12

st.title("Trajectories")
st.caption(
    "When does misalignment emerge in a fine-tune, and how strongly? Step 0 is the model before the fine-tune. "
    "Click a point to read its answers."
)
with core.guarded():
    busy = core.busy()


@st.fragment(run_every=REFRESH_S if busy else None)
def view() -> None:
    """Filters, chart and tables; drawn again by itself only while something runs."""
    selection = filters.select(icon="show_chart")
    if selection is None:
        return
    how = curves.controls()
    with core.guarded():
        rates = core.rates_of(selection)
    st.caption(
        f"**{words.plain(selection.definition)}**: {words.plain(definitions.get(selection.definition).rule)}. "
        f"{filters.INTERVALS[selection.interval]}"
    )
    if rates["em_rate"].notna().any():
        with core.guarded():
            picked = curves.draw(selection, rates, how)
        if picked:
            links.to_answers(
                str(picked["run_id"]), int(picked["step"]), None if selection.pooled else str(picked["question_set"])
            )
    else:
        words.empty_state("filter_alt_off", "Nothing here yet", "Remove a filter, or wait for the next checkpoint to be scored.")
    st.caption(tables.summary(rates))
    if rates["toy"].any():
        words.toy_notice()
    changes.judge_warnings(core.contents(), str(selection.judge_id), selection.run_ids)

    few = len(selection.run_ids or ()) <= FEW_RUNS  # with more these take longer to make than to look at
    with st.container(horizontal=True):
        changed = st.toggle("When does it change?", value=few, key="changes", bind="query-params")
        healthy = st.toggle("Health of these answers", value=few, key="health", bind="query-params")
        numbers = st.toggle("Numbers behind the chart", value=few, key="numbers", bind="query-params")
    if changed and not selection.pooled:
        changes.show(rates, selection.definition, selection.interval, str(selection.judge_id))
    if healthy and not selection.pooled:
        health.show(rates, "trajectories", selection.judge_id)
    if numbers:
        st.subheader("Numbers behind the chart")
        tables.rates(rates, "trajectories")


view()
