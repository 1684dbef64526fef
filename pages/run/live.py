"""What is running and queued right now, how far is it, and how did the last runs end?"""

import streamlit as st

from em_core.selection import Selection
from em_core.supervisor import live
from em_core.supervisor.evidence import list_runs
from em_core.view import headline
from pages.shared import core, run_card, words

REFRESH_S = 2.0
N_ENDED = 12

st.title("Live")
st.caption("Runs go on when this page, the browser or the app is closed.")
with core.guarded():
    busy = any(status.active or status.state == "queued" for status in list_runs(core.home()))


@st.fragment(run_every=REFRESH_S if busy else None)
def board() -> None:
    """Every active and queued run; runs again by itself only while there is one."""
    with core.guarded():
        working = live.active_runs(core.home())
        at_work = tuple(run.status.run_id for run in working if run.status.active)
        rates = headline.one_judge(core.rates_of(Selection(run_ids=at_work)))
        if working:
            core.keep_running()  # queued runs need a supervisor, also when the last one was killed
    if not working and busy:
        st.rerun()  # the last one ended: draw the whole page once more, without the timer
    if not working:
        words.empty_state(
            "monitoring", "Nothing is running", "Start the demo on [Home](/), or a run of your own on [Launch](/launch)."
        )
    for run in working:
        run_card.active(run, rates)


board()

st.header("Recently ended")
with core.guarded():
    ended = [status for status in reversed(list_runs(core.home())) if status.final][:N_ENDED]
if not ended:
    st.caption("No run has ended yet.")
for status in ended:
    run_card.ended(status)
