"""How much does the rule decide? The EM rate of the same answers under every threshold and gate."""

import streamlit as st

from em_core import definitions
from pages.shared import core, filters, panels, rules, words

st.title("Thresholds")
st.caption("How much of an EM rate is the model, and how much is the rule? The same answers under every pair of limits.")

with core.guarded():
    known = core.judges()
if known.empty:
    words.empty_state(
        "tune", "No scored answers yet", "Start the demo on [Home](/), or your own run on [Launch](/launch); then come back."
    )
    st.stop()

with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
    definition = filters.definition()
    interval = filters.interval()
    with core.guarded():
        rates = core.rates(definition, interval)
    judge_id = filters.judge(rates, known)
    of_step = filters.at_step(rates[rates["judge_id"] == judge_id])
if judge_id is None:
    words.no_judge_for(definition)
    st.stop()
chosen = filters.narrow(of_step)
rule = definitions.get(definition)
st.caption(f"**{words.plain(definition)}**: {words.plain(rule.rule)}. {filters.INTERVALS[interval]}")

with core.guarded():
    plane = core.plane(definition, interval, judge_id, chosen)
options = {"sign": rule.sign, "gate_sign": rule.gate_sign, "chosen": (rule.threshold, rule.gate), "chosen_name": "this rule"}
panels.whole("threshold_plane", plane, **options)
st.caption("A link to this page keeps the rule: it is in the address, and every page takes it.")

st.subheader("The same answers under each definition")
with core.guarded():
    rules.under_each(chosen, judge_id, interval, definition)
if chosen["toy"].any():
    words.toy_notice()
