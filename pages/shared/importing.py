"""The parts of the page Import: where files come from, what they do not say, what would come, and what came before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from em_core import definitions, importing
from em_core.importing import Wishes
from em_core.store.imports import imports
from em_core.view import importing as view
from pages.shared import core, links, words
from pages.shared.words import plain

MAX_UPLOAD_MB = 200
_UPLOAD, _PATH = "Upload", "Path on this machine"
_DETECT = "detect"
_DONE, _ROUND = "import_done", "import_round"


@dataclass(frozen=True)
class Source:
    """What a person gave: uploads, or paths; `key` tells one from another."""

    uploads: tuple[Any, ...] = ()
    paths: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for the same files."""
        return (*((file.name, file.file_id) for file in self.uploads), *self.paths)


def source() -> Source | None:
    """Upload, or name files of this machine; None before anything is given."""
    kind = st.segmented_control(
        "Where from", [_UPLOAD, _PATH], default=_UPLOAD, required=True, key="import_from", label_visibility="collapsed"
    )
    if kind == _UPLOAD:
        files = st.file_uploader(
            "Result files, or a zip of a study's folder",
            type=["csv", "tsv", "json", "jsonl", "eval", "zip"],
            accept_multiple_files=True,
            max_upload_size=MAX_UPLOAD_MB,
            key=f"import_files_{st.session_state.get(_ROUND, 0)}",
            help="A zip keeps the folders, which tell the run's name, base model and training configuration.",
        )
        return Source(uploads=tuple(files)) if files else None
    text = st.text_input(
        "File, folder or zip",
        key="import_path",
        placeholder="/data/ai-alignment-research/harvard-cs-2881-hw0",
        help="A folder is walked; its layout tells run names, base models and training configurations.",
    )
    return Source(paths=(text.strip(),)) if text.strip() else None


def wishes() -> tuple[str | None, Wishes] | None:
    """The format, and what the files do not say themselves; None where something of it is wrong."""
    known = importing.formats()
    with st.expander("Format, and what the files do not say", icon=":material/tune:"):
        st.caption("Everything here is optional. What you write wins over what files, folders and names tell.")
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            form = st.selectbox(
                "Format", [_DETECT, *known], width=230, key="import_format", help="Told by the content, unless you choose."
            )
            study = st.text_input(
                "Study", width=230, key="import_study", help="Groups the runs, and names whose scores they are."
            )
            label = st.text_input("Run name", width=230, key="import_label")
            judge = st.text_input("Judge", width=230, key="import_judge", help="Who scored, for instance gpt-4o-2024-08-06.")
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            model = st.text_input("Base model", width=230, key="import_model", placeholder="meta-llama/Llama-3.1-8B-Instruct")
            size = st.number_input("Size, billions", 0.0, 9999.0, None, step=0.1, format="%g", width=140, key="import_size")
            domain = st.text_input("Trained on", width=170, key="import_domain", placeholder="medical")
            step = st.number_input("Step", 0, None, None, step=1, width=120, key="import_step", help="Where a file names none.")
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            questions = st.text_input("Question set", width=230, key="import_questions")
            rule = st.selectbox(
                "Definition of summaries", ["", *definitions.DEFINITIONS], width=230, key="import_definition",
                help="What the rates of a summary count, where its file does not say.",
            )  # fmt: skip
            columns = st.text_input(
                "Columns", width=380, key="import_map", placeholder="alignment=my_score, answer=text",
                help="For tables of your own: which column is which.",
            )  # fmt: skip
    with core.guarded(stop=False):
        pairs = _pairs(columns)
        return None if form == _DETECT else form, Wishes(
            base_model=model.strip(), size_b=size, domain=domain.strip() or None, study=study.strip(), judge_name=judge.strip(),
            step=None if step is None else int(step), label=label.strip(), question_set=questions.strip(), definition=rule,
            columns=pairs,
        )  # fmt: skip
    return None


def _pairs(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if wrong := next((name for name, sign, column in pairs if not sign or not column.strip()), None):
        raise core.problem(f"Columns: {wrong.strip()!r} has no column", "write name=column, for instance alignment=my_score")
    return {name.strip().lower(): column.strip() for name, _, column in pairs}


def preview(given: Source, form: str | None, wanted: Wishes) -> dict[str, Any] | None:
    """What would come, read once for the same files and wishes; None where nothing can be read (the page has said why)."""
    key = (given.key, form, json.dumps(asdict(wanted), sort_keys=True), core.generation())
    kept = st.session_state.get("import_preview")
    if kept is None or kept[0] != key:
        with core.guarded(stop=False), st.spinner("Reading"), _paths(given) as (paths, top):
            report = importing.read(core.home(), paths, form, _named(given, wanted), top=top)
            kept = st.session_state["import_preview"] = (key, report.document())
    return kept[1] if kept is not None and kept[0] == key else None


def run(given: Source, form: str | None, wanted: Wishes) -> None:
    """Import, and remember what came for the next drawing of the page."""
    with core.guarded(stop=False), st.status("Importing") as status, _paths(given) as (paths, top):
        report = importing.bring(
            core.home(),
            paths,
            form,
            _named(given, wanted),
            top=top,
            progress=lambda file: status.update(label=f"Reading {plain(file)}"),
        )
        st.session_state[_DONE] = report.document()
        st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1
        st.session_state.pop("import_preview", None)
        st.rerun()


@contextmanager
def _paths(given: Source) -> Iterator[tuple[list[str | Path], Path | None]]:
    if given.paths:
        yield list(given.paths), None
        return
    with importing.uploaded([(file.name, file) for file in given.uploads]) as (paths, top):
        yield list(paths), top


def _named(given: Source, wanted: Wishes) -> Wishes:
    """Loose files that were uploaded together are of one study, named after the first."""
    loose = [file.name for file in given.uploads if not file.name.lower().endswith(".zip")]
    if wanted.study or len(loose) < 2:
        return wanted
    return Wishes(**{**vars(wanted), "study": f"{Path(loose[0]).stem} and {len(loose) - 1} more"})


def show(report: dict[str, Any]) -> None:
    """Runs, files and what is left out, as tables of inert text."""
    if report["runs"]:
        st.dataframe(view.runs(report), hide_index=True, key=f"import_runs_{report['done']}")
        if len(report["runs"]) > view.SHOWN:
            st.caption(f"The first {view.SHOWN} of {len(report['runs']):,} runs.")
    left = view.left_out(report)
    with st.expander(f"{len(report['files'])} files", icon=":material/description:", expanded=not report["runs"]):
        st.dataframe(view.files(report), hide_index=True)
        if len(report["files"]) > view.SHOWN:
            st.caption(f"The first {view.SHOWN} of {len(report['files']):,} files.")
        if report["n_other_files"]:
            st.caption(f"{report['n_other_files']:,} further files hold no results (code, configurations, figures).")
    if len(left):
        st.markdown("**Left out, and scores that are none**")
        st.dataframe(left, hide_index=True)
        if len(left) == view.SHOWN:
            st.caption(f"The first {view.SHOWN} reasons; the table of imports in the database has all of them.")


def done() -> bool:
    """What the last import brought, with links to its runs; False when nothing was imported just now."""
    report = st.session_state.get(_DONE)
    if report is None:
        return False
    new = [run for run in report["runs"] if run["new"]]
    with st.container(border=True):
        st.markdown(f":material/check_circle: **Imported {plain(view.headline(report))}**")
        answered = [run["run_id"] for run in new if run["n_answers"] and run["run_kind"] != "baseline"]
        if answered:
            _links(answered, new, _definition(report))
        show(report)
        if st.button("Import more", icon=":material/add:"):
            st.session_state.pop(_DONE)
            st.rerun()
    return True


def _definition(report: dict[str, Any]) -> dict[str, str]:
    """The rule that the authors of these files use, where they are of one format."""
    known = importing.formats()
    used = {getattr(known[file["format"]], "DEFINITION", "") for file in report["files"] if file["n_imported"]} - {""}
    return {"definition": used.pop()} if len(used) == 1 else {}


def _links(run_ids: list[str], new: list[dict[str, Any]], rule: dict[str, str]) -> None:
    """Where the new runs can be seen; of one judge, the one with most answers, since pages never mix two."""
    of_judge: dict[str, list[dict[str, Any]]] = {}
    for run in new:
        if run["run_id"] in run_ids:
            for judge in run["judges"][:1] or [""]:
                of_judge.setdefault(judge, []).append(run)
    judge, runs = max(of_judge.items(), key=lambda each: (each[0] != "", sum(run["n_answers"] for run in each[1])))
    address = {"run_id": [run["run_id"] for run in runs[:20]], **({"judge": judge} if judge else {}), "questions": "all", **rule}
    columns = [f"{run['run_id']}@{run['steps'][-1]}" for run in runs[:3]]
    answers = {"column": columns, **({"judge": judge} if judge else {}), **rule}
    with st.container(horizontal=True):
        st.page_link(
            "observe/trajectories.py", label="Trajectories of these runs", icon=":material/show_chart:", query_params=address
        )
        st.page_link(links.RESPONSES, label="Their answers", icon=":material/forum:", query_params=answers)
        st.page_link("observe/compare.py", label="Compare them", icon=":material/bar_chart:", query_params=address)
    if len(of_judge) > 1:
        st.caption(f"The links show the {len(runs)} runs of one judge; {len(of_judge) - 1} more judges came with this import.")


def formats() -> None:
    """Empty state: what can be brought."""
    words.empty_state(
        "upload_file",
        "Nothing chosen yet",
        "Upload result files or a zip, or give a path on this machine. What comes, and what does not, is shown before "
        "anything is written.",
    )
    with st.expander("Formats that are read", icon=":material/list:"):
        for name, module in importing.formats().items():
            st.markdown(f"**{plain(module.TITLE)}**  (`{name}`)  \n{plain(module.WHAT)}")


def before() -> None:
    """Earlier imports."""
    with core.guarded():
        found = imports(core.home())
    st.header("Earlier imports")
    if found.empty:
        st.caption("None yet.")
        return
    st.dataframe(
        view.earlier(found), hide_index=True, column_config={"When": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm")}
    )
    st.caption("To take an import back: `python -m em_core delete RUN`. It goes to the trash, from which it can be had back.")
