"""Evaluate only: new answers of a run's checkpoints without training, from a popover on any page."""

from __future__ import annotations

import streamlit as st

from em_core.evaluate_job.command import command
from em_core.evaluate_job.offers import Offers, offers
from em_core.evaluate_job.todo import Todo, Wanted, look
from em_core.home import Home
from em_core.records import FinalState
from em_core.spec import JudgeSpec
from em_core.specs_io import judge_configs
from em_core.supervisor import evaluate
from em_core.view.run_details import Known
from pages.shared import core, run_details, words

OWN, NOBODY = "the run's own judges", "nobody"
ABOUT = "New answers of its checkpoints without training: other questions, more samples, or what is missing."


def popover(run_id: str, label: str = "Evaluate only") -> None:
    """The button, and behind it the form; nothing is looked at before it is opened.

    Args:
        run_id: A run that was trained here and has ended.
        label: Of the button.
    """
    key = f"evaluate-{run_id}"
    place = st.popover(label, icon=":material/quiz:", key=key, on_change="rerun", width="content")
    if not place.open:
        return
    with place, core.guarded(stop=False):
        _form(run_id, key)


def offered(run: Known, state: str) -> bool:
    """Whether a run can be evaluated from here: it was trained on this machine and has ended."""
    folder = run_details.folder(run.run_id)
    return run.run.get("run_kind") == "train" and folder is not None and (folder / "spec.json").exists() and state in FinalState


def _form(run_id: str, key: str) -> None:
    wanted = _choose(run_id, offers(core.home(), run_id), key)
    if wanted is None:
        return
    todo = _look(*core.key(), wanted)
    _plan(todo)
    if st.button("Start", type="primary", icon=":material/play_arrow:", key=f"{key}-start", disabled=not todo.n_answers):
        queued = evaluate.queue(core.home(), wanted, start=False)
        core.keep_running()
        if queued.run_id:
            words.launched("Queued", [queued.run_id])
        else:
            st.info("Every one of these answers is there by now.", icon=":material/check_circle:")
    with st.expander("The same from the command line", icon=":material/terminal:"):
        st.code(command(wanted), language="bash", wrap_lines=True)


def _choose(run_id: str, offers: Offers, key: str) -> Wanted | None:
    """The form's fields; None while a choice is missing."""
    st.caption(ABOUT)
    sets = st.multiselect("Questions", list(offers.sets), list(offers.own), key=f"{key}-sets")
    names = {0: "0, the starting model"}
    steps = st.multiselect(
        "Checkpoints", offers.steps, offers.steps, key=f"{key}-steps", format_func=lambda step: names.get(step, str(step))
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        samples = st.number_input(
            "Answers per wording", 1, 10_000, None, key=f"{key}-samples", placeholder=f"{offers.samples}, as the run", width=190,
            help="More than the run gave: only the additional ones are sampled.",
        )  # fmt: skip
        configs = sorted(judge_configs.available(core.home()))
        judge = st.selectbox("Judge", [OWN, NOBODY, *configs], key=f"{key}-judge", width=230)
    if judge == OWN:
        st.caption(words.plain(f"Judged by {', '.join(offers.judges)}." if offers.judges else "The run has no judges."))
    if not sets or not steps:
        st.caption("Choose questions and checkpoints.")
        return None
    whole = len(steps) == len(offers.steps) > 1  # a run without a checkpoint has its starting model alone
    target = run_id if whole else f"{run_id}@{','.join(str(step) for step in steps)}"
    return Wanted(target, tuple(offers.sets[name] for name in sets), samples, _judges(judge))


def _judges(choice: str) -> tuple[JudgeSpec, ...] | None:
    if choice == OWN:
        return None
    return () if choice == NOBODY else (judge_configs.resolve(choice, (), core.home())[1],)


@st.cache_data(show_spinner="Counting", ttl=5, max_entries=32, hash_funcs={Wanted: repr})
def _look(root: str, generation: str, wanted: Wanted) -> Todo:
    return look(Home(core.home().root), wanted)


def _plan(todo: Todo) -> None:
    """What would be asked, and what answering and judging it take."""
    st.markdown("  \n".join(f"**{about.capitalize()}:** {words.plain(said)}" for about, said in todo.lines()[1:]))
    if not todo.n_answers:
        st.caption("Every one of these answers is there. [Judge](/judge) scores them with another judge.")
