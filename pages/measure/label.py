"""What would a person say? Blind labels: a question, an answer, one key; nothing about who answered or who scored."""

import streamlit as st

from em_core.labels import Desk
from pages.shared import core, desk, words

st.title("Label")
name = st.text_input(
    "Your name", key="labeller", bind="query-params", max_chars=40, width=300, placeholder="for instance anna",
    help="Letters, digits, - and _. It is stored with your labels, so that people can be compared too.",
)  # fmt: skip
if not name:
    st.caption("What would a person say? You see a question and an answer, and nothing about the model or the judges.")
    words.empty_state("person_edit", "Who is labelling?", "Write your name above. Your labels are kept; come back at any time.")
    st.stop()

with core.guarded():
    own = Desk(core.home(), name)
    batch = own.batch()
    given = own.given()
    waiting = desk.waiting(batch, given)
desk.show_problem()
if not waiting:
    desk.finished(own, batch, given)
    desk.setup(own)
    st.stop()

total = desk.total(batch)
done = total - len(waiting)
st.progress(done / total, text=f"{done} of {total}")
desk.answer(waiting[0], done)
desk.buttons(own, waiting[0], done)
