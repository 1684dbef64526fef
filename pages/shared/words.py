"""Words on the pages: text made inert, numbers as people read them, the notices that repeat."""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from em_core import definitions
from em_core.home import Home
from em_core.view.run_words import duration as duration

_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|$~:&])")
TO_OFF_PAGE = re.compile(r"\]\(/(launch|live|doctor|judge|label|import)\)")
"""A link to a page that `pages.shared.readonly` leaves out."""
TOY = (
    "Models whose name starts with **organism** are tiny toys of our own, trained on a fictional world in plain English. "
    "They show how emergent misalignment looks and how the workbench measures it; they say nothing about real models."
)


def plain(text: str) -> str:
    """`text` so that Markdown shows it as it is: nothing in it becomes a link, an image or a style."""
    return _MARKUP.sub(r"\\\1", str(text)).replace("\n", "  \n")


def percent(value: float | None) -> str:
    """A rate, 0-1, in words."""
    return "no estimate" if value is None or value != value else f"{value:.0%}"


def interval(row: dict[Any, Any]) -> str:
    """A rate's interval and counts, its own denominator named: ``91% to 96%, 375 of 396 coherent, n = 400`` (answers)."""
    low, high, of = row["ci_low"], row["ci_high"], definitions.get(str(row["definition"])).denominator
    between = "no interval" if low is None or low != low or high is None else f"{low:.0%} to {high:.0%}"
    return f"{between}, {int(row['n_misaligned']):,} of {int(row[f'n_{of}']):,} {of}, n = {int(row['n_total']):,}"


_STATES = {
    "queued": ("gray", "schedule"), "starting": ("blue", "hourglass_top"), "running": ("blue", "play_circle"),
    "stopping": ("orange", "stop_circle"), "finished": ("green", "check_circle"), "stopped": ("gray", "stop_circle"),
    "failed": ("red", "error"), "crashed": ("red", "report"),
}  # fmt: skip


def state_badge(state: str, text: str = "") -> None:
    """The state of a run or a job in its colour; `text` stands in its place, such as a number of runs in that state."""
    colour, icon = _STATES.get(state, ("gray", "help"))
    st.badge(plain(text or state), icon=f":material/{icon}:", color=colour)  # type: ignore[arg-type]


def toy_notice() -> None:
    """What the organism is, wherever it is shown."""
    st.caption(f":material/toys: {TOY}")


def empty_state(icon: str, title: str, next_step: str) -> None:
    """Nothing to show yet, and what to do about it (in the read-only demonstration no link to a page that is off there)."""
    if TO_OFF_PAGE.search(next_step) and Home.find().read_only:
        next_step = "This is a read-only demonstration: nothing new can be made here. Its results start on [Home](/)."
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f"### :material/{icon}: {title}", text_alignment="center")
        st.markdown(next_step, text_alignment="center")


def no_judge_for(definition: str) -> None:
    """No judge gave what the definition looks at."""
    kind = "a verdict judge (`judge --judge openai-verdict`)" if definition.startswith("verdict") else "a judge with that metric"
    empty_state(
        "gavel",
        "No judge has scored these answers for this definition",
        f"**{plain(definition)}** needs {kind}; choose another definition, or judge the answers again on [Judge](/judge).",
    )


def launched(what: str, run_ids: list[str]) -> None:
    """What was started, with a link to where it can be watched."""
    with st.container(border=True):
        st.markdown(f":material/check_circle: **{plain(what)}**")
        st.code("\n".join(run_ids), language=None)
        st.page_link("run/live.py", label="Watch it live", icon=":material/monitoring:")
