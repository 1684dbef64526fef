"""Where a run comes from and what hangs on it: parents, children, baseline, judging jobs, labels, health."""

from __future__ import annotations

from typing import Any

import streamlit as st

from em_core.view import run_files
from em_core.view.inert import visible
from em_core.view.run_details import Known
from pages.shared import run_details, words

_MOST = 12
"""Children that get a link of their own."""


def show(run: Known) -> None:
    """The chain from the base model to this run, then everything that belongs to it, with links."""
    st.subheader("Lineage")
    chain = [row for row in run.lineage.to_dict("records") if row["place"] <= 0]
    children = [row for row in run.lineage.to_dict("records") if row["place"] > 0]
    first = chain[0] if chain else {}
    with st.container(horizontal=True, vertical_alignment="center"):
        base = first.get("base_model") or run.run.get("base_model") or "unknown base model"
        st.markdown(f":material/deployed_code: {words.plain(visible(str(base)))}")
        for row, after in zip(chain, [*chain[1:], None], strict=True):
            st.markdown(":material/arrow_forward:")
            _one(row, "" if after is None else f", step {after['parent_step']}", here=row["place"] == 0)
    if children:
        st.caption(f"Runs that start from this one: {len(children)}.")
        with st.container(horizontal=True):
            for row in children[:_MOST]:
                _one(row, f", from step {row['parent_step']}")
        if len(children) > _MOST:
            st.caption(f"And {len(children) - _MOST} more.")
    _beside(run)


def _one(row: dict[str, Any], more: str, here: bool = False) -> None:
    domain = f" ({row['domain']})" if isinstance(row["domain"], str) and row["domain"] else ""
    name = str(row["label"] or row["run_id"]) if row["known"] else str(row["run_id"])
    if here:
        st.markdown(f"**{words.plain(visible(name + domain))}**")
    elif row["known"]:
        run_details.link(str(row["run_id"]), name + domain + more)
    else:
        st.markdown(f"{words.plain(visible(name + more))} (not known here)")


def _beside(run: Known) -> None:
    """Other runs that hold something of this one."""
    baseline = str(run.run.get("baseline_run_id") or "")
    elsewhere = run.judging[~run.judging["source_run_id"].isin([run.run_id, baseline])]
    found = [(baseline, "Starting model's answers")] if baseline and baseline != run.run_id else []
    for (job, judge), rows in elsewhere.groupby(["source_run_id", "judge_id"]):
        found.append((str(job), f"Judged later by {judge}, {int(rows['n'].sum()):,} scores"))
    asked = run.fields.get("target") if run.run.get("run_kind") == "evaluate" else None
    if isinstance(asked, dict) and asked.get("run_id"):
        found.append((str(asked["run_id"]), f"Its answers stand under {asked['run_id']}"))
    for job in run_files.evaluations(run.event_files["file"]):
        found.append((job, f"Asked later by {job}"))
    for row in run.others.to_dict("records"):
        if row["kind"] == "labels":
            found.append((str(row["run_id"]), f"Labelled by {row['who']}, {int(row['n_answers']):,} answers"))
        elif row["run_id"] not in (run.run_id, baseline):
            found.append((str(row["run_id"]), f"Health measured later, {int(row['n_answers']):,} answers"))
    if run.sharers:
        st.caption(f"Its answers are step 0 of {len(run.sharers):,} run{'s' * (len(run.sharers) > 1)}.")
        found += [(sharer, sharer) for sharer in run.sharers[:_MOST]]
    if found:
        with st.container(horizontal=True, gap="medium"):
            for run_id, label in found:
                run_details.link(run_id, label)
    elif not run.run.get("parent_run_id"):
        st.caption("It starts from the bare base model, and nothing else in the store belongs to it.")
