"""What is running and queued right now, how far is it, and how did the last runs end?"""

import streamlit as st

from em_core.supervisor import live
from pages.shared import core, live_curves, live_ended, live_gpus, live_notices, queue_panel, run_card, words

REFRESH_S = 2.0
LOOK_S = 6.0
"""While nothing runs or waits, the page asks so often whether that has changed: two looks at files' times."""

st.title("Live")
st.caption("Runs go on when this page, the browser or the app is closed.")
seen = core.change_mark()  # before the states, so that what changes in between is noticed
with core.guarded():
    statuses = core.statuses()
busy = core.busy()
ended = sorted((s for s in statuses if s.final), key=lambda s: s.last_event_t or s.created_t, reverse=True)
drawn = {(status.run_id, status.attempt) for status in ended}
live_notices.show(ended)


@st.fragment(run_every=REFRESH_S if busy else None)
def board() -> None:
    """Every active and queued run; runs again by itself only while there is one."""
    with core.guarded():
        now = core.statuses()
        at_work = live.active_runs(core.home(), now)
        rates = live_curves.rates_of(at_work)
        working = bool(at_work) or any(status.state == "queued" for status in now)
        if working:
            core.keep_running()  # queued runs need a supervisor, also when the last one was killed
    if {(status.run_id, status.attempt) for status in now if status.final} != drawn or working != busy:
        st.rerun()  # a run ended or was queued again: draw the whole page, and without the timer when it was the last
    if not working:
        words.empty_state(
            "monitoring", "Nothing is running", "Start the demo on [Home](/), or a run of your own on [Launch](/launch)."
        )
    else:
        live_gpus.show()
    for run in at_work:
        run_card.active(run, rates.get(run.status.run_id))
    queue_panel.panel(now)


@st.fragment(run_every=LOOK_S)
def rest() -> None:
    """Draws nothing; wakes the page when another tab or the command line has launched something."""
    if core.change_mark() != seen:
        st.rerun()


board()
if not busy:
    rest()

st.header("Recently ended")
live_ended.show(ended)
