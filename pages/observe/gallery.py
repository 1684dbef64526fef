"""Every chart of the workbench on one selection."""

import streamlit as st

from em_core.store.comparing import FINAL
from pages.shared import comparing, core, filters, gallery

st.title("Gallery")
st.caption("Every chart of the workbench on one selection. Open one to see it large, with the data behind it.")

with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
    at = comparing.checkpoint()
    place = st.container(width="content")
selection = filters.select(most=gallery.RUNS, icon="photo_library")
if selection is not None:
    if at == comparing.STEP:
        with core.guarded(), place:
            step = comparing.step(selection)
        at = FINAL if step is None else str(step)
    gallery.show(selection.but(at=at))
