"""How much does the rule decide? The EM rate of the same answers under every threshold and gate."""

import streamlit as st

from pages.shared import core, filters, panels, rules, words

st.title("Thresholds")
st.caption("How much of an EM rate is the model, and how much is the rule? The same answers under every pair of limits.")

selection = filters.select(icon="tune")
if selection is None:
    st.stop()
with core.guarded():
    chosen = filters.at_step(core.rates_of(selection))
rule, definition = selection.rule, selection.definition
st.caption(f"**{words.plain(definition)}**: {words.plain(rule.rule)}. {filters.INTERVALS[selection.interval]}")

with core.guarded():
    plane = core.plane(definition, selection.interval, str(selection.judge_id), chosen)
at = (rule.threshold, rule.gate)
panels.whole("threshold_plane", plane, sign=rule.sign, gate_sign=rule.gate_sign, chosen=at, chosen_name="this rule")
st.caption("A link to this page keeps the rule: it is in the address, and every page takes it.")

st.subheader("The same answers under each definition")
few = len(selection.run_ids or ()) <= rules.FEW_RUNS
if st.toggle("Show the table", value=few, key="each", bind="query-params", help="Computes every definition for these runs."):
    with core.guarded():
        rules.under_each(chosen, selection)
if chosen["toy"].any():
    words.toy_notice()
