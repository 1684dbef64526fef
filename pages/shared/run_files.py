"""What it takes to do a run again, and the files it left: machine, versions, data, command, log, events."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from em_core import evaluate_job, plain_yaml, specs_io
from em_core.evaluate_job.command import command, wanted_of
from em_core.supervisor.logs import log_tail
from em_core.view import run_files, spec_difference
from em_core.view.inert import visible
from em_core.view.run_details import Known
from em_core.view.run_words import file_name, short, size
from pages.shared import core, run_details, run_spec, words

_LINES, _BYTES = 200, 64 << 10


def reproduce(run: Known) -> None:
    """The exact command, the data it needs, and the machine and versions it ran on."""
    if run.run.get("run_kind") == "imported":
        imported(run)
        return
    st.subheader("Do it again")
    if run.run.get("run_kind") == evaluate_job.KIND:
        _evaluation(run)
    elif run.spec is None:
        st.caption("Its spec is not recorded in a form that this version reads, so no command can be given.")
    else:
        st.code(f"python -m em_core launch {run.run_id}.yaml", language="bash", wrap_lines=True)
        st.caption("with this file:")
        run_spec.file(run)
        st.caption("or, the same in one line:")
        st.code(visible(short(specs_io.command(run.spec))), language="bash", wrap_lines=True)
        if run.spec.parent is not None:
            st.caption(
                f"It needs step {run.spec.parent.step} of {words.plain(run.spec.parent.run)} on the same machine, its parent."
            )
        if {"seed"} <= set(run.fields.get("train", {})):
            seeds = f"Training seed {run.fields['train']['seed']}; sampling seed {run.fields.get('evaluation', {}).get('seed')}"
            st.caption(f"{seeds}, from which each answer has a seed of its own.")
    _data(run)
    _machine(run)


def _evaluation(run: Known) -> None:
    wanted = wanted_of(run.fields, str(run.run.get("domain") or ""))
    line = command(wanted) if wanted is not None else ""
    if line:
        st.code(visible(short(line)), language="bash", wrap_lines=True)
    else:
        st.caption("No single command says it: it has several judges with fields of their own.")


def _data(run: Known) -> None:
    st.subheader("Training data")
    parts = spec_difference.sources(run.run.get("data_sources"))
    if not parts:
        st.caption("No training data is recorded.")
        return
    looked = not core.home().read_only
    rows = [
        (visible(short(str(part.get("name", "")))), part.get("domain", ""), part.get("rows"), part.get("n_rows_file"),
         visible(short(str(part.get("path", "")))), part.get("sha256", ""),
         run_files.data_file(part) if looked else "not looked at")
        for part in parts
    ]  # fmt: skip
    columns = ["Data", "Domain", "Rows used", "Rows in the file", "File", "sha256", "On this machine"]
    st.dataframe(pd.DataFrame(rows, columns=columns), hide_index=True, width="stretch", height="content")


def _machine(run: Known) -> None:
    st.subheader("Machine and versions")
    if run.attempts.empty:
        st.caption("Nothing is recorded of the machine that did it.")
        return
    missing = "not shown" if core.home().read_only else "not recorded"
    rows: dict[str, list[str]] = {}
    attempts: list[dict[Any, Any]] = run.attempts.to_dict("records")
    for i, attempt in enumerate(attempts):
        facts = {
            "Host": attempt["host"], "Device": attempt["device"],
            "GPU": _text(attempt["gpu"]) or ("none" if attempt["device"] == "cpu" else ""),
            "Starting weights, sha256": attempt["model_sha256"], "Parameters": f"{int(attempt['n_params'] or 0):,}",
            **spec_difference.as_mapping(attempt["versions_json"]),
        }  # fmt: skip
        for name, value in facts.items():
            rows.setdefault(str(name), [""] * len(attempts))[i] = visible(short(_text(value))) or missing
    names = [f"Attempt {int(attempt['attempt'])}" for attempt in attempts]
    frame = pd.DataFrame([(name, *values) for name, values in rows.items()], columns=["", *_unique(names)])
    st.dataframe(frame, hide_index=True, width="stretch", height="content")


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _unique(names: list[str]) -> list[str]:
    return names if len(set(names)) == len(names) else [f"{name}, entry {i}" for i, name in enumerate(names, 1)]


def imported(run: Known) -> None:
    """Which files an imported run was made of, and what was left out."""
    st.subheader("Imported from")
    if run.imports.empty:
        st.caption("Which file it was read from is not recorded.")
    for row in run.imports.to_dict("records"):
        with st.container(border=True):
            st.markdown(f"**{words.plain(file_name(str(row['file'])))}**")
            n, kept = int(row["n_rows"] or 0), int(row["n_imported"] or 0)
            st.caption(words.plain(f"Format {row['format']} · {kept:,} of {n:,} rows imported · sha256 {row['sha256']}"))
            if row["note"]:
                st.text(visible(short(str(row["note"]))))
            skipped = run_files.skipped(row["skipped"])
            if skipped:
                st.caption("Left out:")
                st.code(visible(short("\n".join(skipped))), language=None, wrap_lines=True)
    if len(run.published):
        st.caption(f"{len(run.published):,} published rates without answers came with it; see Compare.")
    if run.fields:
        st.caption("What the files say of its recipe:")
        st.code(visible(short(plain_yaml.dump(run.fields)))[:_BYTES], language="yaml", wrap_lines=True, height=300)


def log(run: Known) -> None:
    """Worker log, event files, and lines that were put aside."""
    st.subheader("Worker log")
    folder = run_details.folder(run.run_id)
    path = folder / "worker.log" if folder is not None else None
    text = log_tail(path, _LINES, _BYTES) if path is not None else ""
    if core.home().read_only:
        st.caption("Read-only mode shows no logs.")
    elif not text:
        st.caption("No log on this machine.")
    else:
        st.caption(f"Its last lines, at most {_LINES}.")
        st.code(short(text), language=None, wrap_lines=True, height=360)
        st.download_button(
            "Download these lines", short(text), f"{run.run_id}-log.txt", "text/plain", icon=":material/download:",
            key="log-file", on_click="ignore",
        )  # fmt: skip
    st.subheader("Event files")
    if run.event_files.empty:
        st.caption("Which event files it was read from is not recorded here.")
    else:
        files = [
            (visible(str(r["file"])), size(r["n_bytes"]), "read no further" if r["damaged"] else "")
            for r in run.event_files.to_dict("records")
        ]
        st.dataframe(pd.DataFrame(files, columns=["File", "Read", "Note"]), hide_index=True, width="stretch", height="content")
    if run.quarantined.empty:
        if len(run.event_files):
            st.caption("No line of them was damaged.")
        return
    n = len(run.quarantined)
    st.warning(
        "One line was damaged and put aside." if n == 1 else f"{n:,} lines were damaged and put aside.", icon=":material/report:"
    )
    bad = [
        (
            visible(str(r["file"]).rsplit("/", 1)[-1]),
            int(r["byte_offset"]),
            visible(str(r["reason"])),
            visible(short(str(r["line_head"] or ""))),
        )
        for r in run.quarantined.head(200).to_dict("records")
    ]
    st.dataframe(pd.DataFrame(bad, columns=["File", "Byte", "Reason", "Begins with"]), hide_index=True, width="stretch")
