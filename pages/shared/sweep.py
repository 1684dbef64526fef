"""The launch form's sweep: fields that take several values, the runs that come out, their plan together, and their launch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from em_core import datasets, questions, specs_io
from em_core.errors import EMError, ManyProblems
from em_core.home import Home
from em_core.plan import many
from em_core.plan.many import Total
from em_core.spec import RunSpec
from em_core.specs_io import varied
from em_core.supervisor.evidence import RunStatus
from em_core.supervisor.launch import Launched, launch
from em_core.view import experiments, form
from em_core.view import sweep as view
from em_core.view.form import FormField
from em_core.view.sweep import Axis
from pages.shared import core, fields, tables
from pages.shared.words import duration, plain

LEAVE, AGAIN = "Leave them out", "Run them again"
_CHECKED = 40
"""Kinds of run that are checked while one types; at the launch all are."""
_SHOWN_IDS = 10


class Picker:
    """Draws the fields that vary, each with room for its problem; `axes` then has their values.

    Args:
        name: What fills the form; another one has widgets of its own.
        base: Its spec, dumped: the first value of each field.
    """

    def __init__(self, name: str, base: Mapping[str, Any]) -> None:
        self._name, self._base, self._start = name, base, form.start_values(base)
        self._room: dict[str, Any] = {}
        known = view.choices()
        with st.container(border=True):
            st.subheader("Sweep")
            chosen = st.multiselect(
                "Fields that vary", list(known), format_func=lambda path: known[path], key=f"{name}:vary",
                placeholder="One run. Pick fields to launch a grid of runs", persist_state="session",
                help="Each gets several values; every combination is a run. All other fields are those of the form below.",
            )  # fmt: skip
            self.axes = [self._draw(path, known[path]) for path in chosen]

    def show_problems(self, problems: Mapping[str, str]) -> dict[str, str]:
        """Write each message under its field; returns those of fields that do not vary."""
        for path, message in problems.items():
            if path in self._room:
                self._room[path].error(plain(message), icon=":material/error:")
        return {path: message for path, message in problems.items() if path not in self._room}

    def _draw(self, path: str, label: str) -> Axis:
        found = self._lists(path, label) if path in form.PICKED else self._values(path, label)
        self._room[path] = st.empty()
        return found

    def _key(self, path: str) -> dict[str, Any]:
        return {"key": f"{self._name}:sweep:{path}", "persist_state": "session"}

    def _lists(self, path: str, label: str) -> Axis:
        """Data sets or question sets: each is a run of its own."""
        known, first = (
            ([each.name for each in datasets.available()], "source") if path == "data" else (list(questions.available()), "name")
        )
        body = self._base["data"] if path == "data" else self._base["evaluation"]["question_sets"]
        mine = {str(part[first]): part for part in body}
        chosen = st.multiselect(
            label, list(dict.fromkeys([*mine, *known])), list(mine), accept_new_options=True, **self._key(path),
            help="Each alone is one value; a file's path may be typed.",
        )  # fmt: skip
        values = tuple([{**mine.get(each, {}), first: each}] for each in chosen)
        return Axis(path, values, "" if values else "choose one or several")

    def _values(self, path: str, label: str) -> Axis:
        field = next(each for each in form.fields() if each.path == path)
        start: Any = self._start[path]
        about: dict[str, Any] = {"help": plain(field.help)}
        options = list(field.choices) or fields.suggestions().get(path, [])
        if field.kind == "flag":
            chosen = st.multiselect(label, ["yes", "no"], ["yes" if start else "no"], **about, **self._key(path))
            return Axis(path, tuple(each == "yes" for each in chosen), "" if chosen else "choose one or both")
        if options:
            options = options if start in options else [start, *options]
            free = not field.choices
            chosen = st.multiselect(label, options, [start], accept_new_options=free, **about, **self._key(path))
            return Axis(path, tuple(chosen), "" if chosen else "choose one or several")
        text = st.text_input(label, _as_text(start, field), placeholder=_example(field), **about, **self._key(path))
        return view.axis(field, text)


def _as_text(start: Any, field: FormField) -> str:
    if start in (None, ""):
        return "none" if field.optional and field.kind != "text" else ""
    return f"{start:g}" if isinstance(start, float) else str(start)


def _example(field: FormField) -> str:
    return {
        "integer": "0, 1, 2 or 0-4",
        "number": "1e-4, 2e-4",
        "words": "q_proj, v_proj; up_proj",
        "steps": "10, 20; 5, 10",
    }.get(field.kind, "one, two")


@dataclass(frozen=True)
class Examined:
    """What came of a sweep: its runs and their plan, or what is wrong by field."""

    specs: tuple[RunSpec, ...]
    hashes: tuple[str, ...]
    wrong: dict[str, str]
    total: Total | None


def examine(body: Mapping[str, Any], axes: Sequence[Axis]) -> Examined:
    """The runs of a sweep, checked as far as is quick (`check_all` at the launch is thorough)."""
    wanted = [[axis.path, list(axis.values), axis.problem] for axis in axes]
    return _examine(str(core.home().root), json.dumps(body), json.dumps(wanted))


@st.cache_data(show_spinner=False, ttl=30, max_entries=8)
def _examine(root: str, body: str, axes: str) -> Examined:
    found, wrong = view.runs(json.loads(body), [Axis(path, tuple(values), problem) for path, values, problem in json.loads(axes)])
    if wrong:
        return Examined((), (), wrong, None)
    specs = varied.named(found)
    groups = many.kinds(specs)
    here = Home(core.home().root)
    try:
        many.validate([group[0] for group in groups[:: max(1, -(-len(groups) // _CHECKED))]], here, online=False)
        total = many.total(specs, here)
    except ManyProblems as error:
        return Examined((), (), form.by_field(error.problems), None)
    except EMError as error:
        return Examined((), (), form.by_field([(error.message.split(":", 1)[0].strip(), error.message, error.hint)]), None)
    return Examined(tuple(specs), tuple(spec.spec_hash() for spec in specs), {}, total)


def panel(body: Mapping[str, Any], axes: Sequence[Axis], found: Examined) -> None:
    """The right side of the page: how many runs, what they take together, which exist, and the button."""
    if found.total is None:
        n = view.size(axes)
        st.subheader(f"{n:,} run{'' if n == 1 else 's'}" if n else "No run yet")
        st.warning("Some fields need attention; see the messages in the form.", icon=":material/edit:")
        return
    known = {status.spec_hash: status for status in core.statuses() if status.spec_hash}
    twins = {digest: known[digest] for digest in found.hashes if digest in known}
    name = ", ".join(dict.fromkeys(spec.experiment for spec in found.specs if spec.experiment))
    st.markdown(f"Experiment **{plain(name or 'without a name')}**" + _own_name(body))
    again = _existing(len(found.specs), len(twins))
    n_new = len(found.specs) - (0 if again else len(twins))
    label = f"Launch {n_new:,} run{'' if n_new == 1 else 's'}"
    asked = st.button(label, type="primary", icon=":material/rocket_launch:", disabled=not n_new, width="stretch")
    if asked:
        with core.guarded(stop=False), st.spinner("Checking and queueing all of them"):
            _launched(name, start(found.specs, again))
    _plan(found.total)
    st.subheader("Runs")
    rows = table(found, twins)
    st.dataframe(rows, hide_index=True, width="stretch", height=tables.height(len(rows), 360))
    st.subheader("The same from the command line")
    st.code(command(found.specs[0], axes, name), language="bash", wrap_lines=True)


def _own_name(body: Mapping[str, Any]) -> str:
    return "" if body.get("experiment") else ": named after what varies; give one of your own under Model, Experiment."


def _existing(n: int, n_twins: int) -> bool:
    """Whether runs that exist are run again; said only where there are some."""
    if not n_twins:
        return False
    which = "All of these runs exist already" if n == n_twins else f"{n_twins:,} of these {n:,} runs exist already"
    st.info(f"{which}; they keep their experiment.", icon=":material/content_copy:")
    return st.segmented_control("Runs that exist", (LEAVE, AGAIN), default=LEAVE, required=True, key="sweep-existing") == AGAIN


def start(specs: Sequence[RunSpec], again: bool) -> list[Launched]:
    """Check every kind of run once more, endpoints and the Hub included, and queue all of them or none.

    Raises:
        EMError: Something of one of them is wrong.
    """
    many.validate(specs, core.home())
    return launch(core.home(), specs, again=again, existing_ok=not again)


def _launched(name: str, launched: Sequence[Launched]) -> None:
    new = [item.run_id for item in launched if item.created]
    with st.container(border=True):
        st.markdown(f":material/check_circle: **{len(new):,} queued**")
        st.code("\n".join([*new[:_SHOWN_IDS], *([f"and {len(new) - _SHOWN_IDS:,} more"] if len(new) > _SHOWN_IDS else [])]), None)
        st.page_link(
            "run/experiments.py", label="Follow the experiment", icon=":material/labs:", query_params={"experiment": name}
        )
        st.page_link("run/live.py", label="Watch the runs live", icon=":material/monitoring:")


def _plan(total: Total) -> None:
    st.subheader("All of them together")
    with st.container(horizontal=True):
        for name, value in (
            ("Runs", total.n_runs), ("Steps", total.n_steps), ("Checkpoints", total.n_checkpoints), ("Answers", total.n_answers),
            ("Judge calls", total.judge_calls),
        ):  # fmt: skip
            st.metric(name, value, border=True, width=120, format="localized")
    time = "unknown" if total.time_s is None else " to ".join(duration(t) for t in total.time_s)
    longest = "" if total.longest_s is None else f", the longest run {' to '.join(duration(t) for t in total.longest_s)}"
    cost = "unknown" if total.cost_usd is None else f"{total.cost_usd[0]:,.2f} to {total.cost_usd[1]:,.2f} US dollars"
    memory = "" if total.memory_gib is None else f" Memory: at most {total.memory_gib:,.2f} of {total.memory_free_gib:,.1f} GiB."
    st.caption(
        f"Time, one run after another: {time}{longest}, on {plain(total.device)}. Judges: {cost}. "
        f"Disk: {total.disk_gib:,.2f} of {total.disk_free_gib:,.1f} GiB free.{memory} "
        "Step 0 is counted for each run, and is shared."
    )
    if total.scaled:
        st.caption(
            f":material/info: {total.n_planned} of {total.n_kinds} kinds of run were planned, the sums estimated from these."
        )
    if total.n_too_big:
        st.warning(f"{total.n_too_big:,} of these runs need more memory than there is.", icon=":material/memory:")
    if total.disk_gib > total.disk_free_gib:
        st.warning("Together they need more disk than is free.", icon=":material/warning:")
    for warning in total.warnings:
        st.warning(plain(warning), icon=":material/warning:")


def table(found: Examined, twins: Mapping[str, RunStatus]) -> pd.DataFrame:
    """One row per run: what varies, and the identical run that exists."""
    knobs = [varied.fields(spec.model_dump(mode="json")) for spec in found.specs]
    names = list(varied.varied_of(knobs))
    rows = []
    for flat, digest in zip(knobs, found.hashes, strict=True):
        twin = twins.get(digest)
        exists = f"{twin.run_id} ({twin.state})" if twin else ""
        rows.append({name: experiments.value_words(flat.get(name)) for name in names} | ({"exists": exists} if twins else {}))
    return pd.DataFrame(rows).rename(columns={"exists": "Exists already"})


def command(spec: RunSpec, axes: Sequence[Axis], name: str) -> str:
    """The command line that launches the same grid."""
    return specs_io.command(spec.model_copy(update={"experiment": name}), view.overrides(axes))
