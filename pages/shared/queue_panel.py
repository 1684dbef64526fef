"""The queue on the page Live: what waits and why, who goes first, and what the slots hold."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from em_core.errors import EMError
from em_core.supervisor import queue_order, waiting
from em_core.supervisor.evidence import RunStatus
from em_core.supervisor.waiting import Overview
from em_core.view import queue_tables
from pages.shared import core, live_actions, words

_SAID, _RUN = "queue-said", "queue-run"
_NAMED = 3
_HEIGHT = 38 * 9
"""Of a long queue, pixels: about eight rows, the rest is scrolled to."""


def panel(statuses: Sequence[RunStatus] | None = None) -> None:
    """The whole panel.

    Args:
        statuses: Of the home's runs, where the page has looked already.
    """
    with core.guarded():
        now = waiting.overview(core.home(), statuses)
    _head(now)
    if now.waiting:
        _table(now)
        _order(now)
    _slots(now)


def _head(now: Overview) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        n = len(now.waiting)
        st.subheader("Queue" + (f": {n:,} {'run' if n == 1 else 'runs'}" if n else ""), anchor=False)
        if now.order.paused:
            st.button(
                "Go on", icon=":material/play_arrow:", key="queue-go-on", on_click=_do, args=[_pause, False], type="primary"
            )
        else:
            st.button("Pause the queue", icon=":material/pause:", key="queue-pause", on_click=_do, args=[_pause, True])
    if now.order.paused:
        since = datetime.datetime.fromtimestamp(now.order.paused_t).strftime("%d %b, %H:%M")
        st.info(f"Paused since {since}: nothing starts, what runs goes on.", icon=":material/pause_circle:")
    said = st.session_state.pop(_SAID, None)
    if isinstance(said, EMError):
        core.show_error(said)
    elif said:
        st.caption(f":material/check: {words.plain(said)}")
    if not now.waiting:
        st.caption("Nothing is queued.")


def _table(now: Overview) -> None:
    rows = [queue_tables.waiting_row(w.place, w.priority, w.status.run_id, w.status.experiment, w.reason) for w in now.waiting]
    frame = pd.DataFrame(rows)
    unsaid = [column for column in ("priority", "experiment") if not frame[column].any()]
    st.dataframe(
        frame.drop(columns=unsaid),
        hide_index=True,
        width="stretch",
        height=_HEIGHT if len(rows) > 8 else "auto",
        column_config={
            "place": st.column_config.NumberColumn("Place", width=50),
            "run_id": st.column_config.TextColumn("Run", width=230),
            "reason": st.column_config.TextColumn("Why it waits", width="large"),
            "priority": st.column_config.NumberColumn("Priority", width=70, help="A higher one is taken first; 0 = as launched."),
            "experiment": st.column_config.TextColumn("Experiment", width="small"),
        },
    )
    never = [w for w in now.waiting if w.never]
    if never:
        listed = "  \n".join(f"**{words.plain(w.status.run_id)}**: {words.plain(w.reason)}" for w in never[:_NAMED])
        more = f"  \nand {len(never) - _NAMED:,} more" if len(never) > _NAMED else ""
        st.warning(f"{listed}{more}  \nThe others are not held up.", icon=":material/block:")


def _order(now: Overview) -> None:
    """Move one run, give it a priority, take it out."""
    ids = [w.status.run_id for w in now.waiting]
    if st.session_state.get(_RUN) not in ids:
        st.session_state.pop(_RUN, None)  # it has started meanwhile
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        run_id = st.selectbox("Change", ids, None, key=_RUN, placeholder="Choose a run", width=300)
        if run_id is None:
            return
        chosen = now.waiting[ids.index(run_id)]
        for label, icon, place, useless in (
            ("First", "vertical_align_top", 1, chosen.place == 1),
            ("Up", "arrow_upward", chosen.place - 1, chosen.place == 1),
            ("Down", "arrow_downward", chosen.place + 1, chosen.place == len(ids)),
            ("Last", "vertical_align_bottom", len(ids), chosen.place == len(ids)),
        ):
            key = f"queue-{label.lower()}"
            st.button(label, icon=f":material/{icon}:", key=key, disabled=useless, on_click=_do, args=[_move, run_id, place])
        most = queue_order.MAX_PRIORITY
        key = f"queue-priority-{run_id}-{chosen.priority}"
        wanted = st.number_input("Priority", -most, most, chosen.priority, 1, key=key, width=130)
        if wanted != chosen.priority:
            st.button(f"Set priority {wanted}", key="queue-set", type="primary", on_click=_do, args=[_priority, run_id, wanted])
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        live_actions.at_work(chosen.status)
    st.caption(f":material/hourglass_top: {words.plain(chosen.reason)}")


def _slots(now: Overview) -> None:
    rows = [
        queue_tables.slot_row(s.slot.title, s.use, [(h.run_id, h.gpu_gib) for h in s.held], s.others, s.foreign_gib, s.problem)
        for s in now.slots
    ]
    frame = pd.DataFrame(rows)
    empty = [column for column in ("memory", "other programs") if not frame[column].any()]
    st.markdown("**Slots**")
    st.dataframe(
        frame.drop(columns=empty),
        hide_index=True,
        width="stretch",
        column_config={
            "slot": st.column_config.TextColumn("Slot", width="small"),
            "runs": st.column_config.TextColumn("Runs", width="medium"),
            "memory": st.column_config.TextColumn("Memory", width="medium"),
            "other programs": st.column_config.TextColumn(
                "Other programs", width="medium", help="What they hold counts as taken. Nobody touches them."
            ),
        },
    )


def _do(change: Callable[..., str], *arguments: object) -> None:
    """A button's work, before the page is drawn anew; what came of it is said there."""
    try:
        st.session_state[_SAID] = change(*arguments)
    except EMError as error:
        st.session_state[_SAID] = error


def _pause(paused: bool) -> str:
    return queue_order.set_paused(core.home(), paused)


def _move(run_id: str, place: int) -> str:
    return queue_order.move(core.home(), run_id, place)


def _priority(run_id: str, priority: int) -> str:
    return queue_order.set_priority(core.home(), run_id, priority)
