"""The measuring pages under a navigation of their own (a script for tests; the app's is `pages/main.py`)."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402

from pages.shared import core  # noqa: E402

st.set_page_config(page_title="EM workbench", layout="wide")
core.start_background()
measure = ROOT / "pages" / "measure"
st.navigation(
    [
        st.Page(lambda: st.title("Home"), title="Home", url_path="home", default=True),
        st.Page(measure / "judges.py", title="Judges", icon=":material/balance:", url_path="judges"),
        st.Page(measure / "label.py", title="Label", icon=":material/person_edit:", url_path="label"),
    ]
).run()
