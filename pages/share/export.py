"""Take results along: figures, tables, raw data and a report."""

import streamlit as st

st.title("Export")
st.caption("Take results along: figures, tables, raw data and a report.")
