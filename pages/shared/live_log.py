"""A worker's log on a page: its tail, or the lines of all of it that match.

Inert text without what looks like a key, read only while it is open.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from em_core.supervisor import log_search
from em_core.supervisor.logs import log_tail
from em_core.view.run_words import short
from pages.shared import core, words

TAIL_LINES = 40


def show(run_id: str) -> None:
    """The log of a run behind an expander; nothing when there is none."""
    path = core.home().run_dir(run_id) / "worker.log"
    if not path.exists():
        return
    place = st.expander("Worker log", icon=":material/terminal:", key=f"log-{run_id}", on_change="rerun")
    if place.open:
        with place:
            _search(run_id, path)


def _search(run_id: str, path: Path) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Search the whole log", key=f"log-text-{run_id}", icon=":material/search:", placeholder="all of its lines", width=320
        )
        expression = st.toggle("Regular expression", key=f"log-expression-{run_id}")
        case = st.toggle("Match case", key=f"log-case-{run_id}")
    if not text:
        tail = short(log_tail(path, TAIL_LINES))
        st.caption(f"The last {TAIL_LINES} lines.")
        st.code(tail or "nothing yet", language=None, wrap_lines=True, height=320 if tail.count("\n") > 12 else "content")
        return
    with core.guarded(stop=False):
        found = log_search.search(path, text, expression=expression, case=case)
        st.caption(_count(found))
        if found.lines:
            tall = len(found.lines) > 12
            st.code(short(log_search.as_text(found)), language=None, wrap_lines=True, height=320 if tall else "content")


def _count(found: log_search.Found) -> str:
    said = f"{found.n_matches:,} of {found.n_lines:,} lines match"
    if found.n_matches > len(found.lines):
        said += f"; the newest {len(found.lines):,} are shown"
    if found.first_line > 1:
        said += f"; lines before {found.first_line:,} are not searched"
    return words.plain(said + ".")
