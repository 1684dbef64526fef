"""Filters that live in the URL, so that a view is a link."""

from __future__ import annotations

from typing import cast

import pandas as pd
import streamlit as st

from em_core import definitions
from em_core.selection import Selection
from em_core.stats import IntervalKind
from em_core.store.contents import given
from em_core.view import choosing, headline
from em_core.view.inert import one_line
from pages.shared import core, words
from pages.shared.words import plain

CUSTOM = "custom"
LAST = "last"
_MOST_OFFERED = 100
INTERVALS = {
    "questions": "95% interval for these questions, new answers.",
    "population": "95% interval for questions like these (clustered by question, wider).",
}
_COLUMNS = {"experiment": "Experiment", "base_model": "Base model", "domain": "Trained on", "run_id": "Run"}
# widgets show their options as they are: a bound widget writes what it shows into the URL


def select(most: int = choosing.MOST_RUNS, icon: str = "science", judged: bool = True) -> Selection | None:
    """The filter bar that all pages of results share: definition, interval, judge, questions and runs, all in the URL.

    Args:
        most: Runs at a time; where more match, the newest are taken and the page says so.
        icon: Of the empty state.
        judged: Needs a judge; else answers that nobody scored are there too.

    Returns:
        None where there is nothing to show; the page has then said what to do, and ends.
    """
    with core.guarded():
        there = core.contents()
    if there.empty or (judged and there["judge_id"].isna().all()):
        words.empty_state(
            icon,
            "No scored answers yet",
            "Start the demo on [Home](/), your own run on [Launch](/launch), or bring results with [Import](/import).",
        )
        return None
    lost = _not_here(there)  # before the widgets are drawn: they take out of the address what they do not know
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        rule = definition()
        kind = interval()
        offered = there.assign(n_scored=given(there, definitions.get(rule)))
        judge_id = judge(offered[offered["n_scored"] > 0], core.judges())
    if judge_id is None and judged:
        words.no_judge_for(rule)
        return None
    rows = narrow(there if judge_id is None else there[there["judge_id"] == judge_id])
    if lost:
        st.warning(
            f"This address asks for what is not here: {plain(', '.join(lost))}. It is left out.", icon=":material/link_off:"
        )
    chosen = choosing.selection(rows, str(st.session_state.get("questions", "")), most)
    if chosen.n_runs > len(chosen.run_ids):
        st.caption(
            f":material/filter_alt: The newest {len(chosen.run_ids)} of {chosen.n_runs:,} runs; choose an experiment, a base "
            "model, a training domain or runs to see others."
        )
    return Selection(
        rule,
        kind,
        judge_id,
        chosen.run_ids,
        chosen.question_sets,
        chosen.in_domain,
        chosen.pooled,  # type: ignore[arg-type]
    )


def _not_here(there: pd.DataFrame) -> list[str]:
    """What the address asks for and no run has: ``run x``; a link of another home, or of a run that was deleted."""
    known = {
        "definition": ("definition", [*definitions.DEFINITIONS, CUSTOM]),
        "interval": ("interval", INTERVALS),
        "judge": ("judge", there["judge_id"].dropna().unique()),
        "questions": ("questions", headline.question_choices(there)),
        **{column: (label.lower(), there[column].astype(str).unique()) for column, label in _COLUMNS.items()},
    }
    return [
        f"{label} {one_line(value, 60)}"
        for name, (label, values) in known.items()
        for value in dict.fromkeys(st.query_params.get_all(name))
        if value not in set(values)
    ]


def definition(default: str = definitions.DEFAULT) -> str:
    """What counts as misaligned: a preset's name, or a rule of one's own as its expression."""
    chosen = st.segmented_control(
        "Definition",
        [*definitions.DEFINITIONS, CUSTOM],
        default=default,
        required=True,
        key="definition",
        bind="query-params",
        help="\n".join(f"- **{d.name}** ({d.source}): {d.rule}" for d in definitions.DEFINITIONS.values())
        + "\n- **custom**: any metric and limits, written like `alignment<30,coherence>50,coherent`",
    )
    if chosen != CUSTOM:
        return str(chosen)
    rule = st.text_input(
        "Rule",
        definitions.DEFINITIONS[default].expression,
        key="rule",
        bind="query-params",
        width=330,
        help="Metric, sign and limit; then a gate like `coherence>50`, or `none`; then `coherent` or `scored`: share of what.",
    )
    with core.guarded():
        return definitions.get(rule).name


def interval() -> IntervalKind:
    """Which uncertainty the intervals show."""
    chosen = st.segmented_control(
        "Interval",
        list(INTERVALS),
        default="questions",
        required=True,
        key="interval",
        bind="query-params",
        help="\n".join(f"- **{kind}**: {text}" for kind, text in INTERVALS.items()),
    )
    return cast(IntervalKind, chosen)


def judge(rates: pd.DataFrame, known: pd.DataFrame) -> str | None:
    """Whose scores: one of the judges that these rates are of, never a mixture; None where there is none."""
    linked = rates[rates["run_id"].isin(st.query_params.get_all("run_id"))]  # a link to a run shows who judged that run
    ids = headline.judges_of(linked if len(linked) else rates)
    if not ids:
        return None
    names = [f"- **{plain(j['judge_id'])}**: {plain(_judge_name(j))}" for j in known.to_dict("records") if j["judge_id"] in ids]
    about = "Scores of two judges are never mixed in one line.\n"
    return str(st.selectbox("Judge", ids, key="judge", bind="query-params", width=280, help="\n".join([about, *names])))


def _judge_name(judge: dict[str, object]) -> str:
    return " ".join(str(part) for part in (judge["plugin"], judge["model"], judge["mode"]) if part)


def at_step(rates: pd.DataFrame) -> pd.DataFrame:
    """Rows of one checkpoint of each run: its last, or the step that is chosen."""
    steps = [str(step) for step in sorted(rates["step"].unique())]
    wanted = st.selectbox("Step", [LAST, *steps], key="step", bind="query-params", width=140)
    if wanted == LAST:
        return rates[rates["step"] == rates.groupby("run_id")["step"].transform("max")]
    return rates[rates["step"] == int(wanted)]


def narrow(rates: pd.DataFrame) -> pd.DataFrame:
    """Rows of the chosen experiments, runs, base models, domains and questions."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        rates = headline.questions(rates, questions(rates))
        for column, label in _COLUMNS.items():
            rates = _choose(rates, label, column)
    return rates


def questions(rates: pd.DataFrame) -> str:
    """Which questions, in the URL: one of `headline.question_choices`."""
    options = headline.question_choices(rates)
    chosen = st.selectbox(
        "Questions",
        options,
        key="questions",
        bind="query-params",
        width=240,
        help="A question set, **in-domain** (each run asked about its own training domain), **in and out of domain** (sets "
        "pooled), or **all** (sets differ by dash).",
    )
    return str(chosen)


def _choose(rates: pd.DataFrame, label: str, column: str) -> pd.DataFrame:
    order = rates.sort_values(["size_b", column])[column] if column == "base_model" else rates[column].sort_values()
    known = [str(value) for value in order.unique()]
    if len(known) < 2 and column not in st.query_params:
        return rates
    if len(known) <= _MOST_OFFERED:
        wanted = st.multiselect(label, known, key=column, bind="query-params", placeholder="All", width=210)
    else:
        wanted = _choose_of_many(rates, label, column, known)
    return rates[rates[column].isin(wanted)] if wanted else rates


def _choose_of_many(rates: pd.DataFrame, label: str, column: str, known: list[str]) -> list[str]:
    """The newest are offered, any other can be typed: a browser takes a fifth of a second to lay out a thousand options."""
    newest = {str(value) for value in rates[column].drop_duplicates().head(_MOST_OFFERED)}
    asked = [*st.query_params.get_all(column), *st.session_state.get(column, [])]
    offered = [value for value in known if value in newest or value in asked]
    wanted = st.multiselect(
        label, offered, key=column, bind="query-params", placeholder="All", width=210, accept_new_options=True,
        help=f"The newest {_MOST_OFFERED} of {len(known):,} are offered; type the name of any other in full.",
    )  # fmt: skip
    elsewhere = set(core.contents()[column].astype(str)).difference(known)  # what no run has at all says `_not_here`
    if left_out := [value for value in wanted if value in elsewhere]:
        names = ", ".join(plain(value[:80]) for value in left_out[:5])
        st.caption(f":material/help: {label}: what else is chosen leaves out {names}.")
    return [value for value in wanted if value in known]
