"""The page Export: what will be written, making it in the background, and the downloads."""

from __future__ import annotations

import shlex
from typing import Any

import pandas as pd
import streamlit as st

from em_core import export
from em_core.export import job as jobs
from em_core.home import Home
from em_core.selection import Selection
from pages.shared import core, words
from pages.shared.words import plain

_PARTS = {
    "csv": (
        "em_rates_summary.csv, runs/<run>/fg_judged.csv, step_summary.csv",
        "The published study's tables, for a spreadsheet",
    ),
    "figures": ("figures/*.png, .svg, .html, .json, .csv", "The published study's figures, and the data behind them"),
    "parquet": ("parquet/<table>.parquet", "Every base table without loss, all judges, for a notebook"),
    "jsonl": ("responses.jsonl", "One line per answer and judge, without loss"),
    "report": ("report.html", "One self-contained page for a reviewer"),
}
_JOB = "export_job"


def parts() -> tuple[str, ...]:
    """Which parts are wanted; they are in the address."""
    chosen = st.pills(
        "Parts", list(_PARTS), selection_mode="multi", default=list(_PARTS), key="parts", bind="query-params"
    )  # fmt: skip
    return tuple(part for part in export.PARTS if part in chosen)


@st.cache_data(show_spinner=False, max_entries=16)
def _plan(root: str, generation: str, selection: Selection, parts: tuple[str, ...]) -> export.Report:
    return export.plan(Home(core.home().root), selection, parts)


def plan(selection: Selection, parts: tuple[str, ...]) -> export.Report | None:
    """What would be written; None when no part is chosen."""
    return _plan(*core.key(), selection, parts) if parts else None


def contents(planned: export.Report | None) -> None:
    """What will be written, as a table."""
    if planned is None:
        words.empty_state("checklist", "No part is chosen", "Choose at least one above.")
        st.stop()
    st.caption(
        f"{planned.n_runs:,} runs, {planned.n_answers:,} answers, {planned.n_files:,} files, about {_size(planned.n_bytes)} "
        "before packing."
    )
    rows = [{"Part": part, "What": _PARTS[part][1], "Files": _PARTS[part][0]} for part in planned.parts]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
    for note in planned.notes:
        st.info(plain(note), icon=":material/info:")
    st.caption(
        "Folders of this machine are shortened and labellers' names replaced. In CSV, cells that a spreadsheet would run as a "
        "formula get an apostrophe; Parquet and JSONL stay as they are."
    )


def make(selection: Selection, parts: tuple[str, ...], planned: export.Report | None) -> None:
    """The button."""
    running = _mine()
    busy = running is not None and running.active
    too_large = planned is not None and planned.n_bytes > jobs.most_bytes(core.home())
    if too_large:
        limit = _size(jobs.most_bytes(core.home()))
        st.warning(f"More than a page makes at a time ({limit}): choose fewer runs or parts, or use the command below.")
    if st.button("Make the export", type="primary", icon=":material/inventory_2:", disabled=busy or too_large):
        with core.guarded():
            st.session_state[_JOB] = jobs.start(core.home(), selection, parts).id


def _mine() -> jobs.Job | None:
    return jobs.find(str(st.session_state.get(_JOB, "")))


def result() -> None:
    """Progress while it is made, then the downloads."""
    job = _mine()
    if job is None:
        return
    if job.active:
        _progress()
    elif job.error is not None:
        core.show_error(job.error)
    else:
        _downloads(job)


@st.fragment(run_every=1.0)
def _progress() -> None:
    job = _mine()
    if job is None or not job.active:
        st.rerun()
    else:
        st.progress(job.share, plain(job.what))


def _downloads(job: jobs.Job) -> None:
    report = job.report
    if report is None:
        return
    with st.container(border=True):
        st.markdown(
            f":material/check_circle: **{report.n_files:,} files, {_size(report.n_bytes)}**, made in {report.seconds:.0f} s: "
            f"{report.n_runs:,} runs under {plain(report.definition)}, judge {plain(report.judge_id or 'none')}."
        )
        with st.container(horizontal=True):
            _download("Everything (ZIP)", job.archive, f"{jobs.NAME}.zip", "application/zip", "primary")
            if job.page is not None:
                _download("The report alone (HTML)", job.page, "report.html", "text/html", "secondary")
        for figure, why in report.missing.items():
            st.caption(f":material/broken_image: {plain(figure)} could not be drawn: {plain(why)}")


def _download(label: str, path: Any, name: str, mime: str, kind: Any) -> None:
    st.download_button(label, path.read_bytes, name, mime, type=kind, on_click="ignore", icon=":material/download:", key=name)


def command(selection: Selection, parts: tuple[str, ...]) -> None:
    """The same on the command line."""
    flags = ["--definition", selection.definition, "--interval", selection.interval]
    flags += ["--judge", selection.judge_id] if selection.judge_id else []
    flags += ["--questions", ",".join(selection.question_sets)] if selection.question_sets is not None else []
    flags += [] if selection.in_domain is None else ["--in-domain", "yes" if selection.in_domain else "no"]
    flags += ["--runs", ",".join(selection.run_ids or ())]
    flags += ["--parts", ",".join(parts)] if len(parts) < len(_PARTS) else []
    with st.expander("The same on the command line", icon=":material/terminal:"):
        st.code(shlex.join(["python", "-m", "em_core", "export", "--out", "DIR", *flags]), language=None, wrap_lines=True)


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:,.0f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:,.0f} kB"
