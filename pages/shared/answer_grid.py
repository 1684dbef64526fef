"""Answers side by side, or one below the other. Every text of a model, a judge or a file is shown by `answer_text`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from em_core import definitions
from em_core.definitions import Definition
from em_core.store.browse import Column
from em_core.view import responses as view
from em_core.view.inert import one_line, visible
from pages.shared import answer_one, answer_text, answer_words, core, links, responses, words
from pages.shared.responses import GRID_ROWS, LIST_ROWS, Asked
from pages.shared.words import plain


def side_by_side(asked: Asked) -> None:
    """The comparison: whose answers, how many, then one row per question."""
    if not asked.columns:
        words.empty_state("view_column", "No columns chosen", "Choose runs and steps above; each becomes a column.")
        return
    with core.guarded():
        page = responses.grid(asked)
        whose = responses.provenance(asked.columns)
    rule = definitions.get(asked.query.definition)
    _header(asked, whose)
    if page.empty:
        _nothing(asked)
        return
    n_rows, n_answers = int(page["n_rows"].iloc[0]), int(page["n_answers"].iloc[0])
    matching = "matching " if asked.query.filter.picks else ""
    _paging(asked, n_rows, f"{view.count_words(n_rows, 'question')}, {view.count_words(n_answers, 'answer', matching)}")
    most = int(page["n_shown"].max())
    if most > 1:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption("Sample of all cells")
            st.pagination(most, max_visible_pages=0, key="sample", bind="query-params")
            st.caption(_order_of_samples(asked))
    if asked.marks_words:
        answer_words.legend(f"the answer of column {view.LETTERS[asked.baseline or 0]}")
    for row in view.rows(page):
        _row(row, asked, whose, rule)
    if n_rows > GRID_ROWS:
        _foot(n_rows, GRID_ROWS)


def _header(asked: Asked, whose: Sequence[Mapping[str, Any]]) -> None:
    for place, (column, found) in zip(st.columns(len(whose)), enumerate(whose), strict=True):
        with place.container(border=True):
            pin = " :gray-badge[:material/push_pin: baseline]" if column == asked.baseline else ""
            st.markdown(f"**{view.LETTERS[column]}** · **{plain(one_line(view.column_name(found), 80))}**{pin}")
            st.caption(f"{plain(one_line(found['run_id'], 140))} · {_step(found)}")
            proven, sentence = view.weights_words(found["sha256"], found["weights"])
            icon = {True: "verified", False: "warning", None: "help"}[proven]
            st.caption(f":material/{icon}: {'**' if proven is False else ''}{plain(sentence)}{'**' if proven is False else ''}")
            st.caption(" / ".join(plain(view.decoding_words(d)) for d in found["decodings"][:3]) or "decoding not known")


def _step(found: Mapping[str, Any]) -> str:
    return "step 0, before the fine-tune" if view.before_fine_tune(found) else f"step {found['step']}"


def _row(row: view.Row, asked: Asked, whose: Sequence[Mapping[str, Any]], rule: Definition) -> None:
    with st.container(border=True, key=f"row-{row.number}"):
        st.caption(f"{row.number}. {plain(view.question_words(row.question))}")
        if row.question["system"]:
            st.caption("System prompt")
            answer_text.asked(row.question["system"], 600)
        answer_text.asked(row.question["prompt"] or "(the question's text is not recorded)", 1200)
        if row.otherwise:
            st.caption(f":material/warning: Worded otherwise in column {', '.join(view.LETTERS[i] for i in row.otherwise)}.")
        for i, place in enumerate(st.columns(len(whose))):
            with place.container(border=True, height="stretch"):
                if i in row.cells:
                    _cell(row, row.cells[i], i, asked, rule)
                else:
                    st.caption(f"**{view.LETTERS[i]}** · no answer{' that matches' if asked.query.filter.picks else ''}")


def _cell(row: view.Row, cell: dict[str, Any], place: int, asked: Asked, rule: Definition) -> None:
    st.markdown(f"**{view.LETTERS[place]}** {answer_text.badge(cell, rule)}")
    base = row.cells.get(asked.baseline) if asked.marks_words and asked.baseline not in (None, place) else None
    if base is None:
        answer_text.short(cell["text"], int(cell["n_chars"] or 0))
    else:
        answer_words.in_cell(cell, base, view.LETTERS[asked.baseline or 0], f"{row.row_id}-{place}")
    _excerpt(cell)
    st.caption(plain(view.small_print(cell)))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        n = int(cell["n_shown"])
        if n > 1:
            key = f"at{asked.sample}-{row.row_id}.{place}"
            st.pagination(n, default=min(asked.sample, n), max_visible_pages=0, key=key, bind="query-params")
            st.caption(f"{int(cell['k'])} of {n}" + (f" ({int(cell['n_all'])} in all)" if cell["n_all"] > n else ""))
        _actions(cell, f"{row.row_id}-{place}", base)


def _excerpt(cell: Mapping[str, Any]) -> None:
    if cell.get("excerpt"):
        st.caption("First hit, further back:")
        st.text(f"… {visible(cell['excerpt'])} …", width="stretch")


def _actions(cell: Mapping[str, Any], key: str, base: Mapping[str, Any] | None = None) -> None:
    said = st.popover(" ", icon=":material/gavel:", help="What the judges said", key=f"said-{key}", on_change="rerun")
    if said.open:
        with said:
            answer_one.judgements(str(cell["run_id"]), str(cell["response_id"]))
    held = {"near": cell["run_id"]} if base is None else {
        "near": [cell["run_id"], base["run_id"]], "against": base["response_id"], "words": "true",
    }  # fmt: skip
    address = links.parameters(response=cell["response_id"], **held)
    st.page_link(links.RESPONSES, label="Open", icon=":material/open_in_full:", query_params=address)


def a_list(asked: Asked, run_ids: tuple[str, ...]) -> None:
    """Answers one below the other: of the columns, or of everything selected."""
    everything = "everything selected"
    where = st.segmented_control(
        "Answers of", ["the columns", everything], default="the columns", required=True, key="of", bind="query-params"
    )
    columns: tuple[Column, ...] = () if where == everything else asked.columns
    if not columns and where != everything:
        words.empty_state("view_column", "No columns chosen", "Choose runs and steps above, or list everything selected.")
        return
    with core.guarded():
        page = responses.listing(asked, run_ids, columns)
    if page.empty:
        _nothing(asked)
        return
    rule, n_rows = definitions.get(asked.query.definition), int(page["n_rows"].iloc[0])
    _paging(asked, n_rows, view.count_words(n_rows, "answer"), LIST_ROWS)
    for number, cell in enumerate(map(view.plain_values, page.to_dict("records"))):
        with st.container(border=True):
            st.markdown(f"{answer_text.badge(cell, rule)} · {plain(one_line(cell['run_id'], 140))} · step {cell['step']}")
            st.caption(plain(view.question_words(cell)))
            st.text(one_line(cell["prompt"] or "", 300), width="stretch")
            with st.container(border=True):
                answer_text.short(cell["text"], int(cell["n_chars"] or 0), 700, 12)
            _excerpt(cell)
            with st.container(horizontal=True, vertical_alignment="center"):
                st.caption(plain(view.small_print(cell)))
                _actions(cell, str(number))
    if n_rows > LIST_ROWS:
        _foot(n_rows, LIST_ROWS)


def _order_of_samples(asked: Asked) -> str:
    return (
        "in the order they were sampled" if asked.query.sort in ("asked", "biggest difference") else f"{asked.query.sort} first"
    )


def _paging(asked: Asked, n_rows: int, found: str, n_each: int = GRID_ROWS) -> None:
    rule = definitions.get(asked.query.definition)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(f"**{found}** · {plain(rule.name)}: {plain(rule.rule)}")
        if n_rows > n_each:
            st.pagination(-(-n_rows // n_each), key="page", bind="query-params")


def _foot(n_rows: int, n_each: int) -> None:
    page = min(int(st.session_state.get("page") or 1), -(-n_rows // n_each))
    st.caption(f"Page {page} of {-(-n_rows // n_each):,}.")


def _nothing(asked: Asked) -> None:
    if asked.query.page > 1:
        words.empty_state("last_page", "This page is past the last one", "There are fewer answers than its number says.")
        st.button("First page", icon=":material/first_page:", on_click=lambda: st.session_state.update(page=1))
    elif asked.query.filter.picks or asked.query.filter.question_id or asked.differs:
        words.empty_state("filter_alt_off", "No answer matches", "Remove a filter, or search for something else.")
    else:
        words.empty_state("forum", "No answers here", "Choose other questions or other steps.")
