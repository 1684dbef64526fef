"""Runs that have ended, newest first: by state, a page at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import streamlit as st

from em_core.records import FinalState
from em_core.supervisor.evidence import RunStatus
from pages.shared import run_card

AT_A_TIME = 8


def show(ended: Sequence[RunStatus]) -> None:
    """The list.

    Args:
        ended: Newest first.
    """
    counts = {state: sum(status.state == state for status in ended) for state in FinalState}
    there = [state for state in FinalState if counts[state]]
    if not there:
        st.caption("No run has ended yet.")
        return
    wanted = there
    if len(there) > 1:
        wanted = st.pills(
            "Show",
            there,
            selection_mode="multi",
            key="ended",
            bind="query-params",
            label_visibility="collapsed",
        )
        st.caption(", ".join(f"{counts[state]:,} {state}" for state in there))
    found = [status for status in ended if not wanted or status.state in wanted]
    n_pages = math.ceil(len(found) / AT_A_TIME)
    place = st.container()
    page = int(st.pagination(n_pages, key="ended_page", bind="query-params")) if n_pages > 1 else 1
    with place:
        for status in found[(page - 1) * AT_A_TIME : page * AT_A_TIME]:
            run_card.ended(status)
