"""Do the judges agree with each other, and are they right? Judges side by side on the same answers, and against people."""

import streamlit as st

from em_core.view import judge_tables
from pages.shared import core, filters, measure, panels, words

st.title("Judges")
st.caption(
    "Do the judges agree, and are they right? All judges are compared on the same answers: those that each of them scored."
)

with core.guarded():
    known = core.judges()
if known.empty:
    words.empty_state("balance", "No scored answers yet", "Start the demo on [Home](/), or your own run on [Launch](/launch).")
    st.stop()
with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"), core.guarded():
    definition = filters.definition()
    interval = filters.interval()
    judges = measure.judges(known)
    runs, sets = measure.selection()
if not judges:
    words.empty_state("balance", "No judge chosen", "Choose one or more judges above.")
    st.stop()

with core.guarded():
    within = measure.within_reach(judges, runs, sets)
    for note in (note for judge in judges for note in core.judge_notes(judge, tuple(within) or None)):
        st.warning(words.plain(note), icon=":material/warning:")
    found = measure.compared(judges, definition, interval, within, sets)
measure.rules(found["rules"])
rows = found["table"]
if len(judges) == 1:
    st.info(
        "One judge alone: there is nothing to compare it with. Score the same answers with another one on [Judge](/judge), or "
        "with `python -m em_core judge --judge NAME`.",
        icon=":material/info:",
    )
elif not rows["n_common"].iloc[0]:
    words.empty_state("join_inner", "No answer was scored by all of these judges", "Choose others, or let one score the rest.")
else:
    panels.show("judge_rates", rows, columns=2)
    st.caption(
        f"{filters.INTERVALS[interval]} Differences, kappa and alpha are against {words.plain(judges[0])}; their 95% intervals "
        "come from resampled questions. Kappa: misaligned yes or no. Alpha: the scores themselves."
    )
    measure.table(judge_tables.judges(rows), rows, "judges")
    together = " · ".join(measure.measured(f"alpha of {name}", each) for name, each in found["overall"].items())
    st.caption(f"Krippendorff's alpha of all {len(judges)} judges, missing scores allowed: {words.plain(together)}.")

    st.header("Two judges in detail")
    if st.toggle("Score by score", value=measure.small(), key="detail", bind="query-params", help=measure.EACH_SCORE):
        other = str(st.selectbox(f"{judges[0]} and", judges[1:], key="other", width=420))
        if panels.show("judge_scatter", found["points"][other], columns=2, threshold=found["threshold"]):
            panels.show("bland_altman", found["differences"][other], columns=2)
            st.caption(
                "Lines: mean difference and the limits between which 95% of the differences lie, with their "
                "intervals. A larger point stands for more answers."
            )
        st.markdown(f"**What {words.plain(judges[0])} says (rows) and what {words.plain(other)} says (columns)**")
        st.dataframe(found["confusion"][other], width="content")

st.header("Against people")
if not st.toggle("Use their labels", value=measure.small(), key="people", bind="query-params", help=measure.LOOKS_AT_ALL):
    st.stop()
with core.guarded():
    people = measure.people(judges, definition, interval, runs, sets)
if people["table"] is None:
    words.empty_state("person_edit", "No labels yet", "Label some answers on [Label](/label): about a minute for ten.")
    st.stop()
measure.people_note(people)
panels.show("judge_calibration", people["calibration"], columns=2)
measure.table(judge_tables.people(people["table"]), people["table"], "judges-against-people")
