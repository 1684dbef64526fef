"""How a run trained and sampled: its checkpoints, curves and pace."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from em_core.view import headline, run_details, run_files
from em_core.view.run_details import Known
from pages.shared import core, links, panels, words
from pages.shared import run_details as shared

_CURVES = {"loss": "Training loss", "grad_norm": "Gradient norm", "learning_rate": "Learning rate"}
_PERCENT = {"Epoch": "%.2f", "Seconds": "%.1f", "Answers/s": "%.1f", "Tokens/s": "%.0f", "GPU GiB": "%.1f"}


def checkpoints(run: Known, rates: pd.DataFrame | None) -> None:
    """Every checkpoint with its digest, what is on this disk, its answers and rate; a click opens the answers."""
    folder = shared.folder(run.run_id)
    verify = folder is not None and st.button(
        "Verify every file", icon=":material/fact_check:", help="Reads all checkpoint files and compares their digests."
    )
    with st.spinner("Reading checkpoint files", show_time=True) if verify else st.container():
        disk = run_files.checkpoints(folder, run.checkpoints, verify)
    name, said = _headline(rates)
    table = run_details.checkpoint_rows(run, disk, said).rename(columns={"EM rate": f"EM, {name}" if name else "EM rate"})
    if table.empty:
        words.empty_state(
            "save", "No checkpoint yet", "The first one comes with the first saved step; watch it on [Live](/live)."
        )
        return
    st.caption("Choose a row to read its answers. **Answers name it**: whether the answers carry the digest of these weights.")
    event = st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        height="content",
        key="checkpoints",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "Epoch": st.column_config.NumberColumn(format="%.2f"),
            "sha256": st.column_config.TextColumn("sha256", width="medium"),
        },
    )
    for step in (step for step, state in disk.items() if state == run_files.CHANGED and folder is not None):
        st.warning(words.plain(run_files.why_changed(folder, step)), icon=":material/report:")  # type: ignore[arg-type]
    if folder is None:
        reason = "read-only mode looks at no files" if core.home().read_only else "this run has no folder on this machine"
        st.caption(f"On disk: {reason}; sizes and digests are as recorded.")
    chosen = list(event["selection"]["rows"])
    if chosen and int(table.iloc[chosen[0]]["Answers"]):
        links.to_answers(run.run_id, int(table.iloc[chosen[0]]["Step"]))


def _headline(rates: pd.DataFrame | None) -> tuple[str, dict[int, str]]:
    """The leading question set, and its rate at each step in words."""
    if rates is None or rates.empty:
        return "", {}
    name = headline.question_choices(rates)[0]
    rows = headline.questions(rates, name).to_dict("records")
    return name, {int(row["step"]): f"{words.percent(row['em_rate'])} ({words.interval(row)})" for row in rows}


def curves(run: Known) -> None:
    """Loss, gradient norm, learning rate, and how fast it went."""
    if run.metrics.empty:
        kind = "An imported run" if run.run.get("run_kind") == "imported" else "This run"
        st.caption(f"{kind} has no training steps in the store.")
    else:
        frame = run.metrics.assign(label=str(run.run.get("label") or run.run_id), domain=str(run.run.get("domain") or ""))
        there = [metric for metric in _CURVES if frame[metric].notna().any()]
        for place, metric in zip(st.columns(len(there)) if there else [], there, strict=True):
            with place:
                panels.whole("loss_curve", frame, key=f"curve-{metric}", metric=metric, title=_CURVES[metric], height=260)
    pace(run)


def pace(run: Known) -> None:
    """Throughput of training and of sampling."""
    found = run_details.training_pace(run.metrics)
    tokens = run_details.trained_tokens(run.metrics)
    with st.container(horizontal=True):
        _metric(
            "Training, tokens/s",
            found["median"],
            f"80% of steps: {found['slow']:,.0f} to {found['fast']:,.0f}" if found["slow"] else "",
        )
        _metric("Tokens trained", tokens, "about: pace x time, without pauses")
        _metric("GPU memory, GiB", found["gpu_mem_gib"], "peak that a step allocated", digits=1)
    st.subheader("Sampling")
    if run.generations.empty:
        st.caption("No throughput of sampling is recorded.")
        return
    config = {name: st.column_config.NumberColumn(format=form) for name, form in _PERCENT.items()}
    table = run_details.throughput(run.generations).dropna(axis=1, how="all")
    st.dataframe(table, hide_index=True, width="stretch", height="content", column_config=config)


def _metric(label: str, value: float | None, about: str, digits: int = 0) -> None:
    with st.container(border=True, width=260):
        st.metric(label, "not recorded" if value is None else f"{value:,.{digits}f}")
        st.caption(words.plain(about) if value is not None else "")
