"""The app: ``python -m streamlit run app.py``. What it shows starts in `pages/main.py`.

An `st.App` whose script lies elsewhere, because Streamlit takes a script beside a folder called
``pages`` for a legacy app and answers the first visit to any other page than Home with
"Page not found".
"""

import streamlit as st

from em_core.home import Home
from pages.shared import warming
from pages.shared.private_session import hide_paths

if Home.find().read_only:
    hide_paths()
warming.start()
app = st.App("pages/main.py")
