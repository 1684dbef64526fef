"""The frame around every page: title, navigation, and what starts in the background (run by `app.py`).

Every page reads the published database and the runs' own files through `em_core`; nothing here
trains, and closing the browser stops nothing.
"""

import streamlit as st

from pages.shared import core

IMAGES = core.PROJECT / "docs" / "images"

st.set_page_config(page_title="EM workbench", page_icon=str(IMAGES / "icon.svg"), layout="wide")
st.logo(str(IMAGES / "logo.svg"), size="large", icon_image=str(IMAGES / "icon.svg"))
core.start_background()

page = st.navigation(
    {
        "": [st.Page("start/overview.py", title="Home", icon=":material/home:", default=True)],
        "Run": [
            st.Page("run/launch.py", title="Launch", icon=":material/rocket_launch:", url_path="launch"),
            st.Page("run/live.py", title="Live", icon=":material/monitoring:", url_path="live"),
        ],
        "Observe": [
            st.Page("observe/trajectories.py", title="Trajectories", icon=":material/show_chart:", url_path="trajectories"),
        ],
        "Measure": [
            st.Page("measure/thresholds.py", title="Thresholds", icon=":material/tune:", url_path="thresholds"),
            st.Page("measure/judge_jobs.py", title="Judge", icon=":material/gavel:", url_path="judge"),
            st.Page("measure/judges.py", title="Judges", icon=":material/balance:", url_path="judges"),
            st.Page("measure/label.py", title="Label", icon=":material/person_edit:", url_path="label"),
        ],
    }
)
page.run()
