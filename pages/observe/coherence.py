"""Is a model misaligned, or broken? Alignment against coherence."""

import streamlit as st

st.title("Coherence")
st.caption("Is a model misaligned, or broken? Alignment against coherence.")
