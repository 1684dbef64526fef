"""What the page Trajectories draws: one measure of the selected runs over training, clickable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from em_core.home import Home
from em_core.selection import Selection
from em_core.store import queries, trajectories
from em_core.view import trajectory
from pages.shared import changes, core, panels, words

MEASURES = {
    "EM rate": "em_trajectory",
    "Alignment": "score_trajectory",
    "Coherence": "score_trajectory",
    "Loss": "loss_curve",
    "Gradient": "loss_curve",
}
AXES = {"Steps": "step", "Epochs": "epoch", "Samples": "samples_seen"}
_MOST_MARKED = 12  # lines whose change is marked in the chart; more marks would hide the curves
_POINTS = 1800  # of training curves in one chart


@dataclass(frozen=True)
class How:
    """What is drawn, over what: a key of `MEASURES`, a column of `AXES`, and whether that axis is logarithmic."""

    measure: str
    x: str
    log: bool


def controls() -> How:
    """The choices of the page, in the URL."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        measure = st.segmented_control(
            "Measure", list(MEASURES), default="EM rate", required=True, key="measure", bind="query-params"
        )
        axis = st.segmented_control("Over", list(AXES), default="Steps", required=True, key="x", bind="query-params")
        log = st.toggle("Log axis", key="log_steps", bind="query-params", help="Spreads the first steps, where much happens.")
    return How(str(measure), AXES[str(axis)], bool(log))


@st.cache_data(show_spinner=False, max_entries=32)
def _checkpoints(root: str, generation: str, run_ids: tuple[str, ...]) -> pd.DataFrame:
    return queries.checkpoints(Home(core.home().root), run_ids)


@st.cache_data(show_spinner=False, max_entries=32)
def _groups(root: str, generation: str, run_ids: tuple[str, ...]) -> list[list[str]]:
    return trajectories.seed_groups(Home(core.home().root), run_ids)


@st.cache_data(show_spinner=False, max_entries=16)
def _seeds(root: str, generation: str, selection: Selection) -> pd.DataFrame:
    return trajectories.seeds(
        Home(core.home().root), selection.rule, judge_id=selection.judge_id, question_sets=selection.question_sets,
        kind=selection.interval, run_ids=selection.run_ids,
    )  # fmt: skip


@st.cache_data(show_spinner=False, max_entries=16)
def _metrics(root: str, generation: str, run_ids: tuple[str, ...], each: int) -> pd.DataFrame:
    return queries.metrics(Home(core.home().root), run_ids, max_points=each)


def draw(selection: Selection, rates: pd.DataFrame, how: How) -> dict[str, Any] | None:
    """The chart; returns the run, step and question set of a point that was clicked."""
    if MEASURES[how.measure] == "loss_curve":
        _training(selection, how)
        return None
    if how.measure == "EM rate":
        return _rates(selection, rates, how)
    return _scores(selection, how)


@st.cache_data(show_spinner=False, max_entries=32)
def _with_means(root: str, generation: str, selection: Selection) -> pd.DataFrame:
    groups = _groups(root, generation, selection.run_ids or ())
    rates = core.rates_of(selection)
    return trajectory.with_seed_means(rates, groups, _seeds(root, generation, selection)) if groups else rates


def _rates(selection: Selection, rates: pd.DataFrame, how: How) -> dict[str, Any] | None:
    rows = rates if selection.pooled else _with_means(*core.key(), selection)
    marks = None
    if not selection.pooled and len(changes.lines_of(rates)) <= _MOST_MARKED:
        marks = trajectory.marks(core.changes(selection.definition, selection.interval, str(selection.judge_id), rates))
    rows, marks = _along(selection, rows, marks, how)
    return panels.pick("em_trajectory", rows, log_steps=how.log, x=how.x, changes=marks)


def _scores(selection: Selection, how: How) -> dict[str, Any] | None:
    with core.guarded():
        means = core.means_of(selection)
    metric = how.measure.lower()
    groups = _groups(*core.key(), selection.run_ids or ())
    if groups:
        means = trajectory.averaged(means, groups, metric)
    rows, _ = _along(selection, means, None, how)
    return panels.pick("score_trajectory", rows, metric=metric, log_steps=how.log, x=how.x)


def _along(
    selection: Selection, rows: pd.DataFrame, marks: pd.DataFrame | None, how: How
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    if how.x == "step":
        return rows, marks
    known = _checkpoints(*core.key(), selection.run_ids or ())
    drawn = trajectory.with_axes(rows, trajectory.shared_axes(known, rows))
    lost = drawn[drawn[how.x].isna()]
    if len(lost):
        axis = next(name for name, column in AXES.items() if column == how.x).lower()
        st.caption(f"{lost['run_id'].nunique()} runs do not know the {axis} of their checkpoints; choose Steps to see them.")
    return drawn, None if marks is None else trajectory.with_axes(marks, known)


def _training(selection: Selection, how: How) -> None:
    run_ids = selection.run_ids or ()
    with core.guarded():
        steps = _metrics(*core.key(), run_ids, max(20, _POINTS // max(1, len(run_ids))))
        cards = core.contents()
        frame = trajectory.training(steps, cards, _checkpoints(*core.key(), run_ids))
    if frame.empty:
        words.empty_state(
            "show_chart", "No training steps", "Imported runs and baselines have none; choose EM rate, alignment or coherence."
        )
        return
    metric = "loss" if how.measure == "Loss" else "grad_norm"
    panels.whole("loss_curve", frame, metric=metric, x=how.x, log_steps=how.log, title="")
