"""Every chart of the workbench on one selection."""

import streamlit as st

st.title("Gallery")
st.caption("Every chart of the workbench on one selection.")
