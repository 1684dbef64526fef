"""Which domain, which size, how much, and how sure? Runs side by side."""

import streamlit as st

from em_core import definitions
from pages.shared import comparing, core, filters, paired, words

st.title("Compare")
st.caption("Which domain, which size, how much, and how sure? One checkpoint of each run, side by side.")

with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
    view = comparing.view()
    at: str | int | None = comparing.checkpoint()
    place = st.container(width="content")
selection = filters.select(comparing.most(view, str(at)), icon="bar_chart")
if selection is None:
    st.stop()
with core.guarded():
    if at == comparing.STEP:
        with place:
            at = comparing.step(selection)
    if at is None:
        words.empty_state("timeline", "No checkpoint has answers yet", "Watch the runs on [Live](/live).")
        st.stop()
    rule = words.plain(definitions.get(selection.definition).rule)
    st.caption(f"**{words.plain(selection.definition)}**: {rule}. {filters.INTERVALS[selection.interval]}")
    if view == comparing.PAIRED:
        paired.show(selection, at)
    elif view == comparing.PUBLISHED:
        comparing.published_beside(selection, at)
    else:
        draw = {comparing.BARS: comparing.bars, comparing.MAP: comparing.heat_map, comparing.SCALING: comparing.scaling}[view]
        draw(selection, at)
newest = (selection.run_ids or ())[: comparing.MOST_PAIRED]  # who answered for a judge is read from its judgements, all of them
for note in core.judge_notes(str(selection.judge_id), newest):
    st.warning(words.plain(note), icon=":material/balance:")
