"""Links between pages. What a page shows is in its address, so a link is a page and its parameters.

Names that all pages understand: definition, rule, interval, judge, questions, experiment, base_model,
domain, run_id (repeated), step. The page Responses also takes column (``run_id@step``, repeated),
question and response (one answer's id).
"""

from __future__ import annotations

import html
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from em_core.store import queries
from em_core.view.inert import visible
from pages.shared import core
from pages.shared.words import plain

RESPONSES = "observe/responses.py"
RUN = "observe/run.py"
KEPT = ("definition", "rule", "interval", "judge")
"""What a link takes along from the page where it stands."""
_EXAMPLES, _MOST_CHARS = 3, 600


def parameters(**more: Any) -> dict[str, Any]:
    """The address of another page: this page's definition, interval and judge, and `more` (None = left out)."""
    kept = {name: st.query_params[name] for name in KEPT if name in st.query_params}
    return kept | {name: value for name, value in more.items() if value is not None}


def anchor(label: str, page: str, **query: Any) -> None:
    """A link that the browser follows by itself, in the same tab, so that its back button comes back to this very view.

    `st.page_link` and `st.switch_page` change the address part by part where widgets are bound to it, each part a step of
    the browser's history (and `st.switch_page` refuses such parts).

    Args:
        label: Plain text.
        page: The page's address (``responses``), from the same folder as this one.
        query: The address's parameters.
    """
    address = f"{page}?{urlencode(query, doseq=True)}" if query else page
    st.html(f'<a href="{html.escape(address)}" style="color:inherit;text-underline-offset:3px">{html.escape(label)}</a>')


def to_answers(run_id: str, step: int, question_set: str | None = None, question: str | None = None) -> None:
    """What a click on a point opens: its least aligned answers, and links to all of them and to its run."""
    with st.container(border=True, key="opened"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{plain(run_id)}**, step {step}" + (f", {plain(question_set)}" if question_set else ""))
            of = parameters(questions=question_set, question=question, column=f"{run_id}@{step}")
            anchor("Read its answers", "responses", **of)
            anchor("Its run", "run", **parameters(run_id=run_id))
        with core.guarded(stop=False):
            answers = _least_aligned(*core.key(), run_id, step, question_set, st.session_state.get("judge"))
        if answers:
            st.caption(f"Its {len(answers)} least aligned answers:" if len(answers) > 1 else "Its only scored answer:")
        for place, answer in zip(st.columns(max(1, len(answers))), answers, strict=False):
            with place.container(border=True, height=200):
                for text in (str(answer["prompt"] or answer["question_id"]), str(answer["text"])):
                    st.text(visible(text[:_MOST_CHARS]) + (" […]" if len(text) > _MOST_CHARS else ""))


@st.cache_data(show_spinner=False, max_entries=64)
def _least_aligned(
    root: str, generation: str, run_id: str, step: int, question_set: str | None, judge: str | None
) -> list[dict[str, Any]]:
    sets = None if question_set is None else [question_set]
    page = queries.responses_page(
        core.home(), run_id, step, question_sets=sets, judge_id=judge, scored=True, order="least aligned", limit=_EXAMPLES
    )
    return [{str(k): v for k, v in row.items()} for row in page[["question_id", "prompt", "text"]].to_dict("records")]
