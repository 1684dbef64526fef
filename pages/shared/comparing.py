"""What the page Compare shows: pooled bars, heat map and scaling curve, two checkpoints paired, published numbers."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from em_core import reference
from em_core.figures.scaling_curve import with_published
from em_core.home import Home
from em_core.selection import Selection
from em_core.store import comparing as store_comparing
from em_core.store.comparing import FINAL, PEAK
from em_core.store.published import published
from em_core.view import beside, comparing
from pages.shared import core, links, panels, tables, words

BARS, MAP, SCALING, PAIRED, PUBLISHED = VIEWS = ("Bars", "Heat map", "Scaling", "Differences", "Published")
STEP = "step"
MOST_POOLED, MOST_PEAKS, MOST_PAIRED = 1000, 200, 60
"""Runs at a time: pooled ones are cheap, picking peaks reads every checkpoint, paired runs are a line each."""


def view() -> str:
    """Which comparison, in the URL."""
    return str(st.segmented_control("Show", VIEWS, default=BARS, required=True, key="view", bind="query-params"))


def checkpoint() -> str:
    """Which checkpoint of each run, in the URL: final, peak or step."""
    chosen = st.segmented_control(
        "Checkpoint",
        (FINAL, PEAK, STEP),
        default=FINAL,
        required=True,
        key="at",
        bind="query-params",
        help="- **final**: the last scored one of each run\n- **peak**: the one with the highest EM rate. Picking the highest of "
        "several noisy rates makes it look higher than it is\n- **step**: the same step of every run",
    )
    return str(chosen)


def most(view: str, at: str) -> int:
    """Runs at a time."""
    return MOST_PAIRED if view == PAIRED else MOST_PEAKS if at == PEAK else MOST_POOLED


def step(selection: Selection) -> int | None:
    """The step that is compared, in the URL; None when the runs have none."""
    steps = sorted(core.steps(selection.run_ids)["step"].unique())
    if not steps:
        return None
    return int(st.selectbox("Step", [str(s) for s in steps], index=len(steps) - 1, key="step", bind="query-params", width=140))


@st.cache_data(show_spinner=False, max_entries=16)
def _cells(root: str, generation: str, selection: Selection, at: store_comparing.At) -> pd.DataFrame:
    return store_comparing.cells(Home(core.home().root), selection, at)


@st.cache_data(show_spinner=False, max_entries=16)
def _bars(root: str, generation: str, selection: Selection, at: store_comparing.At) -> pd.DataFrame:
    return comparing.bars(_cells(root, generation, selection, at), selection)


@st.cache_data(show_spinner=False, max_entries=16)
def _pooled(
    root: str, generation: str, selection: Selection, at: store_comparing.At, by: tuple[str, ...] = comparing.MODEL
) -> pd.DataFrame:
    return comparing.pooled(_cells(root, generation, selection, at), selection, by)


@st.cache_data(show_spinner=False, max_entries=4)
def _published(root: str, generation: str) -> pd.DataFrame:
    imported = published(Home(core.home().root))
    return pd.concat([reference.read(), reference.typed(imported)[list(reference.COLUMNS)]], ignore_index=True)


def cells(selection: Selection, at: store_comparing.At) -> pd.DataFrame:
    """Counts at that checkpoint of each run (`em_core.store.comparing.cells`), cached."""
    return _cells(*core.key(), selection, at)


def bars(selection: Selection, at: store_comparing.At) -> None:
    """Training domain x model: a bar and its interval, the runs behind it as points; then the numbers."""
    rows = _bars(*core.key(), selection, at)
    if not _any(rows):
        return
    _open(panels.pick("em_bars", rows, columns=2, key="bars", notes=_notes(rows)), selection.pooled)
    _below(rows)
    st.caption(
        "Several runs in one bar are taken as draws: each run and question counts the same, the interval is for other runs like "
        "these, small points are the runs. Click a point of one run to read its answers."
    )
    tables.rates(comparing.shown(rows[rows["pooled"].astype(bool)]), "compare")


def heat_map(selection: Selection, at: store_comparing.At) -> None:
    """Training domain x question set: does harm stay where it was taught?"""
    every = selection.but(question_sets=None, in_domain=None, pooled=False)
    rows = _pooled(*core.key(), every, at, comparing.DOMAIN)
    if not _any(rows):
        return
    picked = panels.pick_whole("domain_heatmap", rows, key="map", notes=_notes(rows), around=150)
    _open(picked[0] if picked else None, False)
    _below(rows)
    st.caption("All question sets, whichever is chosen above. A cell that pools base models mixes sizes: choose one to compare.")
    tables.rates(comparing.shown(rows).assign(size_b=0.0), "compare-map")


def scaling(selection: Selection, at: store_comparing.At) -> None:
    """EM rate over parameters, published points beside."""
    own = _pooled(*core.key(), selection, at)
    if not _any(own):
        return
    rows, options = with_published(own, _published(*core.key()), selection)
    notes = [*_notes(own), *options.get("notes", ())]
    _open(panels.pick("scaling_curve", rows, columns=2, key="scaling", notes=notes), selection.pooled)
    for note in options.get("notes", ()):
        st.caption(words.plain(note[0].upper() + note[1:]) + ".")
    _below(own)
    tables.rates(comparing.shown(own), "compare-scaling")


def published_beside(selection: Selection, at: store_comparing.At) -> None:
    """Published rates next to one's own: what belongs together, and whether it differs by more than chance."""
    own = _pooled(*core.key(), selection, at)
    rows = beside.beside(_published(*core.key()), own, selection)
    matched = rows["own_rate"].notna()
    st.caption(
        f"{len(rows)} published rates under **{words.plain(selection.definition)}**, {int(matched.sum())} with a match among "
        "yours. Matched by definition, training domain, model family and parameters (within 15%), and checkpoint; questions "
        "may differ."
    )
    st.warning(
        "Judges differ, and EM rates of the same answers under two judges have differed twentyfold: a difference here may be the "
        "judges'. The test takes answers as independent, which makes it too sure; *higher* and *lower* also need the intervals "
        "to part.",
        icon=":material/balance:",
    )
    if matched.any() and not st.toggle("Only what matches", key="matched", bind="query-params"):
        matched[:] = True
    shown = rows[matched] if matched.any() else rows
    if shown.empty:
        words.empty_state(
            "menu_book", "Nothing published under this definition", "Choose **betley**, **turner**, **hw0** or **verdict** above."
        )
        return
    st.dataframe(beside.table(shown), hide_index=True, width="stretch", height=min(700, 38 + 35 * len(shown)))


def _any(rows: pd.DataFrame) -> bool:
    if rows["em_rate"].notna().any():
        return True
    words.empty_state(
        "filter_alt_off", "No estimate here yet", "Choose another checkpoint, definition or question set, or remove a filter."
    )
    return False


def _notes(rows: pd.DataFrame) -> list[str]:
    note = comparing.peak_note(rows)
    return [note] if note else []


def _below(rows: pd.DataFrame) -> None:
    if note := comparing.peak_note(rows):
        st.warning(words.plain(note), icon=":material/trending_up:")
    lost = int(rows["em_rate"].isna().sum())
    if lost:
        st.caption(f"{lost} without an estimate: nothing there was scored for this definition.")
    if rows["toy"].fillna(False).astype(bool).any():
        words.toy_notice()


def _open(picked: dict[str, Any] | None, pooled: bool) -> None:
    """The answers behind a point, where it is one run's checkpoint."""
    if picked and picked.get("run_id") and picked.get("step") is not None:
        links.to_answers(str(picked["run_id"]), int(picked["step"]), None if pooled else str(picked["question_set"]))
