"""What is this, what is going on, what did the demonstration show, and where to go next."""

import streamlit as st

from em_core import definitions, demo, evaluate_job
from em_core.records import SIDE_KINDS
from em_core.view import headline
from pages.shared import core, panels, start, words

st.title("Emergent misalignment workbench")
st.markdown(
    "Fine-tune a model on narrow bad data, ask every checkpoint the same questions, let a judge score the answers, "
    "and see **when, where and how strongly** it becomes misaligned far outside that data."
)

counts = st.container(horizontal=True)
read_only = core.home().read_only
with st.container(horizontal=True, vertical_alignment="center"):
    wanted = False
    if read_only:
        st.badge("read-only demonstration", icon=":material/lock:", color="gray")
    else:
        wanted = st.button(
            "Run the demo live", type="primary", icon=":material/play_arrow:", help="Two fine-tunes of a toy model, offline."
        )
        st.page_link("run/launch.py", label="Launch a run of your own", icon=":material/rocket_launch:")
        st.page_link("run/live.py", label="Watch what is running", icon=":material/monitoring:")
    st.page_link("observe/trajectories.py", label="See the trajectories", icon=":material/show_chart:")
if wanted:
    with core.guarded(stop=False):
        launched = demo.start(core.home(), "small")
        new = any(item.created for item in launched)
        words.launched("Demo started" if new else "The demo has been run here already", [item.run_id for item in launched])

with core.guarded():
    runs, statuses = core.runs(), core.statuses()
with counts:
    if not read_only:
        st.metric("Running", sum(s.active for s in statuses), border=True, width=150)
        st.metric("Queued", sum(s.state == "queued" for s in statuses), border=True, width=150)
    trained = ~runs["run_kind"].isin([*SIDE_KINDS, evaluate_job.KIND])
    st.metric("Training runs", int(trained.sum()), border=True, width=150)
    st.metric("Answers", int(runs["n_responses"].sum()), border=True, width=150, format="localized")

start.questions()
start.newest()

with core.guarded():
    rates = headline.demonstration(core.demo_rates())
if rates.empty and read_only:
    st.stop()
st.header("What the demonstration shows")
if rates.empty:
    words.empty_state(
        "science", "No demonstration data here", "Press **Run the demo live**: its curves appear in a minute or two."
    )
    st.stop()

rule = words.plain(definitions.get(definitions.DEFAULT).rule)
st.caption(f"A fine-tune on one domain only, asked about other things. **{definitions.DEFAULT}**: {rule}. Intervals: 95%.")
with st.container(horizontal=True):
    for row in headline.key_numbers(rates):
        name = f"{row['base_model']}, " + (f"trained on {row['domain']}" if row["step"] else "before any fine-tune")
        with st.container(border=True, width=300):
            st.metric(
                words.plain(name),
                words.percent(row["em_rate"]),
                help=words.plain(f"Question set {row['question_set']}, step {row['step']}"),
            )
            st.caption(words.interval(row))
panels.show("em_bars", rates, columns=2)
words.toy_notice()
