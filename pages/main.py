"""The frame around every page: title, navigation, and what starts in the background (run by `app.py`).

Every page reads the published database and the runs' own files through `em_core`; nothing here
trains, and closing the browser stops nothing.
"""

import streamlit as st

from pages.shared import core, readonly

IMAGES = core.PROJECT / "docs" / "images"

st.set_page_config(page_title="EM workbench", page_icon=str(IMAGES / "icon.svg"), layout="wide")
st.logo(str(IMAGES / "logo.svg"), size="large", icon_image=str(IMAGES / "icon.svg"))
core.start_background()
changing = readonly.visibility()  # of pages that start or change something

page = st.navigation(
    {
        "": [st.Page("start/overview.py", title="Home", icon=":material/home:", default=True)],
        "Run": [
            st.Page("run/launch.py", title="Launch", icon=":material/rocket_launch:", url_path="launch", visibility=changing),
            st.Page("run/experiments.py", title="Experiments", icon=":material/labs:", url_path="experiments"),
            st.Page("run/live.py", title="Live", icon=":material/monitoring:", url_path="live", visibility=changing),
            st.Page("run/doctor.py", title="Doctor", icon=":material/stethoscope:", url_path="doctor", visibility=changing),
        ],
        "Observe": [
            st.Page("observe/trajectories.py", title="Trajectories", icon=":material/show_chart:", url_path="trajectories"),
            st.Page("observe/compare.py", title="Compare", icon=":material/bar_chart:", url_path="compare"),
            st.Page("observe/coherence.py", title="Coherence", icon=":material/scatter_plot:", url_path="coherence"),
            st.Page("observe/responses.py", title="Responses", icon=":material/forum:", url_path="responses"),
            st.Page("observe/run.py", title="Run", icon=":material/science:", url_path="run"),
            st.Page("observe/gallery.py", title="Gallery", icon=":material/photo_library:", url_path="gallery"),
        ],
        "Measure": [
            st.Page("measure/thresholds.py", title="Thresholds", icon=":material/tune:", url_path="thresholds"),
            st.Page("measure/judge_jobs.py", title="Judge", icon=":material/gavel:", url_path="judge", visibility=changing),
            st.Page("measure/judges.py", title="Judges", icon=":material/balance:", url_path="judges"),
            st.Page("measure/label.py", title="Label", icon=":material/person_edit:", url_path="label", visibility=changing),
        ],
        "Take along": [
            st.Page("share/export.py", title="Export", icon=":material/ios_share:", url_path="export"),
            st.Page(
                "share/import_results.py", title="Import", icon=":material/upload_file:", url_path="import", visibility=changing
            ),
        ],
    }
)
readonly.banner()
if not readonly.is_off(page.url_path):
    page.run()
