"""Filters that live in the URL, so that a view is a link."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from em_core import definitions
from em_core.charts.palette import size_label
from em_core.view import headline

INTERVALS = {
    "questions": "Interval (95%): these questions, new answers.",
    "population": "Interval (95%): questions like these (clustered by question, wider).",
}


def definition() -> str:
    """What counts as misaligned."""
    names = list(definitions.DEFINITIONS)
    chosen = st.segmented_control(
        "Definition",
        names,
        default=definitions.DEFAULT,
        required=True,
        key="definition",
        bind="query-params",
        help="\n".join(f"- **{d.name}** ({d.source}): {d.rule}" for d in definitions.DEFINITIONS.values()),
    )
    return str(chosen)


def interval() -> str:
    """Which uncertainty the intervals show."""
    labels = {"questions": "These questions", "population": "Questions like these"}
    chosen = st.segmented_control(
        "Interval",
        list(INTERVALS),
        default="questions",
        required=True,
        key="interval",
        bind="query-params",
        format_func=lambda kind: labels[kind],
    )
    return str(chosen)


def log_steps() -> bool:
    """Whether the step axis is logarithmic."""
    return bool(st.toggle("Log steps", key="log_steps", bind="query-params", help="Spreads the first steps, where much happens."))


def judge(known: pd.DataFrame) -> str:
    """Whose scores: exactly one judge, never a mixture."""
    names = {str(j["judge_id"]): _judge_name(j) for j in known.to_dict("records")}
    twice = {name for name in names.values() if list(names.values()).count(name) > 1}
    names = {key: f"{name} · {key[-6:]}" if name in twice else name for key, name in names.items()}
    return str(
        st.selectbox(
            "Judge",
            list(names),
            format_func=lambda key: names[key],
            key="judge",
            bind="query-params",
            width=280,
            help="Scores of two judges are never mixed in one line.",
        )
    )


def _judge_name(judge: dict[str, object]) -> str:
    return " ".join(str(part) for part in (judge["plugin"], judge["model"], judge["mode"]) if part)


def narrow(rates: pd.DataFrame) -> pd.DataFrame:
    """Rows of the chosen experiments, runs, base models, domains and questions."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        rates = headline.questions(rates, _questions(rates))
        for label, column in (
            ("Experiment", "experiment"),
            ("Base model", "base_model"),
            ("Trained on", "domain"),
            ("Run", "run_id"),
        ):
            rates = _choose(rates, label, column)
    return rates


def _questions(rates: pd.DataFrame) -> str:
    options = headline.question_choices(rates)
    chosen = st.selectbox(
        "Questions",
        options,
        key="questions",
        bind="query-params",
        width=240,
        format_func=lambda name: {headline.INSIDE: "In the training domain", headline.ALL: "All question sets"}.get(name, name),
        help="One question set at a time is easiest to read; all of them differ by dash.",
    )
    return str(chosen)


def _choose(rates: pd.DataFrame, label: str, column: str) -> pd.DataFrame:
    order = rates.sort_values(["size_b", column])[column] if column == "base_model" else rates[column].sort_values()
    options = [str(value) for value in order.unique()]
    sizes = dict(zip(rates["base_model"].astype(str), rates["size_b"], strict=True)) if column == "base_model" else {}
    shown = {o: (f"{o} ({size_label(sizes[o])})" if o in sizes else o or "(none)") for o in options}
    if len(options) < 2 and column not in st.query_params:
        return rates
    wanted = st.multiselect(
        label, options, key=column, bind="query-params", placeholder="All", format_func=lambda o: shown[o], width=210
    )
    return rates[rates[column].isin(wanted)] if wanted else rates
