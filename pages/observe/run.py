"""What exactly was done? One run: its recipe, checkpoints, machine and health."""

import streamlit as st

st.title("Run")
st.caption("What exactly was done? One run: its recipe, checkpoints, machine and health.")
