"""What would another judge say? Scores answers that are there already, in the background."""

import streamlit as st

from em_core import rejudge
from pages.shared import core, judging, words

REFRESH_S = 2.0

st.title("Judge")
st.caption(
    "What would another judge say of the same answers? Only what it has not scored is asked for, and nothing is paid for twice. "
    "Judging goes on when this page, the browser or the app is closed."
)

with core.guarded():
    answers = int(core.runs()["n_responses"].sum())
if not answers:
    words.empty_state(
        "gavel", "No answers to judge yet", "Start the demo on [Home](/), or your own run on [Launch](/launch); then come back."
    )
    st.stop()

with core.guarded(stop=False):
    chosen = judging.choose()
    if chosen is not None:
        n_scores = judging.missing(chosen)
        judging.buttons(chosen, n_scores)
        with st.expander("The same from the command line", icon=":material/terminal:"):
            st.code(chosen.command, language="bash", wrap_lines=True)
    else:
        judging.introduce()

st.header("Jobs")
with core.guarded():
    busy = any(job.active for job in rejudge.jobs(core.home()))


@st.fragment(run_every=REFRESH_S if busy else None)
def board() -> None:
    """Every job at work, then the last ended ones; drawn again by itself only while there is work."""
    with core.guarded():
        jobs = rejudge.jobs(core.home())
    if busy and not any(job.active for job in jobs):
        st.rerun()  # the last one ended: its scores are in the counts above
    if not jobs:
        st.caption("No judging job yet.")
    for job in [*(job for job in jobs if job.active), *[job for job in jobs if not job.active][: judging.N_ENDED]]:
        judging.card(job)


board()
