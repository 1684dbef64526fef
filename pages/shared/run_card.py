"""One run as a card: progress, loss, newest EM rates, log, and the button that stops it."""

from __future__ import annotations

import datetime

import pandas as pd
import streamlit as st

from em_core import charts, preview
from em_core.charts import loss_curve
from em_core.supervisor import control
from em_core.supervisor.evidence import RunStatus
from em_core.supervisor.live import LiveRun
from pages.shared import core, words

_STATES = {
    "queued": ("gray", "schedule"), "starting": ("blue", "hourglass_top"), "running": ("blue", "play_circle"),
    "stopping": ("orange", "stop_circle"), "finished": ("green", "check_circle"), "stopped": ("gray", "stop_circle"),
    "failed": ("red", "error"), "crashed": ("red", "report"),
}  # fmt: skip


def _heading(status: RunStatus, more: str = "") -> None:
    colour, icon = _STATES[status.state]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(status.state + more, icon=f":material/{icon}:", color=colour)  # type: ignore[arg-type]
        st.markdown(f"**{words.plain(status.label or status.run_id)}**")
        st.caption(words.plain(status.run_id))


def active(run: LiveRun, rates: pd.DataFrame) -> None:
    """A run that is queued or at work."""
    status = run.status
    with st.container(border=True, key=f"run-{status.run_id}"):
        _heading(status, f", place {run.position}" if run.position else "")
        if not run.position:
            st.progress(run.progress, text=_progress_words(run))
            chart, points = st.columns(2, gap="medium")
            with chart:
                _losses(run)
            with points:
                _newest(rates[rates["run_id"] == status.run_id])
        with st.container(horizontal=True, vertical_alignment="center"):
            _stop_button(status)
            _trajectory_link(status)
        _first_rows(status)
        if run.log:
            with st.expander("Worker log", key=f"log-{status.run_id}"):
                st.code(run.log, language=None, wrap_lines=True)


def _trajectory_link(status: RunStatus) -> None:
    st.page_link(
        "observe/trajectories.py",
        label="Trajectory",
        icon=":material/show_chart:",
        query_params={"run_id": status.run_id},
    )


def _first_rows(status: RunStatus) -> None:
    rows = preview.read(core.home().run_dir(status.run_id))
    if not rows:
        return
    with st.expander("First training rows as tokens", key=f"rows-{status.run_id}"):
        st.caption(preview.LEGEND)
        st.code("\n\n".join(preview.as_text(row) for row in rows), language=None, wrap_lines=True)
        for note in filter(None, (row.get("note") for row in rows)):
            st.caption(words.plain(note))


def _progress_words(run: LiveRun) -> str:
    status = run.status
    phases = (
        ", ".join(f"{words.plain(phase)} {words.plain(state)}" for phase, state in status.phases.items()) or "loading the model"
    )
    left = f"about {words.duration(run.eta_s)} left" if run.eta_s is not None else "time left not known yet"
    steps = f"step {status.step or 0} of {status.total_steps or '?'}"
    answers = f"{run.n_answers} of {run.n_answers_planned if run.n_answers_planned is not None else '?'} answers"
    judged = f"{run.n_judged} judged" + (f" ({run.judged_per_s:.0f}/s)" if run.judged_per_s and run.judged_per_s >= 1 else "")
    return f"{steps} · {answers}, {judged} · {left} · {phases}"


def _losses(run: LiveRun) -> None:
    if not run.losses:
        st.caption("Training loss: no step yet.")
        return
    losses = pd.DataFrame(run.losses, columns=["step", "loss"]).assign(
        run_id=run.status.run_id, label=run.status.label, domain=""
    )
    spec = charts.specification(loss_curve.chart(losses, height=190))
    st.vega_lite_chart(spec=spec, width="stretch", key=f"loss-{run.status.run_id}")


def _newest(rates: pd.DataFrame) -> None:
    if rates.empty:
        st.caption("EM rate: no scored checkpoint yet.")
        return
    step = int(rates["step"].max())
    st.markdown(f"**EM rate at step {step}**" + (", before the fine-tune" if not step else ""))
    with st.container(horizontal=True, gap="medium"):
        for row in rates[rates["step"] == step].to_dict("records"):
            with st.container(width=200, gap=None):
                st.markdown(f":small[{words.plain(row['question_set'])}]  \n**{words.percent(row['em_rate'])}**")
                st.caption(words.interval(row))


def _stop_button(status: RunStatus) -> None:
    with st.popover("Stop", icon=":material/stop:", disabled=status.state == "stopping", key=f"stop-{status.run_id}"):
        st.markdown("Stop this run? A running one ends after its current step; what is scored stays.")
        keep = st.button("Stop and save a checkpoint", key=f"keep-{status.run_id}", type="primary")
        drop = st.button("Stop without saving", key=f"drop-{status.run_id}")
        if keep or drop:
            with core.guarded(stop=False):
                st.success(words.plain(control.stop(core.home(), status.run_id, discard=drop)))


def ended(status: RunStatus) -> None:
    """A run that has ended, with the reason and what to do about it."""
    with st.container(border=True):
        _heading(status)
        when = datetime.datetime.fromtimestamp(status.last_event_t or status.created_t).strftime("%d %b %Y, %H:%M")
        steps = f"step {status.step or 0}" + (f" of {status.total_steps}" if status.total_steps else "")
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{when} · {steps}")
            _trajectory_link(status)
        _first_rows(status)
        if status.reason:
            st.code(status.reason, language=None, wrap_lines=True)
        if status.hint:
            st.caption(f":material/lightbulb: {words.plain(status.hint)}")
