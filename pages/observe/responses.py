"""What did the models actually say? Answers side by side, with their scores."""

import streamlit as st

st.title("Responses")
st.caption("What did the models actually say? Answers side by side, with their scores.")
