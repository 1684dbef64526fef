"""Which runs belong together, how far are they, what varies between them, and what came out?"""

import streamlit as st

from pages.shared import core, deleting, experiment_card, words

REFRESH_S = 3.0

st.title("Experiments")
st.caption(
    "Runs that were launched together, or share the name of an experiment: followed, compared, stopped and deleted as one."
)
with core.guarded():
    there = experiment_card.groups()
deleting.said()
if not there:
    words.empty_state(
        "labs", "No experiments yet", "Let a field vary on [Launch](/launch), or start the demo on [Home](/): its runs are one."
    )
chosen = experiment_card.choose(there) if there else None


@st.fragment(run_every=REFRESH_S if chosen is not None and chosen.unfinished else None)
def board(name: str) -> None:
    """One experiment; runs again by itself only while something of it runs or waits."""
    with core.guarded():
        group = next((each for each in experiment_card.groups() if each.name == name), None)
    if group is None or (chosen is not None and chosen.unfinished and not group.unfinished):
        st.rerun()  # deleted, or its last run has ended: draw the whole page once more, without the timer
    assert group is not None
    experiment_card.summary(group)
    experiment_card.runs(group)


if chosen is not None:
    st.header(words.plain(chosen.name))
    experiment_card.elsewhere(chosen)
    experiment_card.actions(chosen)
    board(chosen.name)
else:
    for group in there[: experiment_card.MOST_CARDS]:
        experiment_card.card(group)
    if len(there) > experiment_card.MOST_CARDS:
        st.caption(f"The newest {experiment_card.MOST_CARDS} of {len(there):,}; search for any other above.")
if not core.home().read_only:
    deleting.panel()
