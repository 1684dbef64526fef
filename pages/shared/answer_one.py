"""One answer alone, with everything that is known of it: the page behind a permalink."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from em_core import definitions
from em_core.errors import BadInput
from em_core.home import Home
from em_core.store import answer_details, answer_pair
from em_core.store.browse import CUT, Column
from em_core.view import responses as view
from em_core.view.inert import one_line
from pages.shared import answer_text, answer_words, core, links
from pages.shared.words import plain


@st.cache_data(show_spinner=False, max_entries=64)
def _one(
    root: str, generation: str, response_id: str, definition: str, judge_id: str | None, near: tuple[str, ...]
) -> dict[str, Any] | None:
    return answer_details.one(Home(core.home().root), response_id, definition, judge_id, near)


@st.cache_data(show_spinner=False, max_entries=64)
def _at_step_0(root: str, generation: str, response_id: str, asked: dict[str, Any], column: Column) -> tuple[str, str] | None:
    return answer_pair.at_step_0(Home(core.home().root), asked, column.run_id)


@st.cache_data(show_spinner=False, max_entries=64)
def _said(root: str, generation: str, run_id: str, response_id: str) -> pd.DataFrame:
    here = Home(core.home().root)
    return answer_details.judgements_of(here, run_id, response_id, [])


def judgements(run_id: str, response_id: str) -> None:
    """What every judge said, in a table whose cells are inert."""
    with core.guarded():
        found = _said(*core.key(), run_id, response_id)
    _table(found, 640)


def _table(found: pd.DataFrame, width: Literal["stretch"] | int = "stretch") -> None:
    if found.empty:
        st.caption("No judge has been asked about this answer.")
        return
    st.dataframe(view.judgement_table(found), hide_index=True, width=width)


def show(response_id: str) -> None:
    """The answer of that id under the address's definition and judge, or what to do when there is none."""
    definition = st.query_params.get("definition", definitions.DEFAULT)
    with core.guarded():
        if definition == "custom":
            definition = st.query_params.get("rule", definitions.DEFAULT)
        rule = definitions.get(definition)
        judge = st.query_params.get("judge")
        found = _one(*core.key(), response_id[:200], definition, judge, _near())
        if found is None:
            st.page_link(links.RESPONSES, label="All answers", icon=":material/arrow_back:", query_params=links.parameters())
            raise BadInput(
                f"answer {one_line(response_id, 60)!r} is not here",
                "the link may be of another home or of a run that was deleted; open all answers and search for its text",
            )
    _navigation(found)
    card = found["card"]
    st.markdown(f"{answer_text.badge(found, rule)} · {plain(found['shown_judge'] or 'no judge')}")
    st.caption(f"{plain(definition)}: {plain(rule.rule)}")
    st.caption(f"{plain(view.question_words(found))} · sample {found['sample']} ({found['place']} of {found['n_samples']})")
    for title, key in (("System prompt", "system"), ("Question", "prompt")):
        if found[key]:
            st.markdown(f"**{title}**")
            answer_text.block(found[key])
            if len(found[key]) >= CUT:
                st.caption(f":material/content_cut: At most its first {CUT:,} characters.")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Answer**", width="content")
        other = _held_against(found)
    _answer(response_id, found, other)
    left, right = st.columns(2)
    with left:
        st.subheader("Judgements")
        _table(found["judgements"])
        st.subheader("Signs of breakage")
        _health(found)
    with right:
        st.subheader("Where it comes from")
        _provenance(found, card)
    st.markdown("**Link to this answer**")
    address = {"response": found["response_id"], **links.parameters()}  # with the definition and the judge of this view
    st.code(f"{st.context.url or ''}".split("?")[0] + f"?{urlencode(address)}", language=None, wrap_lines=True)


def _near() -> tuple[str, ...]:
    """Runs where the address says that its answers are; a hint that may be wrong."""
    return tuple(text[:200] for text in st.query_params.get_all("near")[:3])


def _navigation(found: dict[str, Any]) -> None:
    beside = {
        "column": [str(c) for c in found["columns"][:1]],
        "questions": found["question_set"],
        "question": found["question_id"],
    }
    marked = "true" if st.query_params.get("words") == "true" else None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(
            links.RESPONSES,
            label="Side by side",
            icon=":material/view_column:",
            query_params=links.parameters(**beside, words=marked),
        )
        st.page_link(
            links.RUN, label="Run", icon=":material/science:", query_params=links.parameters(run_id=found["columns"][0].run_id)
        )
        for name, icon in (("previous", "chevron_left"), ("next", "chevron_right")):
            if found[name]:
                address = links.parameters(response=found[name], near=found["run_id"], words=marked)
                st.page_link(
                    links.RESPONSES, label=f"{name.capitalize()} sample", icon=f":material/{icon}:", query_params=address
                )


def _held_against(found: dict[str, Any]) -> dict[str, Any] | None:
    """The answer that the address names, else the same sample of step 0; None when there is none, or words are not marked."""
    column, step_0, named = found["columns"][0], found["step"] == 0, st.query_params.get("against")
    asked = {name: found[name] for name in ("question_set", "question_id", "paraphrase", "cue", "place")}
    key = core.key()
    start = None if named or step_0 else _at_step_0(*key, found["response_id"], asked, column)
    run_id, other = start or ("", named)
    if not other or other == found["response_id"]:
        return None
    if not st.toggle("Mark words", key="words", bind="query-params", help=answer_words.HELP):
        return None
    there = _one(*key, other[:200], definitions.DEFAULT, None, (*_near(), run_id))
    if there is None:
        st.caption(":material/info: The answer that the address holds it against is not here.")
    return there


def _answer(response_id: str, found: dict[str, Any], other: dict[str, Any] | None) -> None:
    text, n = found["text"] or "", int(found["n_chars"] or 0)
    if n <= len(text) and not text.strip():
        st.caption(f"({n:,} blanks)" if n else "(empty answer)")
        return
    here = Home(core.home().root)
    if n > len(text):
        with st.container(horizontal=True, vertical_alignment="center"):
            said = st.empty()
            whole = n <= answer_text.WHOLE_CHARS and st.toggle("Show all", key="whole", bind="query-params")
            said.caption(f"All {n:,} characters." if whole else f"The first {len(text):,} of {n:,} characters.")
            st.download_button(
                "Download", lambda: answer_details.full_text(here, response_id).encode(), f"{found['response_id']}.txt",
                "text/plain", icon=":material/download:", on_click="ignore",
            )  # fmt: skip
        text = answer_details.full_text(here, response_id) if whole else text
    if not text.strip():
        st.caption(f"(begins with {len(text):,} blanks)")
    if other is None:
        answer_text.block(text)
        return
    there = str(other["text"] or "")
    if len(text) > CUT and len(there) < int(other["n_chars"] or 0) <= answer_text.WHOLE_CHARS:
        there = answer_details.full_text(here, other["response_id"])
    whose = f"{one_line(other['card']['label'] or other['run_id'], 80)}, step {other['step']}, sample {other['sample']}"
    answer_words.legend("the other answer")
    left, right = st.columns(2)
    with left:
        st.caption("This answer")
        answer_words.alone(text, there, len(text) >= n and len(there) >= int(other["n_chars"] or 0))
    with right:
        st.caption(f"Held against: {plain(whose)}")
        answer_text.block(there or "(empty)")
        address = links.parameters(response=other["response_id"])
        st.page_link(links.RESPONSES, label="Open it", icon=":material/open_in_full:", query_params=address)


def _provenance(found: dict[str, Any], card: dict[str, Any]) -> None:
    proven, sentence = view.weights_words(found["sha256"], [found["weights_sha256"] or ""])
    (st.warning if proven is False else st.success if proven else st.info)(
        plain(sentence), icon=f":material/{'warning' if proven is False else 'verified' if proven else 'help'}:"
    )
    for name, value in (("Checkpoint", found["sha256"]), ("Weights that answered", found["weights_sha256"])):
        if value:
            st.caption(f"{name}, sha256")
            st.code(one_line(str(value), 80), language=None, wrap_lines=True)
    shared = len(found["columns"]) - 1
    facts = {
        "Run": card["label"], "Run id": found["run_id"], "Kind": card["run_kind"], "Base model": card["base_model"],
        "Trained on": card["domain"], "Step": found["step"],
        "Shown under": f"{view.count_words(shared, 'other run')} from this model" if shared else "",
        "Decoding": view.decoding_words(found["decoding"] or ""), "Seed": found["seed"],
        "Prompt tokens": found["n_prompt_tokens"], "Answer tokens": found["n_tokens"], "Finish reason": found["finish_reason"],
        "Characters": found["n_chars"], "Answer id": found["response_id"],
    }  # fmt: skip
    _facts(facts)


def _health(found: dict[str, Any]) -> None:
    health = found["health"]
    if health is None:
        st.caption("Not measured yet; `python -m em_core health` measures the answers that are there.")
        return
    overlap = health["overlap_words"]
    _facts(
        {
            "Words": health["n_words"], "Repeated 4-grams": f"{health['repetition']:.0%}", "Code": f"{health['code_share']:.0%}",
            "Opens with a refusal": "yes" if health["refused"] else "no", "Looks cut off": "yes" if health["looks_cut"] else "no",
            "Copied from training data": "data not known" if overlap is None or overlap != overlap else f"{int(overlap)} words",
        }
    )  # fmt: skip


def _facts(facts: dict[str, Any]) -> None:
    rows = [(name, one_line(str(value), 300)) for name, value in facts.items() if value not in (None, "")]
    st.dataframe(pd.DataFrame(rows, columns=["", "Value"]), hide_index=True, width="stretch", height="content")
