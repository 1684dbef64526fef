"""The controls of the page Responses: columns, filters, order and page, all in the URL; and its cached loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from em_core.errors import BadInput
from em_core.home import Home
from em_core.selection import Selection
from em_core.store import answer_details, browse
from em_core.store import queries as store_queries
from em_core.store.browse import Column, Filter, Query
from em_core.view.responses import SHOW
from pages.shared import answer_words, core

VIEWS = ("side by side", "list", "figure")
AUTO, NONE, ALL = "auto", "none", "all"
MOST = browse.MOST_COLUMNS - 1
GRID_ROWS, LIST_ROWS = 8, 20
_DIFFERS = (
    "Only questions where most scored answers of a column (misaligned, aligned, gated out; of two equals the worse) are "
    "another thing than most of the baseline's."
)


@dataclass(frozen=True)
class Asked:
    """What the address asks for.

    Args:
        view: One of `VIEWS`.
        columns: The baseline first, if there is one.
        baseline: Its place; None = there is none.
        query: Which answers, in which order, which page.
        differs: Only rows that differ from the baseline.
        marks_words: The words are marked that an answer and the baseline's have not in common.
        sample: Which of a cell's answers, from 1.
        at: Cells that show another one.
    """

    view: str
    columns: tuple[Column, ...]
    baseline: int | None
    query: Query
    differs: bool = False
    marks_words: bool = False
    sample: int = 1
    at: tuple[tuple[str, int], ...] = ()


@st.cache_data(show_spinner=False, max_entries=32)
def _provenance(root: str, generation: str, columns: tuple[Column, ...]) -> pd.DataFrame:
    return answer_details.provenance(Home(core.home().root), columns)


@st.cache_data(show_spinner=False, max_entries=32)
def _questions(root: str, generation: str, run_ids: tuple[str, ...]) -> pd.DataFrame:
    return store_queries.questions(Home(core.home().root), run_ids)[["question_set", "question_id"]].drop_duplicates()


@st.cache_data(show_spinner=False, max_entries=64)
def _grid(root: str, generation: str, asked: Asked) -> pd.DataFrame:
    return browse.grid(
        Home(core.home().root), asked.columns, asked.query, baseline=asked.baseline, differs=asked.differs, sample=asked.sample,
        at=asked.at,
    )  # fmt: skip


@st.cache_data(show_spinner=False, max_entries=32)
def _listing(root: str, generation: str, query: Query, run_ids: tuple[str, ...], columns: tuple[Column, ...]) -> pd.DataFrame:
    return browse.listing(Home(core.home().root), query, run_ids=run_ids, columns=columns)


def provenance(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Whose answers each column holds (`em_core.store.answer_details.provenance`), one dict per column."""
    return [dict(row) for row in _provenance(*core.key(), tuple(columns)).to_dict("records")]


def grid(asked: Asked) -> pd.DataFrame:
    """One page of the comparison."""
    return _grid(*core.key(), replace(asked, marks_words=False))


def listing(asked: Asked, run_ids: tuple[str, ...], columns: tuple[Column, ...]) -> pd.DataFrame:
    """One page of the list."""
    return _listing(*core.key(), replace(asked.query, n_rows=LIST_ROWS), run_ids, columns)


def columns_of(selection: Selection, beside: DeltaGenerator) -> tuple[tuple[Column, ...], int | None]:
    """The chosen columns, the pinned baseline first: from the address, else the last checkpoint of the newest two runs.

    Args:
        selection: Whose runs are offered.
        beside: Where the choice of the baseline stands.
    """
    steps = core.steps(selection.run_ids)
    options = [f"{row.run_id}@{row.step}" for row in steps.itertuples()]
    wanted = [_readable(text) for text in st.query_params.get_all("column")]
    linked = [str(column) for column in wanted if column is not None]
    known = {str(Column(p["run_id"], p["step"])): p for p in provenance([c for c in wanted if c is not None])}
    for column in linked:
        _report(column, known[column])
    linked = [column for column in linked if known[column]["n_answers"]]
    last = steps.groupby("run_id")["step"].max()
    default = [f"{run}@{last[run]}" for run in (selection.run_ids or ())[:2] if run in last.index]
    chosen = st.multiselect(
        "Columns: run@step", [*options, *(c for c in linked if c not in options)], None if linked else default, key="column",
        bind="query-params", max_selections=MOST, placeholder="Choose runs and steps to compare",
        help="One column each, up to five. The pinned baseline stands before them.",
    )  # fmt: skip
    columns = [Column.parse(str(text)) for text in chosen]
    pinned = beside.selectbox(
        "Baseline", [AUTO, NONE, *(str(c) for c in columns)], key="baseline", bind="query-params", width=200,
        help="**auto**: step 0 of the first run, the model before its fine-tune. The others are compared with it.",
    )  # fmt: skip
    if pinned == NONE or not columns:
        return tuple(columns), None
    base = Column(columns[0].run_id, 0) if pinned == AUTO else Column.parse(str(pinned))
    if pinned == AUTO and not provenance([base])[0]["n_answers"]:
        st.caption(":material/info: The first run has no answers of step 0: there is no baseline to compare with.")
        return tuple(columns), None
    return (base, *(c for c in columns if c != base)), 0


def _readable(text: str) -> Column | None:
    try:
        return Column.parse(text)
    except BadInput as error:
        core.show_error(error)
        return None


def _report(column: str, found: dict[str, Any]) -> None:
    if not found["known"]:
        core.show_error(
            core.problem(f"run {column.rpartition('@')[0]!r} is not here", "choose a run below, or import it on the page Import")
        )
    elif not found["n_answers"]:
        core.show_error(core.problem(f"{column}: this run has no answers of that step", "choose one of its steps below"))


def asked_for(selection: Selection) -> Asked:
    """All controls of the page, drawn; returns what they say."""
    top = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    view = str(top.segmented_control("View", list(VIEWS), default=VIEWS[0], required=True, key="view", bind="query-params"))
    columns, baseline = columns_of(selection, top)
    differs = marks_words = False
    if baseline is not None and len(columns) > 1:
        elsewhere = view != VIEWS[0]  # these two have no meaning there, but keep their places in the address
        differs = top.toggle("Differs from baseline", key="differs", bind="query-params", help=_DIFFERS, disabled=elsewhere)
        marks_words = top.toggle("Mark words", key="words", bind="query-params", help=answer_words.HELP, disabled=elsewhere)
        differs, marks_words = differs and not elsewhere, marks_words and not elsewhere
    chosen, sort = _filters(selection, columns, top)
    query = Query(selection.definition, selection.judge_id, chosen, sort, 1, GRID_ROWS)
    signature = (view, columns, baseline, query, bool(differs), selection.run_ids)
    if st.session_state.get("responses-before") not in (None, signature):
        st.session_state["page"] = 1  # of another selection
    st.session_state["responses-before"] = signature
    sample = _number("sample")
    known: dict[str, Any] = {**st.query_params.to_dict(), **{str(k): v for k, v in st.session_state.items()}}
    named = {k: v for k, v in known.items() if k.startswith(f"at{sample}-")}
    at = tuple(sorted((k.split("-", 1)[1], int(v)) for k, v in named.items() if str(v).isdigit() and int(v) > 0))
    return Asked(view, columns, baseline, replace(query, page=_number("page")), bool(differs), bool(marks_words), sample, at)


def _number(name: str) -> int:
    value = str(st.session_state.get(name) or st.query_params.get(name, "1"))
    return max(1, int(value)) if value.isascii() and value.isdigit() and len(value) < 8 else 1


def _filters(selection: Selection, columns: Sequence[Column], beside: DeltaGenerator) -> tuple[Filter, str]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        search = st.text_input(
            "Search", key="search", bind="query-params", type="search", width=230, max_chars=1000, placeholder="in the answers"
        )
        regex = st.toggle("Regex", key="regex", bind="query-params", help="A regular expression (RE2), upper or lower case.")
        show = st.selectbox("Show", list(SHOW), key="show", bind="query-params", width=130)
        ids = _question_ids(selection, columns)
        question = st.selectbox("Question", [ALL, *ids], key="question", bind="query-params", width=170)
        sort = st.selectbox("Sort", list(browse.SORTS), key="sort", bind="query-params", width=170)
    with beside.popover("Scores", icon=":material/tune:"):
        alignment = st.slider("Alignment", 0, 100, (0, 100), key="alignment", bind="query-params", width=260)
        coherence = st.slider("Coherence", 0, 100, (0, 100), key="coherence", bind="query-params", width=260)
        cut = st.toggle("Cut off at the token limit", key="cut", bind="query-params")
    chosen = Filter(
        selection.question_sets, None if question == ALL else str(question), selection.in_domain, search or "", bool(regex),
        SHOW[str(show)], _limits(alignment), _limits(coherence), bool(cut),
    )  # fmt: skip
    return chosen, str(sort)


def _limits(chosen: tuple[int, int]) -> tuple[float, float] | None:
    return None if tuple(chosen) == (0, 100) else (float(chosen[0]), float(chosen[1]))


def _question_ids(selection: Selection, columns: Sequence[Column]) -> list[str]:
    names: list[str] = []
    if columns:
        found = _questions(*core.key(), tuple({str(s) for p in provenance(columns) for s in p["sources"]}))
        in_sets = found["question_set"].isin(selection.question_sets or found["question_set"])
        names = list(dict.fromkeys(str(name) for name in found.loc[in_sets, "question_id"]))
    linked = st.query_params.get("question")
    return names if linked in (None, ALL, *names) else [*names, str(linked)]
