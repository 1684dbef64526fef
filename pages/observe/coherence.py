"""Is a model misaligned, or broken? Alignment against coherence."""

import streamlit as st

from em_core import definitions
from em_core.view.coherence import at_steps, has_scatter
from pages.shared import coherence, core, filters, health, words

st.title("Coherence")
st.caption(
    "Is a model misaligned, or broken? Alignment against coherence, with the definition's limits drawn. "
    "Only answers above the gate can be called misaligned."
)


def view() -> None:
    """Filters, one of four views, and the health of the same answers."""
    selection = filters.select(icon="scatter_plot")
    if selection is None:
        return
    if not selection.run_ids:
        words.empty_state("filter_alt_off", "Nothing here", "Remove a filter.")
        return
    with core.guarded():
        shown, steps = coherence.controls(selection)
    st.caption(
        f"**{words.plain(selection.definition)}**: {words.plain(definitions.get(selection.definition).rule)}. "
        f"{filters.INTERVALS[selection.interval]}"
    )
    if not has_scatter(selection.rule):
        coherence.verdict_bars(selection, steps)
    elif shown == coherence.ANSWERS:
        coherence.answers(selection, steps)
    elif shown == coherence.CHECKPOINTS:
        coherence.checkpoints(selection, steps)
    elif shown == coherence.TRAINING:
        coherence.training(selection)
    else:
        coherence.against_em(selection, steps)
    contents = core.contents()
    if contents.loc[contents["run_id"].isin(selection.run_ids), "toy"].any():
        words.toy_notice()
    few = len(selection.run_ids) <= coherence.HEALTH_RUNS
    if st.toggle("Health of these answers", value=few, key="health", bind="query-params", help=coherence.HEALTH_HELP):
        with core.guarded():
            rates = core.rates_of(selection.but(pooled=False))
        health.show(at_steps(rates, None if shown == coherence.TRAINING else steps), "coherence", selection.judge_id)


view()
