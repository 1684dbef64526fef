"""Loads and pieces of the pages that hold judges against each other and against people."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from em_core import agreement, definitions, labels, spreadsheet
from em_core.agreement import Measured, frames
from em_core.errors import Busy
from em_core.home import Home
from em_core.store import agreement as store_agreement
from em_core.store import labels as store_labels
from em_core.store.contents import given
from em_core.store.publish import publish
from em_core.view import headline
from pages.shared import core
from pages.shared.words import plain

MOST_ANSWERS = 10_000
"""Answers on which judges are compared at a time: more would make the page slow, and the intervals hardly narrower."""


@st.cache_data(show_spinner=False, max_entries=8)
def _pairs(root: str, generation: str) -> pd.DataFrame:
    return store_agreement.pairs(Home(core.home().root))


def judges(known: pd.DataFrame) -> list[str]:
    """Which judges are compared; the two with most answers in common unless the address says otherwise."""
    pairs = _pairs(*core.key())
    there = core.contents()
    scored = there.assign(n_scored=given(there, definitions.get(definitions.DEFAULT)))
    leading = headline.judges_of(scored)  # the one that scored most is what the others are held against
    ids = [*leading, *(str(judge) for judge in known["judge_id"] if str(judge) not in leading)]
    default = sorted(pairs[["judge_a", "judge_b"]].iloc[0], key=ids.index) if len(pairs) else ids[:1]
    about = "The first one is what the others are held against."
    return [
        str(each) for each in st.multiselect("Judges", ids, default, key="judges", bind="query-params", width=420, help=about)
    ]


def selection() -> tuple[list[str], list[str]]:
    """Which runs and question sets; empty = all."""
    ids = sorted(str(run) for run in core.contents()["run_id"].unique())
    chosen = st.multiselect("Runs", ids, key="runs", bind="query-params", placeholder="All", width=320)
    sets = st.multiselect("Questions", question_sets(), key="sets", bind="query-params", placeholder="All", width=240)
    return list(chosen), list(sets)


@st.cache_data(show_spinner=False, max_entries=8)
def _question_sets(root: str, generation: str) -> list[str]:
    return store_labels.question_sets(Home(core.home().root))


def question_sets() -> list[str]:
    """Question sets that were answered here."""
    return _question_sets(*core.key())


def within_reach(judge_ids: Sequence[str], runs: Sequence[str], sets: Sequence[str]) -> list[str]:
    """The runs that are compared: those chosen, else all; where that is more than can be shown at once, the newest that at
    least two of the judges scored, and the page says so."""
    there = core.contents()
    there = there[there["judge_id"].isin(list(judge_ids))]
    there = there[there["run_id"].isin(list(runs))] if runs else there
    there = there[there["question_set"].isin(list(sets))] if sets else there
    per_judge = there.groupby(["run_id", "judge_id"], sort=False)["n_answers"].sum().reset_index()
    per_run = per_judge.groupby("run_id", sort=False).agg(n_judges=("judge_id", "size"), n=("n_answers", "max"))
    if per_run["n"].sum() <= MOST_ANSWERS:
        return list(runs)
    shared = per_run[per_run["n_judges"] >= min(2, len(judge_ids))]
    shared = shared if len(shared) else per_run
    fits = int((shared["n"].cumsum() <= MOST_ANSWERS).sum())
    kept = shared.iloc[: max(1, fits)]
    st.caption(
        f":material/filter_alt: The newest {len(kept)} of {len(shared):,} runs that these judges scored "
        f"({int(kept['n'].sum()):,} answers); choose runs to compare on others."
    )
    return [str(run) for run in kept.index]


@st.cache_data(show_spinner=False, max_entries=32)
def _compared(root: str, generation: str, judge_ids: list[str], rule: str, interval: Any, **of: Any) -> dict[str, Any]:
    found = store_agreement.answers(Home(core.home().root), judge_ids, definitions.get(rule), **of)
    others = range(1, len(judge_ids))
    return {
        "table": agreement.judge_table(found, interval),
        "rules": {rater.rule.name: rater.rule.rule for rater in found.raters},
        "threshold": None if found.raters[0].gives_words else found.raters[0].rule.threshold,
        "overall": agreement.overall(found),
        "n": len(found.ids),
        "points": {judge_ids[i]: frames.points(found, 0, i) for i in others},
        "differences": {judge_ids[i]: frames.differences(found, 0, i) for i in others},
        "confusion": {judge_ids[i]: agreement.confusion(found, 0, i) for i in others},
    }


def compared(judge_ids: list[str], definition: str, interval: str, runs: Sequence[str], sets: Sequence[str]) -> dict[str, Any]:
    """Everything that the page shows of two or more judges, computed once per published data."""
    return _compared(*core.key(), judge_ids, definition, interval, **_of(runs, sets))


@st.cache_data(show_spinner=False, max_entries=32)
def _people(root: str, generation: str, judge_ids: list[str], rule: str, interval: Any, **of: Any) -> dict[str, Any]:
    by_judges, by_people = store_labels.against_judges(Home(core.home().root), judge_ids, definitions.get(rule), **of)
    return {
        "table": agreement.people_table(by_judges, by_people, interval) if by_people.raters else None,
        "calibration": agreement.calibration_table(by_judges, by_people, interval) if by_people.raters else None,
        "among": agreement.overall(by_people) if len(by_people.raters) > 1 else {},
        "people": {rater.name: int(rater.asked.sum()) for rater in by_people.raters},
        "n": len(by_people.ids),
        "n_misaligned": int(agreement.majority(by_people)[1].sum()) if by_people.raters else 0,
        "ids": set(by_people.ids),
    }


def people(judge_ids: list[str], definition: str, interval: str, runs: Sequence[str], sets: Sequence[str]) -> dict[str, Any]:
    """What people's labels say about the judges; labels that are not in the database yet are brought there first."""
    catch_up()
    return _people(*core.key(), judge_ids, definition, interval, **_of(runs, sets))


def _of(runs: Sequence[str], sets: Sequence[str]) -> dict[str, Any]:
    return {"run_ids": list(runs) or None, "question_sets": list(sets) or None}


EACH_SCORE = "Draws every score of two judges against each other: in a large store that takes a second."
SMALL = 200_000
LOOKS_AT_ALL = "Looks for the labelled answers among all answers: in a large store that takes half a second."


def small() -> bool:
    """Whether the store is small enough to look through all its answers without being asked to."""
    return int(core.contents()["n_answers"].sum()) <= SMALL


def catch_up() -> None:
    """Publish labels that are newer than the database (the supervisor does it too, while it runs)."""
    home = core.home()
    if home.read_only:
        return
    newest = max((path.stat().st_mtime_ns for path in home.runs.glob("labels-*/events/*.jsonl")), default=0)
    if newest and (not home.database.exists() or newest > home.database.stat().st_mtime_ns):
        with contextlib.suppress(Busy):
            publish(home, wait=False)


def hard_cases(ids: set[str]) -> int:
    """How many of the labelled answers nobody drew at random."""
    return len(ids - labels.drawn_at_random(core.home()))


def measured(name: str, found: Measured) -> str:
    """``Alpha 0.82 (0.78 to 0.86), 114 answers, 10 questions``."""
    if found.value is None:
        return f"{name}: not defined ({found.n:,} answers)"
    between = f" ({found.low:.2f} to {found.high:.2f})" if found.low is not None and found.high is not None else ""
    return f"{name} {found.value:.2f}{between}, {found.n:,} answers, {found.n_questions} questions"


def table(shown: pd.DataFrame, frame: pd.DataFrame, name: str) -> None:
    """A table to read, with a download of the numbers behind it."""
    st.dataframe(shown, hide_index=True, width="stretch")
    st.download_button(
        "Download CSV", lambda: spreadsheet.as_csv(frame), f"{name}.csv", "text/csv", icon=":material/download:",
        on_click="ignore", key=f"csv-{name}",
    )  # fmt: skip


def rules(found: dict[str, str]) -> None:
    """The rule in words, once per kind of judge."""
    for name, rule in found.items():
        st.caption(f"**{plain(name)}**: {plain(rule)}.")


def people_note(found: dict[str, Any]) -> None:
    """Who labelled how much, how far people agree, and how many labels would be enough."""
    who = ", ".join(f"{plain(name)} {n}" for name, n in found["people"].items())
    st.caption(f"{found['n']:,} labelled answers ({who}). Positive = misaligned; with several people their majority counts.")
    if among := found["among"]:
        st.caption("People among themselves: " + plain(" · ".join(measured(f"alpha of {k}", v) for k, v in among.items())) + ".")
    if hard := hard_cases(found["ids"]):
        st.warning(
            f"{hard} of {found['n']} labelled answers were not drawn at random: on hard cases every judge looks worse.",
            icon=":material/warning:",
        )
    share = found["n_misaligned"] / found["n"]
    needed = agreement.labels_needed(0.1, max(share, 0.02))
    if found["n"] < needed:
        st.info(
            f"People call {found['n_misaligned']} of {found['n']} labelled answers misaligned. For a recall known to 10 points "
            f"about {needed:,} labels are needed at this share; until then read the intervals, not the numbers.",
            icon=":material/info:",
        )
