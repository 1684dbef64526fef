"""Links between pages. What a page shows is in its address, so a link is a page and its parameters.

Names that all pages understand: definition, rule, interval, judge, questions, experiment, base_model,
domain, run_id (repeated), step. The page Responses also takes column (``run_id@step``, repeated),
question and response (one answer's id).
"""

from __future__ import annotations

from typing import Any, NoReturn

import streamlit as st

RESPONSES = "observe/responses.py"
RUN = "observe/run.py"
_ARRIVING = "_arriving"
KEPT = ("definition", "rule", "interval", "judge")
"""What a link takes along from the page where it stands."""


def parameters(**more: Any) -> dict[str, Any]:
    """The address of another page: this page's definition, interval and judge, and `more` (None = left out)."""
    kept = {name: st.query_params[name] for name in KEPT if name in st.query_params}
    return kept | {name: value for name, value in more.items() if value is not None}


def to_answers(run_id: str, step: int, question_set: str | None = None, question: str | None = None) -> NoReturn:
    """Open the answers behind a point."""
    go(RESPONSES, column=f"{run_id}@{step}", questions=question_set, question=question)


def go(page: str, **more: Any) -> NoReturn:
    """Open a page as `parameters` would address it.

    Streamlit refuses to set an address part that a widget of the present page is bound to; such values
    wait in the session, and `arrive` hands them to the widgets of the next page.
    """
    wanted = parameters(**more)
    st.session_state[_ARRIVING] = {name: value for name, value in wanted.items() if name in st.session_state}
    free = {name: value for name, value in wanted.items() if name not in st.session_state}
    st.switch_page(page, query_params=free)


def arrive() -> None:
    """Give what `go` left waiting to the widgets, before any of them is made."""
    for name, value in st.session_state.pop(_ARRIVING, {}).items():
        st.session_state[name] = value
