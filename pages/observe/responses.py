"""What did the models actually say? Answers side by side, with their scores."""

import streamlit as st

from pages.shared import answer_figure, answer_grid, answer_one, filters, responses

st.title("Responses")
st.caption(
    "What did the models actually say? Texts of models and judges are shown as they are, hidden characters as their codes."
)

alone = st.query_params.get("response", "")
if st.session_state.get("responses-alone", "") != alone:
    st.session_state["responses-alone"] = alone
    st.query_params.update({})  # Streamlit does not write the address of a link to the same page into the browser

if alone:
    answer_one.show(str(alone))
    st.stop()

selection = filters.select(icon="forum", judged=False)
if selection is None:
    st.stop()
asked = responses.asked_for(selection)
if asked.view == "list":
    answer_grid.a_list(asked, selection.run_ids or ())
elif asked.view == "figure":
    answer_figure.show(asked, selection)
else:
    answer_grid.side_by_side(asked)
