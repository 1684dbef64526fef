"""The pages' one way to the core: this home, cached loads, errors that a person can fix."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pandas as pd
import streamlit as st

from em_core import definitions, supervisor
from em_core.errors import BadInput, Busy, EMError
from em_core.home import PROJECT, Home
from em_core.selection import Selection
from em_core.store import agreement, queries, reader, trajectories
from em_core.store import contents as store_contents
from em_core.store import means as store_means
from em_core.store import plane as store_plane
from em_core.store import rates as store_rates
from em_core.store.publish import publish
from em_core.supervisor.evidence import RunStatus, list_runs
from em_core.supervisor.start import woken_ns
from em_core.view.judge_notes import mixed_models
from pages.shared.words import plain

__all__ = [
    "PROJECT",
    "busy",
    "change_mark",
    "changes",
    "contents",
    "demo_rates",
    "generation",
    "guarded",
    "home",
    "judge_notes",
    "judges",
    "keep_running",
    "look_again",
    "means_of",
    "plane",
    "rates_of",
    "runs",
    "show_error",
    "start_background",
    "statuses",
]


def home() -> Home:
    """The home folder that this app shows (``EM_HOME``, else the checkout)."""
    return Home.find()


@st.cache_resource(show_spinner="Opening the workbench")
def _first_start(root: str) -> None:
    here = Home(home().root)
    here.prepare()
    with contextlib.suppress(Busy):
        publish(here, wait=False)  # the shipped demonstration is there before anything has run
    if not os.environ.get("EM_NO_SUPERVISOR"):  # tests and benchmarks that only read
        supervisor.ensure_running(here)


def start_background() -> None:
    """Once per process: publish what is there, start the supervisor. A problem is shown, not raised."""
    if home().read_only:
        return  # one database, as it is
    try:
        _first_start(str(home().root))
    except EMError as error:
        show_error(error)


def keep_running() -> None:
    """Start the supervisor again if it has gone while there is work."""
    if not home().read_only and not os.environ.get("EM_NO_SUPERVISOR") and not supervisor.is_running(home()):
        supervisor.ensure_running(home())


def change_mark() -> tuple[int, int]:
    """What is another one as soon as anybody, in whatever process, has launched, resumed, stopped or deleted something."""
    here = home()
    try:
        return here.runs.stat().st_mtime_ns, woken_ns(here)
    except OSError:
        return 0, 0


@st.cache_data(show_spinner=False, ttl=2.0, max_entries=8)
def _statuses(root: str, mark: tuple[int, int]) -> list[RunStatus]:
    return list_runs(Home(home().root))


def statuses() -> list[RunStatus]:
    """State of every run by evidence, at most 2 s old (a thousand runs take 0.13 s to look at); none older than `change_mark`."""
    return _statuses(str(home().root), change_mark())


def look_again() -> None:
    """What was just asked for shows at once, not when the states kept for 2 s are old."""
    _statuses.clear()


def busy() -> bool:
    """Something runs or waits, so that what is shown may change."""
    return any(status.active or status.state == "queued" for status in statuses())


def show_error(error: EMError) -> None:
    """Message and fix, as inert text."""
    fix = f"  \n**Fix:** {plain(error.hint)}" if error.hint else ""
    icon = ":material/hourglass_top:" if isinstance(error, Busy) else ":material/error:"
    (st.warning if isinstance(error, Busy) else st.error)(plain(error.message) + fix, icon=icon)


@contextlib.contextmanager
def guarded(stop: bool = True) -> Iterator[None]:
    """Show an `EMError` of the block instead of a traceback, and end the page there if `stop`."""
    try:
        yield
    except EMError as error:
        show_error(error)
        if stop:
            st.stop()


def generation() -> str:
    """Identity of the published data; a cached load is good while it is the same."""
    return reader.generation(home())


def key() -> tuple[str, str]:
    """The first two arguments of every cached load: whose data, and which generation of it."""
    return str(home().root), generation()


@st.cache_resource(show_spinner=False, max_entries=4)  # as data it is unpickled at each call: 30 ms for a thousand runs
def _contents(root: str, generation: str) -> pd.DataFrame:
    return store_contents.contents(Home(home().root))


def contents() -> pd.DataFrame:
    """What there is to choose from (`em_core.store.contents.contents`), a copy; quick at any size."""
    return _contents(*key()).copy()


@st.cache_data(show_spinner=False, max_entries=32)
def _steps(root: str, generation: str, run_ids: tuple[str, ...]) -> pd.DataFrame:
    return store_contents.steps(Home(home().root), run_ids)


def steps(run_ids: tuple[str, ...] | None) -> pd.DataFrame:
    """Every answered step of these runs (`em_core.store.contents.steps`)."""
    return _steps(*key(), run_ids or ())


@st.cache_data(show_spinner=False, max_entries=32)
def _rates_of(root: str, generation: str, selection: Selection, by: tuple[str, ...]) -> pd.DataFrame:
    found = store_rates.rates(
        Home(home().root), selection.rule, by, selection.interval, run_ids=selection.run_ids, judge_id=selection.judge_id,
        question_sets=selection.question_sets, pool_sets=selection.pooled,
    )  # fmt: skip
    return found if selection.in_domain is None else found[found["in_domain"] == selection.in_domain]


def rates_of(selection: Selection, by: tuple[str, ...] = ("run", "step")) -> pd.DataFrame:
    """EM rates of the selected runs alone (`em_core.store.rates.rates`), so that a page is quick at any size of the store."""
    return _rates_of(*key(), selection, by)


@st.cache_data(show_spinner=False, max_entries=32)
def _means_of(root: str, generation: str, selection: Selection) -> pd.DataFrame:
    found = store_means.means(Home(home().root), selection)
    return found if selection.in_domain is None else found[found["in_domain"] == selection.in_domain]


def means_of(selection: Selection) -> pd.DataFrame:
    """Mean alignment and coherence of the selected runs' checkpoints (`em_core.store.means.means`)."""
    return _means_of(*key(), selection)


@st.cache_data(show_spinner=False, max_entries=4)
def _demo_rates(root: str, generation: str) -> pd.DataFrame:
    return store_rates.rates(Home(home().root), demo=True)


def demo_rates() -> pd.DataFrame:
    """EM rates of the shipped demonstration alone."""
    return _demo_rates(*key())


@st.cache_data(show_spinner=False, max_entries=64)
def _plane(
    root: str, generation: str, definition: str, interval: Any, judge_id: str, cells: list[tuple[str, int, str, bool]]
) -> pd.DataFrame:
    return store_plane.plane(Home(home().root), definitions.get(definition), cells, judge_id, interval)


def plane(definition: str, interval: str, judge_id: str, chosen: pd.DataFrame) -> pd.DataFrame:
    """The EM rate under every threshold and gate, of the answers behind these rows of rates, pooled."""
    cells = list(chosen[["run_id", "step", "question_set", "in_domain"]].itertuples(index=False, name=None))
    return _plane(*key(), definition, interval, judge_id, cells)


@st.cache_data(show_spinner=False, max_entries=32)
def _changes(
    root: str, generation: str, definition: str, interval: Any, judge_id: str, runs: tuple[str, ...], sets: tuple[str, ...]
) -> pd.DataFrame:
    rule = definitions.get(definition)
    return trajectories.changes(Home(home().root), rule, run_ids=runs, judge_id=judge_id, question_sets=sets, kind=interval)


def changes(definition: str, interval: str, judge_id: str, chosen: pd.DataFrame) -> pd.DataFrame:
    """When each line of the runs in these rates changed (`em_core.store.trajectories.changes`)."""
    runs, sets = (tuple(sorted(chosen[column].unique())) for column in ("run_id", "question_set"))
    return _changes(*key(), definition, interval, judge_id, runs, sets)


@st.cache_data(show_spinner=False, max_entries=32)
def _served(root: str, generation: str, run_ids: tuple[str, ...] | None) -> pd.DataFrame:
    return agreement.served_models(Home(home().root), run_ids)


def judge_notes(judge_id: str, run_ids: tuple[str, ...] | None = None) -> list[str]:
    """What a reader of this judge's scores of these runs must know: several models may have answered under its name."""
    return mixed_models(_served(*key(), run_ids), [judge_id])


@st.cache_data(show_spinner=False, max_entries=8)
def _runs(root: str, generation: str) -> pd.DataFrame:
    return queries.runs(Home(home().root))


def runs() -> pd.DataFrame:
    """Every published run, one row each."""
    return _runs(*key())


@st.cache_data(show_spinner=False, max_entries=8)
def _judges(root: str, generation: str) -> pd.DataFrame:
    return queries.judges(Home(home().root))


def judges() -> pd.DataFrame:
    """Every judge that has scored something."""
    return _judges(*key())


def problem(message: str, hint: str) -> BadInput:
    """A wrong input that a page itself found."""
    return BadInput(message, hint)
