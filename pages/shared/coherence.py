"""What the page Coherence draws: answers on a plane, means per checkpoint, how the two scores go together."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from em_core.home import Home
from em_core.selection import Selection
from em_core.store import association as store_association
from em_core.store import points as store_points
from em_core.store.association import Associations
from em_core.store.means import LAST, Steps
from em_core.view import coherence as view
from pages.shared import core, links, panels, points_list, words

ANSWERS, CHECKPOINTS, TRAINING, AGAINST = "Answers", "Checkpoints", "Over training", "Against EM"
ALL = "all"
HEALTH_RUNS = 12
"""With more runs than that their health is shown on request: it reads every answer's measurements."""
HEALTH_HELP = "Length, repetition, cut-off answers, code and refusals: signs of breakage that no judge has touched."
SCORES = {
    "Coherence": "coherence",
    "Alignment": "alignment",
    "Alignment of coherent answers": "coherent_alignment",
    "Coherent share": "coherent_share",
}


@st.cache_data(show_spinner=False, max_entries=32)
def _by_question(root: str, generation: str, selection: Selection, steps: Any, apart: int) -> pd.DataFrame:
    found = store_points.by_question(Home(core.home().root), selection, steps, domains_apart=apart)
    return found.assign(panel=view.panel_names(found, selection.pooled))


@st.cache_data(show_spinner=False, max_entries=32)
def _points(root: str, generation: str, selection: Selection, steps: Any, binned: bool) -> pd.DataFrame:
    found = store_points.points(
        Home(core.home().root), selection, steps, binned=binned, split=selection.pooled, domains_apart=view.MOST_PANELS
    )
    return view.answer_points(found, view.panel_names(found, selection.pooled), binned, store_points.WIDTH)


@st.cache_data(show_spinner=False, max_entries=32)
def _associations(root: str, generation: str, selection: Selection, steps: Any) -> Associations:
    return store_association.associations(Home(core.home().root), selection, steps)


@st.cache_data(show_spinner=False, max_entries=32)
def _verdicts(root: str, generation: str, selection: Selection, steps: Any) -> pd.DataFrame:
    found = store_points.verdicts(Home(core.home().root), selection, steps, domains_apart=view.MOST_PANELS)
    return view.verdict_shares(found, view.panel_names(found, selection.pooled), selection.interval)


def controls(selection: Selection) -> tuple[str, Steps]:
    """What is drawn and of which checkpoints, in the URL: a name of the four views, and the steps."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        options = [ANSWERS, CHECKPOINTS, TRAINING, AGAINST] if view.has_scatter(selection.rule) else [ANSWERS]
        chosen = ANSWERS
        if len(options) > 1:
            chosen = str(st.segmented_control("Show", options, default=ANSWERS, required=True, key="view", bind="query-params"))
        if chosen == TRAINING:
            return chosen, None
        steps = [str(step) for step in sorted(core.steps(selection.run_ids)["step"].unique())]
        # answers lead with the last checkpoint, means with the whole path: two choices, each with its own place in the URL
        kinds, name = ([LAST, ALL], "step") if chosen == ANSWERS else ([ALL, LAST], "path")
        wanted = st.selectbox("Checkpoints", [*kinds, *steps], key=name, bind="query-params", width=160)
    return chosen, None if wanted == ALL else LAST if wanted == LAST else [int(str(wanted))]


def verdict_bars(selection: Selection, steps: Steps) -> None:
    """Shares of verdicts, where there are no scores to scatter."""
    st.info(
        "This definition looks at verdicts: words, not scores, so there is no plane to draw. Below are the shares of the "
        "verdicts; INCOHERENT, CODE and REFUSAL take the gate's place.",
        icon=":material/info:",
    )
    with core.guarded():
        shares = _verdicts(*core.key(), selection, steps)
    if not panels.show("verdict_shares", shares, columns=2):
        words.empty_state("gavel", "No verdicts here", "Choose other checkpoints or questions.")
    st.caption("Shares of all answers that the judge was asked about, with 95% intervals.")


def answers(selection: Selection, steps: Steps) -> None:
    """The plane of answers, its quadrants, the correlation, and the answers behind a point that was clicked."""
    with core.guarded():
        questions = _by_question(*core.key(), selection, steps, apart=view.MOST_PANELS)
        binned = int(questions["n_both"].sum()) > store_points.MOST_POINTS
        found = _points(*core.key(), selection, steps, binned)
    if found.empty:
        words.empty_state(
            "scatter_plot",
            "No answer has both scores",
            "Choose other checkpoints or questions, or a judge that scores coherence.",
        )
        return
    shares = view.quadrants(questions, selection.rule, selection.interval)
    note = [f"{_of(steps)}; judge: {selection.judge_id}"]
    picked = panels.pick(
        "coherence_scatter", found, columns=2, key="answers", definition=selection.definition, quadrants=shares, notes=note
    )  # fmt: skip
    shown = "Colour: answers per cell of 5 by 5 points" if binned else "Size: answers with the same two scores"
    st.caption(
        f"{shown}. Dashed: the definition's limits. Shares in the corners are of all answers with both scores. Click to read "
        "the answers."
    )
    lines = view.headline_words(questions, selection.rule, selection.interval)
    st.markdown("\n".join(f"- {words.plain(line)}" for line in lines))
    points_list.show(selection, steps, picked, questions, binned)
    _correlation(selection, steps)


def _correlation(selection: Selection, steps: Steps) -> None:
    with core.guarded():
        found = _associations(*core.key(), selection, steps)
    name = selection.rule.metric
    st.subheader("How the two scores go together")
    st.markdown(view.caution(found.spearman, found.within.r))
    st.dataframe(
        view.association_table(found.pearson, found.spearman, found.within, found.between, found.n_cells),
        hide_index=True,
        width="stretch",
    )
    st.caption(
        f"Of {name} and coherence, over answers that have both. Intervals know that answers to one question are not "
        "independent. *Within*: two answers to the same question at the same checkpoint. *Between*: means of question and "
        "checkpoint."
    )


def checkpoints(selection: Selection, steps: Steps) -> None:
    """Mean alignment against mean coherence, with both intervals, connected along the steps of a run."""
    with core.guarded():
        means = view.at_steps(core.means_of(selection), steps)
        questions = _by_question(*core.key(), selection, steps, apart=0).assign(panel="")
    found = view.mean_points(means, selection.rule)
    if found.empty:
        words.empty_state("scatter_plot", "No checkpoint has both means", "Choose other checkpoints or questions.")
        return
    shares = view.quadrants(questions, selection.rule, selection.interval)
    picked = panels.pick(
        "coherence_scatter", found, key="means", definition=selection.definition, quadrants=shares, notes=[f"{_of(steps)}; means"]
    )
    st.caption(
        "One point per checkpoint, crosses are intervals of both means, a line follows one run, its last checkpoint is larger. "
        "Shares in the corners count the single answers, not the means. Click a point to read its answers."
    )
    _open(selection, picked)
    _numbers(means)


def training(selection: Selection) -> None:
    """Mean scores and the share of coherent answers over steps."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        chosen = st.segmented_control("Score", list(SCORES), default="Coherence", required=True, key="score", bind="query-params")
        log = st.toggle("Log axis", key="log_steps", bind="query-params", help="Spreads the first steps, where much happens.")
    with core.guarded():
        means = core.means_of(selection)
    metric = SCORES[str(chosen)]
    if metric == "coherent_alignment" and selection.rule.gate is None:
        st.info("This definition has no gate: all scored answers count. Choose **Alignment**.", icon=":material/info:")
        return
    picked = None
    if means[metric].notna().any():
        picked = panels.pick("score_trajectory", means, metric=metric, log_steps=bool(log))
    else:
        words.empty_state("scatter_plot", "No means here", "Choose other questions, or wait for the next checkpoint.")
    _open(selection, picked)
    _numbers(means)


def against_em(selection: Selection, steps: Steps) -> None:
    """EM rate against mean coherence, per checkpoint."""
    with core.guarded():
        found = view.with_scores(core.rates_of(selection), core.means_of(selection))
    found = view.at_steps(found, steps)
    if not (found["em_rate"].notna() & found["coherence"].notna()).any():
        words.empty_state("scatter_plot", "No checkpoint has both", "Choose other checkpoints or questions.")
        return
    picked = panels.pick("coherence_em", found, columns=1)
    st.caption(
        "Up and to the right: misaligned and fluent. Up and to the left: broken. Crosses are intervals, a line follows one run, "
        "its last checkpoint is larger. Click a point to read its answers."
    )
    _open(selection, picked)
    _numbers(view.at_steps(core.means_of(selection), steps))


def _open(selection: Selection, picked: dict[str, Any] | None) -> None:
    if picked:
        links.to_answers(str(picked["run_id"]), int(picked["step"]), None if selection.pooled else str(picked["question_set"]))


def _numbers(means: pd.DataFrame) -> None:
    with st.expander("Means with intervals and counts"):
        st.dataframe(view.means_table(means), hide_index=True, width="stretch", height=min(420, 37 + 35 * max(1, len(means))))


def _of(steps: Steps) -> str:
    if steps is None:
        return "all checkpoints"
    return "each run's last checkpoint" if steps == LAST else f"step {steps[0]}"
