"""Bring published results, or another tool's, as runs of their own."""

import streamlit as st

st.title("Import")
st.caption("Bring published results, or another tool's, as runs of their own.")
