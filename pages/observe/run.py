"""What exactly was done in a run, and can it be trusted?"""

import streamlit as st

from pages.shared import (
    core,
    evaluate_form,
    health,
    run_choice,
    run_details,
    run_files,
    run_judging,
    run_lineage,
    run_spec,
    run_training,
    words,
)  # fmt: skip

SECTIONS = ["Summary", "Spec", "Checkpoints", "Training", "Judging", "Health", "Reproduce", "Log"]

st.title("Run")
st.caption("What exactly was done in this run, and can it be trusted?")

run_id = run_choice.choose()
if run_id is None:
    st.stop()

run = run_details.known(run_id)
with core.guarded():
    state, seen = run_details.state_of(run)
run_details.header(run, state, seen)
if evaluate_form.offered(run, state):
    evaluate_form.popover(run.run_id)
if run.run.get("toy"):
    words.toy_notice()

selection = run_details.bar(run)
start = "Spec" if "with" in st.query_params else SECTIONS[0]
tabs = st.tabs(SECTIONS, key="section", bind="query-params", default=start)
place, section = next(((tab, name) for tab, name in zip(tabs, SECTIONS, strict=True) if tab.open), (tabs[0], SECTIONS[0]))
rates = None
if section in ("Summary", "Checkpoints", "Health") and selection is not None:
    with core.guarded():
        rates = core.rates_of(selection)

with place, core.guarded():
    if section == "Summary":
        run_details.headline(run, rates)
        run_details.trust(run, state)
        run_lineage.show(run)
        run_details.plan(run)
        run_details.phases(run)
    elif section == "Spec":
        run_spec.show(run)
    elif section == "Checkpoints":
        run_training.checkpoints(run, rates)
    elif section == "Training":
        run_training.curves(run)
    elif section == "Judging":
        run_judging.show(run)
    elif section == "Health" and rates is not None and selection is not None:
        health.show(rates, "run", selection.judge_id)
    elif section == "Health":
        run_details.no_rates(run)
    elif section == "Reproduce":
        run_files.reproduce(run)
    else:
        run_files.log(run)
