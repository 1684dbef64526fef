"""Deleting on the pages: what would go and how large it is, asked before it goes; the trash, and what can be had back."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from em_core.supervisor import baselines, trash
from em_core.view import run_words
from pages.shared import core, tables
from pages.shared.words import plain

_NAMED = 12
_SAID, _SHOWN_S = "deleted-said", 10.0
SHOWN = "deleted"
"""Address parameter and key: whether deleted runs are listed."""


@st.dialog("Delete runs", icon=":material/delete:")
def ask(run_ids: Sequence[str], what: str = "") -> None:
    """The question before runs go to the trash: which, how large, what comes of it.

    Args:
        run_ids: The runs.
        what: What they are together: ``experiment x``; empty = one run.
    """
    ids = list(run_ids)
    with core.guarded(stop=False):
        size = sum(trash.size_bytes(trash.folder_of(core.home(), run_id)) for run_id in ids)
        n = "1 run" if len(ids) == 1 else f"{len(ids):,} runs"
        st.markdown((f"**{plain(what)}**: " if what else "") + f"{n}, **{run_words.size(size)}** on disk.")
        st.code("\n".join([*ids[:_NAMED], *([f"and {len(ids) - _NAMED:,} more"] if len(ids) > _NAMED else [])]), None)
        st.caption(
            "They go to the trash with their checkpoints, answers and scores, and leave all pages. Disk space is freed when the "
            "trash is emptied; until then they can be brought back."
        )
        force = st.checkbox(
            "Also if other runs start from them", help="Those keep their results, but cannot be resumed or repeated."
        )
        if st.button("Move to the trash", type="primary", icon=":material/delete:", key="delete-sure"):
            moved = trash.delete(core.home(), ids, force=force)
            tell(f"{len(moved):,} moved to the trash, {run_words.size(sum(entry.size_bytes for entry in moved))}.")
            st.rerun()


def tell(sentence: str) -> None:
    """Keep a sentence for `said`, over the page's next runs; states are looked at anew."""
    core.look_again()
    st.session_state[_SAID] = (sentence, time.monotonic() + _SHOWN_S)


def said() -> None:
    """What was done last, for some seconds (what runs by itself would take it away at once), at the place of this call."""
    sentence, until = st.session_state.get(_SAID, ("", 0.0))
    if time.monotonic() < until:
        st.success(plain(sentence), icon=":material/check_circle:")


def panel() -> None:
    """Deleted runs with their sizes, to bring back or to remove for good; and shared answers that nothing names any more."""
    if not st.toggle("Show deleted runs", key=SHOWN, bind="query-params"):
        return
    with core.guarded(stop=False):
        _unused()
        entries = trash.entries(core.home())
        if not entries:
            st.caption("The trash is empty.")
            return
        rows = pd.DataFrame(
            {"run": e.run_id, "size": run_words.size(e.size_bytes), "deleted": pd.Timestamp(e.deleted_t, unit="s", tz="UTC"),
             "state": e.state, "experiment": e.experiment}
            for e in entries
        )  # fmt: skip
        st.caption(
            f"{len(entries):,} deleted runs take {run_words.size(sum(e.size_bytes for e in entries))}. Choose rows, or take all."
        )
        picked = st.dataframe(
            rows, hide_index=True, width="stretch", height=tables.height(len(rows)), on_select="rerun",
            selection_mode="multi-row", key="trash-rows",
            column_config={
                "run": "Run", "size": "Size", "state": "State", "experiment": "Experiment",
                "deleted": st.column_config.DatetimeColumn("Deleted", format="D MMM YYYY, HH:mm"),
            },
        )  # fmt: skip
        chosen = [entries[i] for i in picked["selection"]["rows"] if i < len(entries)]
        with st.container(horizontal=True):
            if st.button(f"Bring back {len(chosen) or ''}".rstrip(), icon=":material/restore_from_trash:", disabled=not chosen):
                back = [each.run_id for each in trash.restore(core.home(), *(entry.name for entry in chosen))]
                tell(
                    f"Brought back: {', '.join(back[:_NAMED])}"
                    + (f" and {len(back) - _NAMED} more" if len(back) > _NAMED else "")
                )
                st.rerun()
            label = f"Remove {len(chosen)} for good" if chosen else "Empty the trash"
            if st.button(label, icon=":material/delete_forever:"):
                _ask_empty(chosen or entries)


@st.dialog("Remove for good", icon=":material/delete_forever:")
def _ask_empty(entries: Sequence[trash.Trashed]) -> None:
    size = run_words.size(sum(entry.size_bytes for entry in entries))
    st.markdown(f"**{len(entries):,}** deleted runs, **{size}**: their checkpoints, answers and scores cannot be brought back.")
    if st.button("Remove for good", type="primary", icon=":material/delete_forever:", key="empty-sure"):
        with core.guarded(stop=False):
            freed = trash.empty(core.home(), [entry.name for entry in entries])
            tell(f"{run_words.size(freed)} freed.")
            st.rerun()


def _unused() -> None:
    left = baselines.unused(core.home())
    if not left:
        return
    size = run_words.size(sum(trash.size_bytes(core.home().run_dir(name)) for name in left))
    st.info(
        f"{len(left)} shared step-0 folders are named by no run any more ({size}). A new run of the same model would answer them "
        "again.", icon=":material/recycling:",
    )  # fmt: skip
    if st.button("Delete these too", icon=":material/delete:"):
        ask(left, "shared step-0 answers")
