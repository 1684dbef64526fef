"""The top of the page Run: its state by evidence, its headline, whether it can be trusted, where it comes from."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from em_core import definitions
from em_core.errors import EMError
from em_core.home import Home
from em_core.selection import Selection
from em_core.spec import RunSpec
from em_core.store import run_details as store_details
from em_core.store.contents import given
from em_core.supervisor.evidence import run_status
from em_core.view import headline as leading
from em_core.view import run_checks, run_details, run_files
from em_core.view.inert import visible
from em_core.view.run_details import Known
from em_core.view.run_words import short
from pages.shared import core, filters, links, words

_LEVELS = {"good": ("check_circle", "green"), "bad": ("warning", "orange"), "unknown": ("help", "gray")}
_KINDS = {
    "evaluate": "Evaluation",
    "baseline": "Starting model",
    "judge": "Judging job",
    "labels": "Labels",
    "health": "Health",
    "imported": "Imported",
}


@st.cache_data(show_spinner=False, max_entries=16)
def _known(root: str, generation: str, run_id: str) -> Known | None:
    return store_details.known(Home(core.home().root), run_id)


def known(run_id: str) -> Known:
    """All that the store knows of a run."""
    with core.guarded():
        found = _known(*core.key(), run_id)
        if found is None:
            raise core.problem(f"run {run_id!r} is unknown", "choose one above")
    return found


def folder(run_id: str) -> Path | None:
    """The run's folder on this machine; None in read-only mode, for the demonstration, and where there is none."""
    if core.home().read_only:
        return None
    try:
        path = core.home().run_dir(run_id)
    except EMError:  # an odd name, out of somebody else's database
        return None
    return path if path.is_dir() else None


def state_of(run: Known) -> tuple[str, bool]:
    """The run's state, and whether it comes from evidence (its lease and events) or is only what was recorded."""
    path = folder(run.run_id)
    if path is not None and (path / "spec.json").exists():
        return run_status(path).state, True
    return str(run.run.get("run_state") or ""), False


def header(run: Known, state: str, seen: bool) -> None:
    """Which run this is, and how it ended."""
    card = run.run
    with st.container(horizontal=True, vertical_alignment="center"):
        imported = card.get("run_kind") == "imported"
        if state and not imported:
            words.state_badge(state, state if seen else f"{state}, as recorded")
        if card.get("run_kind") in _KINDS:
            st.badge(_KINDS[str(card["run_kind"])], icon=":material/label:", color="violet")
        if card.get("demo"):
            st.badge("demonstration", icon=":material/science:", color="gray")
        if card.get("toy"):
            st.badge("toy model", icon=":material/toys:", color="gray")
        st.markdown(f"**{words.plain(visible(str(card.get('label') or run.run_id)))}**")
        st.caption(words.plain(run.run_id))
    facts = [
        str(card.get("base_model") or ""),
        f"trained on {card['domain']}" if card.get("domain") else "",
        f"{parameters(card['size_b'])} parameters" if card.get("size_b") else "",
        f"experiment {card['experiment']}" if card.get("experiment") else "",
        f"started from {card['parent_run_id']}@{card['parent_step']}" if card.get("parent_run_id") else "",
        f"{'imported' if imported else 'launched'} {when(card.get('created_t'))}" if card.get("created_t") else "",
    ]
    st.caption(words.plain(visible(short(" · ".join(filter(None, facts))))))
    for name in () if imported else ("reason", "hint"):
        if card.get(f"run_{name}"):
            st.code(visible(short(str(card[f"run_{name}"]))), language=None, wrap_lines=True)


def parameters(size_b: float) -> str:
    """A model's size: ``7.62 B``, ``1.12 M``."""
    return f"{size_b:.3g} B" if size_b >= 0.1 else f"{1000 * size_b:.3g} M"


def when(t: float | None) -> str:
    """A time for people, in the machine's own zone."""
    return datetime.datetime.fromtimestamp(t).strftime("%d %b %Y, %H:%M:%S") if t else "not known"


def bar(run: Known) -> Selection | None:
    """Definition, interval and judge for this run's rates; None where no judge has scored what the definition needs."""
    there = run.scored.assign(run_id=run.run_id).rename(columns={"n_asked": "n_answers"})
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        definition, interval = filters.definition(), filters.interval()
        selection = Selection(definition, interval, run_ids=(run.run_id,))  # type: ignore[arg-type]
        offered = there.assign(n_scored=given(there, selection.rule))
        judge_id = filters.judge(offered[offered["n_scored"] > 0], core.judges())
    return selection.but(judge_id=judge_id) if judge_id is not None else None


def no_rates(run: Known) -> None:
    """Why there are no rates, and what to do about it."""
    if run.own.empty:
        st.caption("It holds no answers of its own, so there is no rate to show.")
    else:
        st.caption("No judge has scored its answers for this definition; judge them on [Judge](/judge).")


def headline(run: Known, rates: pd.DataFrame | None) -> None:
    """EM at the last checkpoint that has an estimate, one card per question set."""
    if rates is None:
        no_rates(run)
        return
    scored = rates[rates["em_rate"].notna()]
    if scored.empty:
        st.caption("EM: no estimate, because no answer has been scored under this definition.")
        return
    last = int(scored["step"].max())
    st.subheader(f"EM at step {last}" + (", the starting model" if last == 0 else ", the last one with an estimate"))
    rule = definitions.get(str(scored["definition"].iloc[0]))
    st.caption(f"**{words.plain(rule.name)}**: {words.plain(rule.rule)}. {filters.INTERVALS[str(scored['interval'].iloc[0])]}")
    final = scored[scored["step"] == last]
    order = {name: i for i, name in enumerate(leading.question_choices(final))}
    with st.container(horizontal=True):
        for row in sorted(final.to_dict("records"), key=lambda row: (order.get(row["question_set"], 99), str(row["in_domain"]))):
            with st.container(border=True, width=300):
                inside = " · in its training domain" if row["in_domain"] is True else ""
                st.metric(words.plain(f"{row['question_set']}{inside}"), words.percent(row["em_rate"]))
                st.caption(words.interval(row))
                if row["note"]:
                    st.caption(words.plain(row["note"]))


def trust(run: Known, state: str) -> None:
    """What speaks for the run, and what against it."""
    st.subheader("Can it be trusted?")
    disk = run_files.checkpoints(folder(run.run_id), run.checkpoints)
    lines = []
    for check in run_checks.checks(run, state, disk):
        icon, colour = _LEVELS[check.level]
        lines.append(f":{colour}[:material/{icon}:] {words.plain(short(check.text))}")
    st.markdown("  \n".join(lines))


def plan(run: Known) -> None:
    """Plan against actual: the plan as it was at launch, or worked out again from the spec."""
    st.subheader("Plan against actual")
    again = run.spec is not None and st.toggle(
        "Work the plan out again", key="plan", bind="query-params",
        help="As the spec would be planned on this machine today. Otherwise: as it was planned when the run was launched.",
    )  # fmt: skip
    wanted = _plan(run.spec.model_dump_json()) if again and run.spec is not None else _at_launch(run.run_id)
    if isinstance(wanted, str):
        st.caption(f":material/info: {words.plain(wanted)}")
    rows = run_details.plan_against_actual(run, wanted if isinstance(wanted, dict) else None)
    unknown = run_details.UNKNOWN
    said = [row for row in rows if row.planned or row.actual not in (None, "0")]
    if not said:
        st.caption("Nothing was planned or done yet that could be compared.")
        return
    table = [(row.what, row.planned or unknown, row.actual or unknown, row.note) for row in said]
    st.dataframe(
        pd.DataFrame(table, columns=["What", "Planned", "Actual", "Note"]), hide_index=True, width="stretch", height="content"
    )


def _at_launch(run_id: str) -> dict[str, Any] | None:
    from em_core.plan import past

    return past.planned(core.home(), run_id) if folder(run_id) is not None else None


@st.cache_data(show_spinner="Planning", max_entries=16)
def _plan(spec_json: str) -> dict[str, Any] | str:
    from em_core import plan as planning  # a quarter of a second that only this button needs

    try:
        return planning.plan(RunSpec.model_validate_json(spec_json), core.home()).as_dict()
    except EMError as error:
        return f"The plan cannot be worked out here: {short(error.message)}"


def phases(run: Known) -> None:
    """What each attempt went through, with reasons and hints."""
    if run.run.get("run_kind") == "imported":
        return
    st.subheader("What happened when")
    found = run_details.phases(run.states)
    if not found:
        st.caption("No state is recorded.")
        return
    rows = [
        (str(p.attempt or ""), p.phase, p.state, when(p.start_t), "" if p.end_t is None else when(p.end_t),
         words.duration(p.seconds) if p.seconds is not None else "", short(p.reason), short(p.hint))
        for p in found
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["Attempt", "Phase", "State", "From", "To", "Took", "Reason", "Hint"])
    shown = [column for column in table if column not in ("Reason", "Hint") or (table[column] != "").any()]
    st.dataframe(table[shown], hide_index=True, width="stretch", height="content")


def link(run_id: str, label: str) -> None:
    """A link to another run's page."""
    links.anchor(visible(label), "run", **links.parameters(run_id=run_id))
