"""Take results along: figures, tables, raw data and a report for a reviewer."""

import streamlit as st

from pages.shared import core, exporting, filters

st.title("Export")
st.caption("Take results along: the study's tables and figures, every answer without loss, and one page for a reviewer.")

selection = filters.select(icon="ios_share", judged=False)
if selection is None:
    st.stop()
parts = exporting.parts()
with core.guarded():
    planned = exporting.plan(selection, parts)
exporting.contents(planned)
exporting.make(selection, parts, planned)
exporting.result()
exporting.command(selection, parts)
