"""What a spec would do, and whether it has been done before."""

from __future__ import annotations

import streamlit as st

from em_core import plan as planning
from em_core.errors import EMError, ManyProblems
from em_core.plan import Plan
from em_core.spec import RunSpec
from em_core.supervisor.evidence import list_runs
from em_core.supervisor.launch import launch
from em_core.view import form
from pages.shared import core
from pages.shared.words import duration, plain


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
        return next((status.run_id for status in reversed(list_runs(core.home())) if status.spec_hash == wanted), "")
    return ""


def show(plan: Plan) -> None:
    """Steps, checkpoints, answers, judge calls; time and memory; warnings; the whole plan as text."""
    st.subheader("Plan")
    with st.container(horizontal=True):
        for name, value in (
            ("Steps", plan.total_steps), ("Checkpoints", len(plan.checkpoint_steps)), ("Answers", plan.n_answers),
            ("Judge calls", plan.judge_calls),
        ):  # fmt: skip
            st.metric(name, value, border=True, width=120, format="localized")
    time = " to ".join(duration(t) for t in plan.time_s) if plan.time_s else "unknown"
    st.caption(
        f"Time: about {time} on {plain(plan.device)}. Checkpoints at steps {', '.join(map(str, plan.checkpoint_steps[:12]))}."
    )
    for warning in plan.warnings:
        st.warning(plain(warning), icon=":material/warning:")
    with st.expander("All of the plan", icon=":material/list_alt:"):
        st.code(plan.text(), language=None, wrap_lines=True)
