"""Runs that wait, in their order."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from em_core.supervisor.live import LiveRun
from pages.shared import live_actions, run_card

_MOST = 10


def show(queued: Sequence[LiveRun]) -> None:
    """The first of the queue, each with its button."""
    if not queued:
        return
    st.header("Queue")
    for run in queued[:_MOST]:
        with st.container(border=True, key=f"run-{run.status.run_id}"):
            run_card.heading(run.status, f", place {run.position}")
            with st.container(horizontal=True, vertical_alignment="center"):
                live_actions.at_work(run.status)
    if len(queued) > _MOST:
        st.caption(f"and {len(queued) - _MOST:,} more.")
