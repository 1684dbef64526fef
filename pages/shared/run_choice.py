"""Which run the page Run shows, and which one it is held against; both are in the URL (``run_id``, ``with``)."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from em_core.home import Home
from em_core.store import run_details as store_details
from em_core.view.inert import one_line
from pages.shared import core, words

RUN, OTHER = "run_id", "with"
_SHORT = 90


@st.cache_data(show_spinner=False, max_entries=4)
def _choices(root: str, generation: str) -> dict[str, str]:
    found: pd.DataFrame = store_details.choices(Home(core.home().root))
    rows = found[["run_id", "label", "run_kind"]].itertuples(index=False, name=None)
    return {str(run): _name(str(run), str(label), str(kind)) for run, label, kind in rows}


def _name(run_id: str, label: str, kind: str) -> str:
    label = one_line(label, _SHORT)
    kind = "" if kind in ("train", "") else f" ({kind})"
    return (run_id if label in ("", run_id) else f"{label} · {run_id}") + kind


def choices() -> dict[str, str]:
    """Every run by id, with the name under which it can be searched; newest first, what only serves other runs last."""
    return _choices(*core.key())


def choose() -> str | None:
    """The run to show; None where there is none, or an unknown one is asked for. Says what to do then."""
    with core.guarded():
        runs = choices()
    if not runs:
        words.empty_state(
            "science",
            "No runs yet",
            "Start the demo on [Home](/), your own run on [Launch](/launch), or bring results with [Import](/import).",
        )
        return None
    asked = st.query_params.get(RUN) or None
    chosen = asked if asked is not None else next(iter(runs))
    _select("Run", RUN, runs, chosen if chosen in runs else None, f"{len(runs):,} runs; type to search by label or id.")
    if chosen not in runs:
        st.error(f"No run **{words.plain(one_line(chosen))}** is known here. Choose one above.", icon=":material/search_off:")
        return None
    return chosen


def choose_other(run_id: str) -> str | None:
    """A second run, for the difference; None where none is chosen, or an unknown one is asked for."""
    runs = {run: name for run, name in choices().items() if run != run_id}
    asked = st.query_params.get(OTHER)
    _select("Compare with", OTHER, runs, asked if asked in runs else None, "Shows only what differs between the two runs.")
    if asked and asked not in runs:
        reason = "is this run" if asked == run_id else "is not known here"
        st.error(f"Run **{words.plain(one_line(asked))}** {reason}. Choose another one.", icon=":material/search_off:")
    return asked if asked in runs else None


def _select(label: str, name: str, runs: dict[str, str], chosen: str | None, about: str) -> None:
    """A search box whose value is in the URL as the plain id; the URL leads."""
    key = f"choice-{name}"
    st.session_state[key] = chosen

    def remember() -> None:
        value = st.session_state[key]
        if value is None:
            st.query_params.pop(name, None)
        else:
            st.query_params[name] = value

    st.selectbox(
        label, list(runs), index=0 if name == RUN and chosen else None, format_func=lambda run: runs.get(run, run), key=key,
        on_change=remember, placeholder="Search by label or id", help=about,
    )  # fmt: skip
