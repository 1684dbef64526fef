"""Which domain, which size, how much, and how sure? Runs side by side."""

import streamlit as st

st.title("Compare")
st.caption("Which domain, which size, how much, and how sure? Runs side by side.")
