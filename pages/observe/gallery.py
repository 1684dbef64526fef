"""Every chart of the workbench on one selection."""

import streamlit as st

from pages.shared import filters, gallery

st.title("Gallery")
st.caption("Every chart of the workbench on one selection. Open one to see it large, with the data behind it.")

selection = filters.select(most=gallery.RUNS, icon="photo_library")
if selection is not None:
    gallery.show(selection)
