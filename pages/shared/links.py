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
KEPT = ("definition", "rule", "interval", "judge")
"""What a link takes along from the page where it stands."""


def parameters(**more: Any) -> dict[str, Any]:
    """The address of another page: this page's definition, interval and judge, and `more` (None = left out)."""
    kept = {name: st.query_params[name] for name in KEPT if name in st.query_params}
    return kept | {name: value for name, value in more.items() if value is not None}


def to_answers(run_id: str, step: int, question_set: str | None = None, question: str | None = None) -> NoReturn:
    """Open the answers behind a point."""
    st.switch_page(RESPONSES, query_params=parameters(column=f"{run_id}@{step}", questions=question_set, question=question))
