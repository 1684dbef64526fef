"""What can be done with a run from Live: stop and save while it works; resume, retry and the like when it has ended."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from em_core.supervisor import control, trash
from em_core.supervisor.evidence import RunStatus
from em_core.view import live_words
from em_core.view.live_words import Action
from em_core.view.run_words import size
from pages.shared import core, evaluate_form, words


def at_work(status: RunStatus) -> None:
    """Buttons of a run that is queued or at work."""
    _stop(status)
    training = status.kind == "train" and status.state == "running"
    if training:
        about = "Saves one after the current step, complete with what resuming needs; training goes on, and it is not evaluated."
        if st.button("Save a checkpoint now", icon=":material/save:", help=about, key=f"save-{status.run_id}"):
            _do(lambda: control.save_now(core.home(), status.run_id))
    if status.kind == "train":
        _clone(status)


def ended(status: RunStatus, resume_step: int) -> None:
    """Buttons of a run that has ended, the right one first.

    Args:
        status: The run.
        resume_step: The step that it would go on from; 0 = the beginning.
    """
    for action in live_words.actions(status.state, status.cause, status.kind, resume_step):
        _SHOWN[action.name](status, action)


def _stop(status: RunStatus) -> None:
    queued = status.state == "queued"
    with st.popover("Stop", icon=":material/stop:", disabled=status.state == "stopping", key=f"stop-{status.run_id}"):
        if queued:
            st.markdown("Take this run out of the queue? Nothing is lost; it can be queued again.")
            if st.button("Stop", key=f"keep-{status.run_id}", type="primary"):
                _do(lambda: control.stop(core.home(), status.run_id))
            return
        if status.kind != "train":
            st.markdown("Stop this evaluation? What it has answered stays; resuming it samples the rest.")
            if st.button("Stop and judge what is there", key=f"keep-{status.run_id}", type="primary"):
                _do(lambda: control.stop(core.home(), status.run_id))
            if st.button("Stop at once", key=f"drop-{status.run_id}"):
                _do(lambda: control.stop(core.home(), status.run_id, discard=True))
            return
        st.markdown("Stop this run? It ends after its current step. Answers, scores and earlier checkpoints stay.")
        if st.button("Stop and save a checkpoint", key=f"keep-{status.run_id}", type="primary"):
            _do(lambda: control.stop(core.home(), status.run_id))
        st.caption("Without saving, the steps since the last checkpoint are lost.")
        if st.button("Stop and discard", key=f"drop-{status.run_id}"):
            _do(lambda: control.stop(core.home(), status.run_id, discard=True))


def _clone(status: RunStatus, action: Action | None = None) -> None:
    st.page_link(
        "run/launch.py",
        label="Clone and edit",
        icon=":material/content_copy:",
        query_params={"from": status.run_id},
        help=action.about if action else "Opens its settings on Launch.",
    )


def _resume(status: RunStatus, action: Action) -> None:
    if _button(status, action):
        _do(lambda: control.resume(core.home(), status.run_id, start=False))


def _retry(status: RunStatus, action: Action) -> None:
    if _button(status, action):
        smaller = action.name == "smaller"
        _do(lambda: f"launched as {control.retry(core.home(), status.run_id, smaller_batch=smaller, start=False).run_id}")


def _delete(status: RunStatus, action: Action) -> None:
    place = st.popover(action.label, icon=f":material/{action.icon}:", key=f"delete-{status.run_id}", on_change="rerun")
    if not place.open:
        return
    with place:
        folder = core.home().run_dir(status.run_id)
        st.markdown(f"Move this run to the trash? Its folder of {size(trash.size_bytes(folder))} leaves every page.")
        st.caption("It can be restored until the trash is emptied.")
        if st.button("Delete", key=f"delete-now-{status.run_id}", type="primary", icon=":material/delete:"):
            _do(lambda: f"{trash.delete(core.home(), [status.run_id])[0].run_id}: is in the trash")


def _evaluate(status: RunStatus, action: Action) -> None:
    evaluate_form.popover(status.run_id, action.label)


def _button(status: RunStatus, action: Action) -> bool:
    return st.button(
        action.label,
        icon=f":material/{action.icon}:",
        type="primary" if action.first else "secondary",
        help=action.about,
        key=f"{action.name}-{status.run_id}",
    )


def _do(what: Callable[[], str]) -> None:
    """Do it, say what happened, and draw the page as it is now."""
    with core.guarded(stop=False):
        said = what()
        core.keep_running()
        st.toast(words.plain(said), icon=":material/check_circle:")
        core.look_again()
        st.rerun()


_SHOWN: dict[str, Callable[[RunStatus, Action], None]] = {
    "resume": _resume, "smaller": _retry, "retry": _retry, "clone": _clone, "evaluate": _evaluate, "delete": _delete,
}  # fmt: skip
