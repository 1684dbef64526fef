"""The launch form's widgets, one per field of the spec, each with room for its problem."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping
from typing import Any

import streamlit as st

from em_core import datasets, judges, plugins, questions, sampling, specs_io, training
from em_core.organism import models as organisms
from em_core.specs_io import judge_configs
from em_core.store import queries
from em_core.view import form, spec_difference
from em_core.view.form import FormField
from em_core.view.inert import one_line
from pages.shared.core import guarded, home
from pages.shared.words import plain

FROM = "from"
"""Address parameter: the run whose spec fills the form."""


@st.cache_data(show_spinner=False)
def recipes() -> list[dict[str, Any]]:
    """The shipped presets."""
    return specs_io.presets()


def preset(known: Mapping[str, Mapping[str, Any]]) -> str:
    """Which preset fills the form; kept in the URL."""
    names = sorted(known, key=lambda name: (name != "organism", name))
    chosen = st.selectbox("Preset", names, key="preset", bind="query-params", width=420)
    st.caption(plain(f"{known[chosen]['base_model']}: {known[chosen]['title']}"))
    return str(chosen)


def origin() -> tuple[str, dict[str, Any]] | None:
    """The run that fills the form (``?from=RUN``): its id and its spec, dumped; None = a preset does. Says which run it is.

    Any run will do, also of the demonstration, a deleted judge or an older version; one without a readable spec is said.
    """
    run_id = st.query_params.get(FROM)
    if not run_id:
        return None
    with guarded(stop=False):
        row = queries.run(home(), run_id)
        stored = row["spec_json"] if row is not None else None
        path = home().run_dir(run_id) / "spec.json"  # launched, not yet published
        if row is None and path.is_file():
            stored = ""
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):  # damaged: it has none
                stored = json.dumps(json.loads(path.read_bytes())["spec"])
        _, spec = spec_difference.read(stored)
        if row is not None and row.get("run_kind") == "imported":
            spec = None
        if spec is not None:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f":material/content_copy: Filled from the run **{plain(one_line(run_id))}**. Change what you like.")
                st.page_link("observe/run.py", label="That run", icon=":material/science:", query_params={"run_id": run_id})
                if st.button("Start from a preset instead", icon=":material/undo:", type="tertiary"):
                    st.query_params.pop(FROM, None)
                    st.rerun()
            return run_id, spec.model_dump(mode="json")
        why = "is not known here" if stored is None else "has no spec that this version can launch"
        st.warning(f"Run **{plain(one_line(run_id))}** {why}. A preset fills the form.", icon=":material/link_off:")
    return None


@st.cache_data(show_spinner=False)
def suggestions() -> dict[str, list[str]]:
    """What is offered for fields that take any text, by dotted name."""
    return {
        "base_model": [
            *organisms.MODEL_NAMES,
            *dict.fromkeys(r["base_model"] for r in recipes() if r["n_runs"] == 1 and not r["toy"]),
        ],
        "backend": plugins.names(training.__name__),
        "evaluation.sampler": plugins.names(sampling.__name__),
        "judges.0.name": plugins.names(judges.__name__),
    }


class Form:
    """Draws every section; `values` then has what the widgets hold, by dotted field.

    Args:
        preset: Its name; another preset has widgets of its own, so it fills the form anew.
        base: The preset's spec, dumped.
        varied: Fields whose values stand elsewhere (`pages.shared.sweep`): shown, not to be changed here.
    """

    def __init__(self, preset: str, base: dict[str, Any], varied: Collection[str] = ()) -> None:
        self.values: dict[str, Any] = {}
        self._varied = varied
        self._judge = ""
        self._preset, self._base = preset, base
        self._start = form.start_values(base)
        self._room: dict[str, Any] = {}
        self._section("Model")
        with st.container(border=True):
            st.subheader("Data")
            self._data()
        for name in ("Adapter", "Optimisation", "Checkpoints", "Evaluation", "Judge"):
            self._section(name)

    def show_problems(self, problems: Mapping[str, str]) -> None:
        """Write each message under its field; what belongs to none goes to the end of the form."""
        for path, message in problems.items():
            place = self._room.get(path)
            (place.container() if place is not None else st.container()).error(plain(message), icon=":material/error:")

    def _section(self, name: str) -> None:
        members = [field for field in form.fields() if field.section == name]
        with st.container(border=True):
            st.subheader(name)
            if name == "Evaluation":
                self._question_sets()
            if name == "Judge":
                self._configuration()
            self._grid([field for field in members if not field.advanced])
            if advanced := [field for field in members if field.advanced]:
                with st.expander("Advanced"):
                    self._grid(advanced)
            if name == "Judge":
                self._further_judges()

    def _grid(self, members: list[FormField]) -> None:
        for start in range(0, len(members), 3):
            for place, field in zip(st.columns(3), members[start : start + 3], strict=False):
                with place:
                    self.values[field.path] = self._widget(field)
                    self._room[field.path] = st.empty()

    def _key(self, path: str) -> str:
        judge = f"{self._judge}:" if path.startswith("judges.") else ""
        return f"{self._preset}:{judge}{path}"

    def _configuration(self) -> None:
        """A named judge configuration fills the judge's fields; without one they are the preset's."""
        known = judge_configs.available(home())
        chosen = st.selectbox(
            "Configuration", ["as in the preset", *known], key=f"{self._preset}:judge", persist_state="session", width=420,
            help="Judges by name: `data/judges`, and your own in `judges` of the home folder. The fields below can be changed.",
        )  # fmt: skip
        if chosen not in known:
            return
        st.caption(plain(known[chosen].title))
        with guarded(stop=False):
            _, spec = judge_configs.resolve(chosen, (), home())
            self._judge = chosen
            filled = form.start_values({**self._base, "judges": [spec.model_dump(mode="json")]})
            self._start |= {path: value for path, value in filled.items() if path.startswith("judges.0.")}

    def _further_judges(self) -> None:
        known = judge_configs.available(home())
        chosen = st.multiselect(
            "Further judges", list(known), [], key=self._key("further"), persist_state="session",
            help="Score the same answers too: another judge to compare with, verdicts, or a metric such as harm.",
        )  # fmt: skip
        self._room["judges"] = st.empty()
        with guarded(stop=False):
            self.values[form.FURTHER] = [judge_configs.resolve(name, (), home())[1].model_dump(mode="json") for name in chosen]

    def _widget(self, field: FormField) -> Any:
        value = self._start[field.path]
        common: dict[str, Any] = {"key": self._key(field.path), "help": plain(field.help), "persist_state": "session"}
        if field.path in self._varied:
            common |= {"disabled": True, "help": "Varies: its values stand under Sweep."}
        options = list(field.choices) or suggestions().get(field.path, [])
        if options:
            options = options if value in options else [*options, value]
            free = not field.choices
            return st.selectbox(field.label, options, index=options.index(value), accept_new_options=free, **common) or ""
        if field.kind == "flag":
            return st.checkbox(field.label, bool(value), **common)
        if field.kind in ("integer", "number"):
            whole = field.kind == "integer"
            bounds = [None if b is None else int(b) if whole else float(b) for b in (field.low, field.high)]
            return st.number_input(
                field.label, bounds[0], bounds[1], value, step=1 if whole else None, format="%d" if whole else "%g",
                placeholder="empty" if field.optional else None, **common,
            )  # fmt: skip
        return st.text_input(field.label, str(value or ""), placeholder="empty" if field.optional else None, **common)

    def _data(self) -> None:
        shipped = {each.name: each for each in datasets.available()}
        parts = {part["source"]: part for part in self._base["data"]}
        chosen = st.multiselect(
            "Data sets", list(dict.fromkeys([*shipped, *parts])), list(parts), key=self._key("data"), accept_new_options=True,
            help="Shipped data sets, or the path of a JSONL file: type it and press Enter. Several are mixed.",
            persist_state="session", disabled="data" in self._varied,
        )  # fmt: skip
        self._room["data"] = st.empty()
        drawn: list[dict[str, Any]] = []
        for source in chosen:
            part = parts.get(source, {"source": source})
            rows = st.number_input(
                f"Rows of {plain(source)}", 1, None, part.get("rows"), 1, key=self._key(f"rows:{source}"), placeholder="all rows",
                help=plain(shipped[source].description) if source in shipped else None, persist_state="session", width=320,
                disabled="data" in self._varied,
            )  # fmt: skip
            drawn.append({**part, "rows": rows})
        self.values["data"] = drawn

    def _question_sets(self) -> None:
        uses = {use["name"]: use for use in self._base["evaluation"]["question_sets"]}
        chosen = st.multiselect(
            "Question sets", list(dict.fromkeys([*questions.available(), *uses])), list(uses), key=self._key("questions"),
            accept_new_options=True, help="Shipped sets, or the path of a question file: type it and press Enter.",
            persist_state="session", disabled="evaluation.question_sets" in self._varied,
        )  # fmt: skip
        self._room["evaluation.question_sets"] = st.empty()
        self.values["evaluation.question_sets"] = [uses.get(name, {"name": name}) for name in chosen]
