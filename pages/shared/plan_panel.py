"""What a spec would do, and whether it has been done before."""

from __future__ import annotations

from typing import Any

import streamlit as st

from em_core import charts
from em_core import plan as planning
from em_core.charts import memory_bars
from em_core.errors import EMError, ManyProblems
from em_core.plan import Plan, accuracy
from em_core.plan.printing import FIT_WORDS
from em_core.spec import RunSpec
from em_core.supervisor.launch import launch
from em_core.view import form
from em_core.view import plan as view
from pages.shared import core
from pages.shared.words import duration, plain

_FIT = {
    "fits": ("green", "check_circle"), "tight": ("orange", "warning"), "too_big": ("red", "error"), "unknown": ("gray", "help"),
}  # fmt: skip


@st.cache_data(show_spinner=False, ttl=10, max_entries=32, hash_funcs={RunSpec: RunSpec.model_dump_json})
def examine(spec: RunSpec) -> tuple[Plan | None, dict[str, str]]:
    """The plan, or None and what is wrong by field (data not found, batch larger than the data, ...)."""
    try:
        planning.validate(spec, core.home(), online=False)
        return planning.plan(spec, core.home()), {}
    except ManyProblems as error:
        return None, form.by_field(error.problems)
    except EMError as error:
        return None, form.by_field([(error.message.split(":", 1)[0].strip(), error.message, error.hint)])


def start(spec: RunSpec, again: bool) -> list[str]:
    """Check once more, endpoints and the Hub included, and queue the run; returns the run ids.

    Raises:
        EMError: It cannot run, or an identical one exists.
    """
    planning.validate(spec, core.home())
    return [item.run_id for item in launch(core.home(), [spec], again=again)]


def identical(spec: RunSpec) -> str:
    """The newest run with the same spec, "" when there is none."""
    with core.guarded(stop=False):
        wanted = spec.spec_hash()
        return next((status.run_id for status in reversed(core.statuses()) if status.spec_hash == wanted), "")
    return ""


def show(plan: Plan) -> None:
    """Numbers of steps and answers; whether it fits, and what takes the memory; time by phase; disk; warnings."""
    st.subheader("Plan")
    with st.container(horizontal=True):
        for name, value in (
            ("Steps", plan.total_steps), ("Checkpoints", len(plan.checkpoint_steps)), ("Answers", plan.n_answers),
            ("Judge calls", plan.judge_calls),
        ):  # fmt: skip
            st.metric(name, value, border=True, width=120, format="localized")
    st.caption(
        f"Checkpoints at steps {', '.join(map(str, plan.checkpoint_steps[:12]))}{'…' if len(plan.checkpoint_steps) > 12 else ''}."
    )
    if plan.judge_calls:
        st.caption(plain(view.cost(plan)))
    if plan.warnings:
        listed = plan.warnings if len(plan.warnings) == 1 else [f"- {plain(warning)}" for warning in plan.warnings]
        st.warning(plain(listed[0]) if len(listed) == 1 else "\n".join(listed), icon=":material/warning:")
    _memory(plan)
    _time(plan)
    _disk(plan)
    with st.expander("All of the plan", icon=":material/list_alt:"):
        st.code(plan.text(), language=None, wrap_lines=True)


def _memory(plan: Plan) -> None:
    """A badge, a stacked bar a phase against the card, and each card where there are several."""
    colour, icon = _FIT[plan.fit]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Memory**")
        st.badge(FIT_WORDS[plan.fit], icon=f":material/{icon}:", color=colour)  # type: ignore[arg-type]
        if plan.memory_gib is not None:
            each = f" on each of {plan.gpus} GPUs" if plan.gpus > 1 else ""
            st.caption(f"about {plan.memory_gib:.1f} of {plan.memory_free_gib:.0f} GiB{each}, {plain(plan.device)}")
    if not plan.memory_split:
        st.caption("The model's shape is not known before it is downloaded.")
        return
    st.vega_lite_chart(spec=_bars(plan), width="stretch")
    for line in view.cards(plan):
        st.caption(plain(line))


@st.cache_data(show_spinner=False, max_entries=32, hash_funcs={Plan: lambda plan: (str(plan.memory_split), plan.memory_free_gib)})
def _bars(plan: Plan) -> dict[str, Any]:
    spec = charts.specification(memory_bars.chart(view.memory_frame(plan), title=""))
    return {**spec, "autosize": {"type": "fit-x", "contains": "padding"}}  # the legend's height comes on top of the bars'


def _time(plan: Plan) -> None:
    time = " to ".join(duration(t) for t in plan.time_s) if plan.time_s else "not known"
    st.markdown(f"**Time** about {time}" + (f", {plain(plan.time_source)}" if plan.time_source else ""))
    if plan.phases:
        st.dataframe(view.phase_frame(plan), hide_index=True, width="stretch", row_height=28)
    if said := _accuracy(str(core.home().root)):
        st.caption(plain(said))


@st.cache_data(show_spinner=False, ttl=60, max_entries=4)  # not by generation: it changes all the time while runs are at work
def _accuracy(root: str) -> str:
    with core.guarded(stop=False):
        return accuracy.sentence(accuracy.summaries(accuracy.compared(core.home(), most=40)))
    return ""


def _disk(plan: Plan) -> None:
    parts = ", ".join(f"{name} {gib:.2f}" for name, gib in plan.disk_split.items() if gib >= 0.005)
    st.markdown(f"**Disk** about {plan.disk_gib:.2f} GiB of {plan.disk_free_gib:,.0f} GiB free")
    if parts:
        st.caption(f"{parts} GiB")
