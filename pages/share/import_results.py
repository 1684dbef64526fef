"""Bring published results, or another tool's, as runs of their own."""

import streamlit as st

from em_core.view.importing import headline
from pages.shared import core, importing
from pages.shared.words import plain

st.title("Import")
st.caption(
    "Published results, other tools' files and exports of this workbench, as runs of their own. Answers and scores stay as "
    "published; what is no score is never turned into one."
)

with core.guarded():
    core.home().writable("Importing results")

if not importing.done():
    given = importing.source()
    asked = importing.wishes()
    if given is None:
        importing.formats()
    elif asked is not None and (report := importing.preview(given, *asked)) is not None:
        st.subheader("What would come")
        st.markdown(plain(headline(report)) + ". Nothing is written yet.")
        importing.show(report)
        if st.button("Import", type="primary", icon=":material/download:", disabled=not report["n_runs"]):
            importing.run(given, *asked)
        if not report["n_runs"]:
            st.caption("Nothing in it is new: the files say why.")

importing.before()
