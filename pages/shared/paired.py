"""Paired differences on the page Compare: two checkpoints question by question, or every run against one."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from em_core.home import Home
from em_core.selection import Selection
from em_core.store import paired as store_paired
from em_core.store.comparing import At
from em_core.store.paired import Side
from em_core.view import differences
from pages.shared import comparing, core, links, panels, words

TWO, ALL = MODES = ("two checkpoints", "all against the first")
FORMS = ("difference", "rates")
LAST = "last"
_AROUND = 200  # height of title, axis and legend, pixels
_HELP = "Rows of one question are corrected for how many questions there are (Benjamini-Hochberg)."


@st.cache_data(show_spinner=False, max_entries=32)
def _questions(root: str, generation: str, a: str, b: str, selection: Selection) -> tuple[pd.DataFrame, Side, Side]:
    both = store_paired.paired(
        Home(core.home().root), a, b, selection.rule, judge_id=selection.judge_id, question_sets=selection.question_sets
    )
    return differences.within(both.questions, selection.in_domain), both.a, both.b


@st.cache_data(show_spinner=False, max_entries=32)
def _by_question(questions: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    return differences.by_question(questions, selection)


@st.cache_data(show_spinner=False, max_entries=8)
def _against_first(cells: pd.DataFrame, first: str, selection: Selection) -> pd.DataFrame:
    return differences.against_first(cells, first, selection)


def show(selection: Selection, at: At) -> None:
    """The choice of sides, then the differences."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        mode = st.segmented_control("Compare", MODES, default=TWO, required=True, key="pairs", bind="query-params")
        form = st.segmented_control("Draw", FORMS, default=FORMS[0], required=True, key="form", bind="query-params")
    if mode == ALL:
        _everyone(selection, at, str(form))
    else:
        _two(selection, str(form))


def _two(selection: Selection, form: str) -> None:
    runs = list(selection.run_ids or ())
    columns = st.columns(2)
    with columns[0]:
        a, a_step = _side("A", runs, 0, first_step=len(runs) == 1)
    with columns[1]:
        b, b_step = _side("B", runs, min(1, len(runs) - 1))
    with core.guarded():
        questions, side_a, side_b = _questions(*core.key(), _named(a, a_step), _named(b, b_step), selection)
        rows = _by_question(questions, selection)
    whole = rows.iloc[-1].to_dict()
    st.markdown(f"**B minus A: {words.plain(differences.verdict(whole))}**")
    power = differences.power_words(whole, questions, selection.interval)
    st.caption(words.plain(" ".join([power, whole["note"][:1].upper() + whole["note"][1:]])))
    names = {"a": f"A, step {side_a.step}", "b": f"B, step {side_b.step}"}
    picked = panels.pick_whole("paired_differences", rows, key="paired", form=form, around=_AROUND, **names)
    if picked:
        question_set = str(picked[0].get("question_set") or "") or None
        question = str(picked[0]["name"]) if question_set else None
        links.to_answers(side_b.run_id, side_b.step, question_set, question)
    links.anchor("Read both sides' answers", "responses", **links.parameters(column=[str(side_a), str(side_b)]))
    st.caption(_HELP + " Only questions that both sides answered count, each the same. Click a point for B's answers.")
    st.dataframe(differences.table(rows), hide_index=True, width="stretch")


def _everyone(selection: Selection, at: At, form: str) -> None:
    runs = list(selection.run_ids or ())
    first = str(st.selectbox("First run", runs, key="a", bind="query-params", help="Every other run is held against this one."))
    with core.guarded():
        cells = comparing.cells(selection, at)
        rows = _against_first(cells, first, selection)
    if not rows["difference"].notna().any():
        words.empty_state("compare_arrows", "Nothing to compare", "Choose runs that were asked the same questions.")
        return
    told = int((rows["p_adjusted"] < 0.05).sum())
    st.markdown(f"**{told} of {int(rows['p'].notna().sum())} runs differ from the first by more than chance explains.**")
    names = {"a": "the first run", "b": "each run"}
    picked = panels.pick_whole("paired_differences", rows, key="against", form=form, around=_AROUND, **names)
    if picked and picked[0].get("run_id"):
        links.to_answers(str(picked[0]["run_id"]), int(picked[0]["step"]))
    st.caption(
        f"p values are corrected for {len(rows)} comparisons (Benjamini-Hochberg); only questions that both answered count."
    )
    st.dataframe(differences.table(rows), hide_index=True, width="stretch")


def _side(name: str, runs: list[str], index: int, first_step: bool = False) -> tuple[str, str]:
    """One side's run and step, in the URL."""
    key = name.lower()
    run = str(st.selectbox(name, runs, index=index, key=key, bind="query-params"))
    known = core.steps((run,))
    steps = [str(step) for step in sorted(known["step"].unique())]
    chosen = st.selectbox(
        f"Step of {name}",
        [LAST, *steps],
        index=1 if first_step and steps else 0,
        key=f"{key}_step",
        bind="query-params",
        width=160,
    )
    return run, str(chosen)


def _named(run: str, step: str) -> str:
    return run if step == LAST else f"{run}@{step}"
