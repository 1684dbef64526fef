"""What a run was told to do: its spec against the recipes, as a file, and against another run's."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from em_core import plain_yaml, specs_io
from em_core.view import spec_difference
from em_core.view.inert import visible
from em_core.view.run_details import Known
from em_core.view.run_words import short
from em_core.view.spec_difference import Difference
from pages.shared import run_choice, run_details, words


def show(run: Known) -> None:
    """The comparison that was asked for, what differs from the nearest recipe, then the whole spec."""
    other = run_choice.choose_other(run.run_id)
    if other is not None:
        against(run, run_details.known(other))
    st.subheader("How it departs from the recipes")
    if run.spec is None:
        _unread(run)
        return
    name, from_preset, from_default = spec_difference.from_preset(run.spec)
    differing = {each.field: each for each in from_preset}
    rows = [
        (each.field, each.first, differing[each.field].second if each.field in differing else each.first, each.second, each.about)
        for each in _united(from_preset, from_default)
    ]
    if from_preset:
        n = len(from_preset)
        st.caption(f"The nearest preset is **{words.plain(name)}**; {n} field{'s' * (n > 1)} differ{'s' * (n == 1)} from it.")
    else:
        st.caption(f"It is the preset **{words.plain(name)}**, unchanged.")
    table = pd.DataFrame(rows, columns=["Field", "This run", f"Preset {name}", "Default", "Meaning"])
    st.dataframe(table, hide_index=True, width="stretch", height="content")
    st.subheader("The whole spec")
    st.caption(
        f"Fields that are not here have their defaults. Digest of all that decides the result: "
        f"{words.plain(str(run.run.get('spec_hash') or 'not recorded'))}."
    )
    with st.expander("Every field", icon=":material/list:"):
        st.code(visible(short(plain_yaml.dump(run.fields))), language="yaml")
    file(run)


def file(run: Known) -> None:
    """The spec as the file that launches it again."""
    if run.spec is None:
        return
    text = short(specs_io.dump_yaml(run.spec))
    st.code(visible(text), language="yaml")
    st.download_button(
        "Download spec.yaml", text, f"{run.run_id}.yaml", "application/yaml", icon=":material/download:", on_click="ignore",
        key="spec-file",
    )  # fmt: skip


def against(run: Known, other: Known) -> None:
    """Only what differs between two runs, with the sentence that says it."""
    st.subheader("What differs")
    fields = spec_difference.differences(run.fields, other.fields)
    facts = spec_difference.between(run, other)
    said = spec_difference.sentence(fields, facts, readable=bool(run.fields and other.fields))
    st.markdown(f":material/difference: {words.plain(said)}")
    names = _column(run, other), _column(other, run)
    if fields:
        _table(fields, names)
    if facts:
        st.caption("Recorded beside the specs:")
        _table(facts, names)
    run_details.link(other.run_id, f"Open {other.run.get('label') or other.run_id}")


def _table(rows: Sequence[Difference], names: tuple[str, str]) -> None:
    table = pd.DataFrame(
        [
            (row.field, row.first, row.second, "" if row.decides else "label or budget: decides nothing", row.about)
            for row in rows
        ],
        columns=["Field", *names, "Note", "Meaning"],
    )
    shown = [column for column in table if column not in ("Note", "Meaning") or (table[column] != "").any()]
    st.dataframe(table[shown], hide_index=True, width="stretch", height="content")


def _column(run: Known, other: Known) -> str:
    label, its = (visible(str(each.run.get("label") or each.run_id)) for each in (run, other))
    return run.run_id if label == its else label


def _united(first: Sequence[Difference], second: Sequence[Difference]) -> list[Difference]:
    """What differs from the preset, then what differs from the default alone; each with the default's value."""
    defaults = {each.field: each for each in second}
    lead = [
        defaults.get(each.field) or Difference(each.field, each.first, each.first, each.decides, each.about) for each in first
    ]
    names = {each.field for each in first}
    return [*lead, *(each for each in second if each.field not in names)]


def _unread(run: Known) -> None:
    if run.run.get("run_kind") == "imported":
        st.caption("Imported: it has no spec of ours. What is known of its recipe is in its files, under Reproduce.")
    elif run.run.get("run_kind") == "evaluate":
        st.caption("An evaluation trains nothing, so it departs from no recipe. What it was asked to do:")
        st.code(visible(short(plain_yaml.dump(run.fields))), language="yaml")
    elif run.fields:
        st.caption("This version does not read its spec (another version wrote it); here it is as it was stored.")
        st.code(visible(short(plain_yaml.dump(run.fields))), language="yaml")
    else:
        st.caption("No spec is recorded for this run.")
