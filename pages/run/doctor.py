"""Is this machine fit for the work, and is what it has made whole? Every finding with its fix."""

import streamlit as st

from em_core.doctor import printing
from pages.shared import checkup, core

st.title("Doctor")
st.caption(
    "Looks at packages, GPUs, disk, keys, judges' servers, database, checkpoints and processes. Looking changes nothing, "
    "and leaves this machine only when asked to."
)

wanted = checkup.wishes()
with core.guarded():
    seen = checkup.look(wanted)
checkup.counts(seen)
checkup.repairs(seen)
troubled = printing.by_topic(seen.findings, fine=False)
for title, findings in troubled:
    checkup.topic(title, findings)
if not troubled:
    st.success("Nothing is wrong, and there is nothing to know.", icon=":material/check_circle:")
checkup.fine(seen)
