"""The read-only demonstration (``EM_READONLY=1``): which pages are off there, and what they say instead."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from pages.shared import core, words

OFF = {
    "launch": "Launching runs",
    "live": "Watching runs at work",
    "doctor": "Looking at this machine",
    "judge": "Judging answers again",
    "label": "Labelling answers",
    "import": "Bringing results",
}
"""Pages that are left out of the navigation, by their address, and what they are for."""


def visibility() -> Literal["visible", "hidden"]:
    """For `st.Page`: whether pages that start or change something are in the navigation."""
    return "hidden" if core.home().read_only else "visible"


def is_off(url_path: str) -> bool:
    """Say so where a page is off in this demonstration; a link or a bookmark may still lead there."""
    if not core.home().read_only or url_path not in OFF:
        return False
    words.empty_state(
        "lock",
        f"{OFF[url_path]} is off here",
        "This is a read-only demonstration. All its results are here: start on [Home](/) or [Trajectories](/trajectories).",
    )
    return True


def banner() -> None:
    """That this is a demonstration in which nothing can be changed."""
    if core.home().read_only:
        st.sidebar.caption(":material/lock: Read-only demonstration")
