"""One run as a card: while it works its phases, curves, log and buttons; when it has ended how, why and what to do."""

from __future__ import annotations

import datetime

import streamlit as st

from em_core import preview
from em_core.supervisor.evidence import RunStatus
from em_core.supervisor.live import LiveRun, resume_step
from em_core.view import live_words
from em_core.view.live_curves import RunRates
from em_core.view.run_words import short
from pages.shared import core, live_actions, live_curves, live_log, words


def heading(status: RunStatus) -> None:
    """State, cause and name."""
    with st.container(horizontal=True, vertical_alignment="center"):
        words.state_badge(status.state)
        if why := live_words.title_of(status.cause, status.state):
            st.badge(why, color="gray")
        st.markdown(f"**{words.plain(status.label or status.run_id)}**")
        st.caption(words.plain(status.run_id))


def active(run: LiveRun, rates: RunRates | None) -> None:
    """A run at work, with its EM rates so far."""
    status = run.status
    with st.container(border=True, key=f"run-{status.run_id}"):
        heading(status)
        if silent := live_words.quiet(status.quiet_s):
            st.warning(f"{silent.capitalize()}. Its log may say why.", icon=":material/hourglass_disabled:")
        st.caption(_facts(run))
        shown = [phase for phase in run.phases if phase.state != "skipped"]
        for i in range(0, len(shown), 2):
            for place, phase in zip(st.columns(2, gap="medium"), shown[i : i + 2], strict=False):
                icon = ":material/play_arrow: " if phase.at_work else ""
                place.progress(phase.share, text=icon + words.plain(live_words.sentence(phase)))
        live_curves.show(run, rates)
        with st.container(horizontal=True, vertical_alignment="center"):
            live_actions.at_work(status)
            _links(status)
        live_log.show(status.run_id)
        _first_rows(status)


def ended(status: RunStatus) -> None:
    """A run that has ended: the reason, what to do about it, and the buttons that do it."""
    with st.container(border=True, key=f"ended-{status.run_id}"):
        heading(status)
        when = datetime.datetime.fromtimestamp(status.last_event_t or status.created_t).strftime("%d %b %Y, %H:%M")
        tries = f"attempt {status.attempt}" if status.attempt > 1 else ""
        steps = live_words.reached(status.kind, status.step, status.total_steps)
        st.caption(" · ".join(filter(None, [when, steps, tries])))
        if status.reason:
            st.code(short(status.reason), language=None, wrap_lines=True)
        if what := live_words.next_step(status.cause, status.state, status.hint):
            st.caption(f":material/lightbulb: {words.plain(what[0].upper() + what[1:])}.")
        with st.container(horizontal=True, vertical_alignment="center"):
            live_actions.ended(status, resume_step(core.home().run_dir(status.run_id)))
            _links(status)
        live_log.show(status.run_id)


def _facts(run: LiveRun) -> str:
    said = [live_words.time_left(run.status.state, run.eta_s)]
    if run.tokens_per_s:
        said.append(f"{run.tokens_per_s:,.0f} tokens/s")
    if run.gpu_mem_gib:
        said.append(f"{run.gpu_mem_gib:.1f} GiB at most in a step")
    if tries := live_words.attempts([(attempt.number, attempt.from_step) for attempt in run.attempts]):
        said.append(tries)
    return words.plain(" · ".join(said))


def _links(status: RunStatus) -> None:
    st.page_link(
        "observe/trajectories.py",
        label="Trajectory",
        icon=":material/show_chart:",
        query_params={"run_id": status.run_id},
    )
    st.page_link("observe/run.py", label="Run", icon=":material/science:", query_params={"run_id": status.run_id})


def _first_rows(status: RunStatus) -> None:
    rows = preview.read(core.home().run_dir(status.run_id))
    if not rows:
        return
    with st.expander("First training rows as tokens", key=f"rows-{status.run_id}"):
        st.caption(preview.LEGEND)
        st.code("\n\n".join(preview.as_text(row) for row in rows), language=None, wrap_lines=True)
        for note in filter(None, (row.get("note") for row in rows)):
            st.caption(words.plain(note))
