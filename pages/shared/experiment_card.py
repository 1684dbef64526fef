"""Experiments on the page: a card each, and one in full with its runs, their rates, and what can be done with all of them."""

from __future__ import annotations

import datetime
from typing import Any

import pandas as pd
import streamlit as st

from em_core import definitions
from em_core.home import Home
from em_core.selection import Selection
from em_core.store import comparing as store_comparing
from em_core.store.contents import given
from em_core.supervisor import experiments, live, trash
from em_core.supervisor.evidence import RunStatus
from em_core.view import choosing, comparing
from em_core.view import experiments as view
from em_core.view.experiments import Group
from pages.shared import core, deleting, filters, links, tables, words
from pages.shared.words import plain

NAME = "experiment"
MOST_CARDS, MOST_RATED = 12, 1000
_EACH = "Each run"


@st.cache_resource(show_spinner=False, max_entries=4)
def _published(root: str, generation: str) -> list[Group]:
    return view.published(core.runs())


def groups() -> list[Group]:
    """Every experiment, newest first: of the folders of this home, and of the database what has none."""
    if core.home().read_only:
        return _published(*core.key())
    statuses = core.statuses()
    stamp = hash(tuple((s.run_id, s.state, s.step, s.experiment) for s in statuses))
    return _merged(*core.key(), stamp, statuses)


@st.cache_resource(show_spinner=False, max_entries=2)  # what varies in a thousand runs takes 60 ms to find out
def _merged(root: str, generation: str, stamp: int, _statuses: list[RunStatus]) -> list[Group]:
    mine = experiments.groups(core.home(), _statuses)
    own = {status.run_id for status in _statuses} | trash.trashed_ids(core.home())  # the database may lag behind
    others = [
        Group(group.name, kept)
        for group in _published(root, generation)
        if (kept := tuple(member for member in group.members if member.run_id not in own))
    ]
    return view.merged(mine, others)


def choose(there: list[Group]) -> Group | None:
    """Which experiment, in the URL; None = all of them."""
    names = [group.name for group in there]
    asked = st.query_params.get(NAME)
    key = "choice-experiment"
    st.session_state[key] = asked if asked in names else None

    def remember() -> None:
        if st.session_state[key] is None:
            st.query_params.pop(NAME, None)
        else:
            st.query_params[NAME] = st.session_state[key]

    st.selectbox(
        "Experiment", names, index=None, key=key, on_change=remember, placeholder="All; type to search", width=420,
        help=f"{len(names):,} experiments, the newest first.",
    )  # fmt: skip
    if asked and asked not in names:
        st.warning(f"No experiment **{plain(asked)}** is here.", icon=":material/link_off:")
    return next((group for group in there if group.name == asked), None)


def card(group: Group) -> None:
    """One of many: how far it is and what varies, with a link to all of it."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            links.anchor(group.name, "experiments", **{NAME: group.name})
            _badges(group)
        _facts(group)
        if group.unfinished:
            st.progress(group.progress, text=f"{group.progress:.0%} of all training")


def _badges(group: Group) -> None:
    for state, n in group.counts.items():
        words.state_badge(state, f"{n:,} {state}")


def _facts(group: Group) -> None:
    when = datetime.datetime.fromtimestamp(group.created_t).strftime("%d %b %Y, %H:%M") if group.created_t else "unknown"
    n = len(group.members)
    runs = "1 run" if n == 1 else f"{n:,} runs"
    varied = view.varied_words(group.varied)
    st.caption(f"{runs}, launched {when}." + (f" Varied: {plain(varied)}." if varied else " Nothing varies."))


def summary(group: Group) -> None:
    """Its state and progress, time left where something is at work."""
    with st.container(horizontal=True, vertical_alignment="center"):
        _badges(group)
    _facts(group)
    if not group.unfinished:
        return
    with core.guarded(stop=False):
        left = experiments.time_left_s(core.home(), group, live.active_runs(core.home(), core.statuses()))
    said = "time left not known yet" if left is None else f"about {words.duration(left)} left"
    st.progress(group.progress, text=f"{group.progress:.0%} of all training · {said}")


def elsewhere(group: Group) -> None:
    """Links to the pages that compare its runs."""
    with st.container(horizontal=True):
        of = {NAME: group.name}
        st.page_link("observe/compare.py", label="Compare", icon=":material/bar_chart:", query_params=of)
        st.page_link("observe/trajectories.py", label="Trajectories", icon=":material/show_chart:", query_params=of)
        if group.unfinished and not core.home().read_only:
            st.page_link("run/live.py", label="Live", icon=":material/monitoring:")


def actions(group: Group) -> None:
    """Stop, resume and delete all of it; nothing of the demonstration's, an import's, or where nothing may be changed."""
    own = group.own()
    if core.home().read_only:
        return
    if not own:
        st.caption(":material/lock: Of the demonstration or imported: it can be looked at and compared.")
        return
    with st.container(horizontal=True):
        if group.stoppable:
            with st.popover(f"Stop all {len(group.stoppable):,}", icon=":material/stop:"):
                st.markdown("Stop what runs and waits? Runs at work end after their current step; what is scored stays.")
                keep = st.button("Stop, save checkpoints", type="primary", key="all-keep")
                drop = st.button(
                    "Stop without saving", key="all-drop", help="What was trained since the last checkpoint is lost."
                )
                if keep or drop:
                    with core.guarded(stop=False):
                        _done(experiments.stop(core.home(), group.name, discard=drop))
        if group.resumable and st.button(
            f"Resume {len(group.resumable):,} that ended early", icon=":material/resume:", help="Each from its last checkpoint."
        ):
            with core.guarded(stop=False):
                _done(experiments.resume(core.home(), group.name))
        at_work = bool(group.own("starting", "running", "stopping"))
        about = "Runs at work are not deleted: stop them first." if at_work else None
        if st.button("Delete all", icon=":material/delete:", disabled=at_work, help=about):
            with core.guarded(stop=False):
                ids = [status.run_id for status in experiments.members(core.home(), group.name)]
                deleting.ask(ids, f"Experiment {group.name}")


def _done(said: list[str]) -> None:
    deleting.tell(f"{len(said):,} runs: {said[0]}" + (" …" if len(said) > 1 else ""))
    st.rerun()


def _selection(group: Group) -> Selection | None:
    """Definition, interval, judge and questions of the rates, in the URL; None where nothing is scored."""
    runs = tuple(member.run_id for member in group.members)[-MOST_RATED:]
    there = core.contents()
    there = there[there["run_id"].isin(runs)]
    if there.empty or there["judge_id"].isna().all():
        return None
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        rule = filters.definition()
        kind = filters.interval()
        offered = there.assign(n_scored=given(there, definitions.get(rule)))
        judge_id = filters.judge(offered[offered["n_scored"] > 0], core.judges())
        if judge_id is None:
            return None
        of_judge = there[there["judge_id"] == judge_id]
        chosen = choosing.selection(of_judge, filters.questions(of_judge), MOST_RATED)
    return Selection(rule, kind, judge_id, runs, chosen.question_sets, chosen.in_domain, chosen.pooled)


@st.cache_data(show_spinner=False, max_entries=8)
def _cells(root: str, generation: str, selection: Selection) -> pd.DataFrame:
    return store_comparing.cells(Home(core.home().root), selection)


def runs(group: Group) -> None:
    """The table of its runs with state, what varies and the newest EM rate; or runs with the same value together."""
    with core.guarded():
        selection = _selection(group)
        cells = _cells(*core.key(), selection) if selection is not None else pd.DataFrame(columns=store_comparing.COLUMNS)
    knobs = list(group.varied)
    together = _EACH
    if selection is not None:
        rule = plain(definitions.get(selection.definition).rule)
        st.caption(
            f"**{plain(selection.definition)}**: {rule}. {filters.INTERVALS[selection.interval]} "
            "The last scored checkpoint of each run."
        )
        if knobs:
            together = str(
                st.segmented_control("Rows", (_EACH, *knobs), default=_EACH, required=True, key="rows", bind="query-params")
            )
    if together != _EACH and selection is not None:
        _pooled(group, together, cells, selection)
        return
    rates = comparing.rates(cells, selection) if selection is not None else pd.DataFrame(columns=comparing.COLUMNS)
    _table(view.table(group, rates), knobs)


_SHARES = {"em_rate": "EM rate", "ci_low": "From", "ci_high": "To"}
_NUMBERS = {
    "n_misaligned": "Misaligned", "n_coherent": "Coherent", "n_scored": "Scored", "n_total": "Answers",
}  # fmt: skip


def _config() -> dict[str, Any]:
    shares: dict[str, Any] = {name: st.column_config.NumberColumn(label, format="percent") for name, label in _SHARES.items()}
    return {**shares, **_NUMBERS, "question_set": "Questions", "in_domain": "In domain"}


def _table(rows: pd.DataFrame, knobs: list[str]) -> None:
    many_sets = rows["question_set"].nunique() > 1 or rows["in_domain"].nunique() > 1
    asked = ["question_set", "in_domain"] if many_sets else []
    picked = st.dataframe(
        rows,
        hide_index=True,
        width="stretch",
        height=tables.height(len(rows), 560),
        column_order=[*knobs, "state", *asked, *_SHARES, "at_step", *_NUMBERS, "done", "reason", "label", "run_id"],
        column_config={
            **_config(), "state": "State", "label": "Name", "run_id": "Run", "reason": "Why it ended", "at_step": "At step",
            "done": st.column_config.ProgressColumn("Trained", format="percent", min_value=0, max_value=1),
        },
        placeholder="–",
        on_select="rerun",
        selection_mode="single-row",
        key="experiment-runs",
    )  # fmt: skip
    chosen = picked["selection"]["rows"]
    if not chosen or chosen[0] >= len(rows):
        none = " – means no estimate: nothing of it is scored yet." if rows["em_rate"].isna().any() else ""
        st.caption(f"Choose a row for links to its run.{none}")
        return
    run_id = str(rows["run_id"].iloc[chosen[0]])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain(run_id)}**")
        links.anchor("Its run", "run", run_id=run_id)
        links.anchor("Its trajectory", "trajectories", **links.parameters(run_id=run_id))
        if not core.home().read_only:
            links.anchor("Clone and edit", "launch", **{"from": run_id})


def _pooled(group: Group, knob: str, cells: pd.DataFrame, selection: Selection) -> None:
    rows = view.by_knob(group, knob, cells, selection)
    st.dataframe(
        rows, hide_index=True, width="stretch", height=tables.height(len(rows)), placeholder="no estimate",
        column_config={**_config(), "value": knob, "n_runs": "Runs", "note": "Note"},
    )  # fmt: skip
    st.caption(
        "Runs with the same value together: each run and question counts the same, the interval is for other runs like these."
    )
