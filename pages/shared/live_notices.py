"""Desktop notifications of runs that have ended while Live is open in a tab: asked for by a button, per browser.

All of it happens in the browser. What a tab was told of stays in its session, so that reloading repeats nothing; what any
tab has shown stays with the browser, so that several tabs show it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from em_core.supervisor.evidence import RunStatus
from em_core.view import live_words
from em_core.view.inert import one_line

_MOST = 20
_HTML = '<div class="notices"><button type="button" hidden></button><span role="status"></span></div>'
_CSS = """
.notices { display: flex; flex-wrap: wrap; align-items: center; gap: 0.6rem; font-family: var(--st-font); font-size: 0.875rem;
  color: var(--st-text-color); min-height: 2.5rem; }
button { font: inherit; color: inherit; background: var(--st-background-color); border: 1px solid var(--st-border-color);
  border-radius: var(--st-button-radius, 0.5rem); padding: 0.35rem 0.75rem; cursor: pointer; }
button:hover, button:focus-visible { border-color: var(--st-primary-color); color: var(--st-primary-color); }
span { opacity: 0.75; }
"""
_notices = st.components.v2.component(
    "em_workbench.notices", html=_HTML, css=_CSS, js=Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
)


def show(ended: Sequence[RunStatus]) -> None:
    """The button, and the notifications of the runs among these that were not told yet.

    Args:
        ended: Runs that have ended, newest first.
    """
    told = {"ended": [_said(status) for status in ended[:_MOST]], "more": len(ended) > _MOST}
    _notices(key="notices", data=told, height="content")


def _said(status: RunStatus) -> dict[str, str | float]:
    why = live_words.title_of(status.cause, status.state)
    steps = live_words.reached(status.kind, status.step, status.total_steps)
    return {
        "id": f"{status.run_id}@{status.attempt}",
        "t": status.last_event_t or status.created_t,
        "title": f"Run {status.state}" + (f": {why}" if why else ""),
        "body": one_line(status.label or status.run_id, 80) + (f", {steps}" if steps else ""),
    }
