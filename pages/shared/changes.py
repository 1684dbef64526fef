"""The panel that says when each line of a trajectory changed, and whether it is more than chance."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.shared import core, tables, words

MOST_LINES = 60
"""More would be neither read nor quick."""
_LINE = ["run_id", "question_set", "in_domain"]
_COLUMNS = {
    "label": "Run", "question_set": "Questions", "before": "Before", "after": "After", "step": "Changes at step",
    "earliest": "Earliest", "latest": "Latest", "p_change": "P(change)", "first_significant": "Differs from step",
    "n_checkpoints": "Checkpoints", "design_effect": "Design effect", "note": "Note", "run_id": "Run id",
}  # fmt: skip
_HELP = {
    "step": "The most likely checkpoint from which on the rate is another one.",
    "earliest": "First checkpoint of the 95% credible set.",
    "latest": "Last checkpoint of the 95% credible set.",
    "p_change": "Probability that the rate changed at all, if both were equally likely before.",
    "first_significant": "First checkpoint whose paired difference from step 0 has p < 0.05 after Benjamini-Hochberg "
    "over all checkpoints of the line.",
    "design_effect": "How much more neighbouring checkpoints differ than independent answers would.",
}


def lines_of(rates: pd.DataFrame) -> pd.DataFrame:
    """The lines that these rates make, one row each."""
    return rates[_LINE].drop_duplicates()


def show(chosen: pd.DataFrame, definition: str, interval: str, judge_id: str) -> None:
    """One row per line that the chart shows."""
    lines = lines_of(chosen)
    st.subheader("When does it change?")
    if len(lines) > MOST_LINES:
        st.caption(f"{len(lines)} lines are shown; choose at most {MOST_LINES} (runs, questions) to see when each changed.")
        return
    with core.guarded():
        found = core.changes(definition, interval, judge_id, chosen)
    found = found.merge(lines, on=_LINE)
    if found.empty or found["step"].isna().all():
        st.caption("A line needs two scored checkpoints; then this says when its rate changed and how sure that is.")
        return
    st.caption("One jump between two levels is assumed; where a rise is gradual, earliest and latest are apart.")
    shares = {c: st.column_config.NumberColumn(_COLUMNS[c], format="percent") for c in ("before", "after", "p_change")}
    others = {c: st.column_config.Column(_COLUMNS[c], help=_HELP.get(c)) for c in _COLUMNS if c not in shares}
    st.dataframe(
        found.sort_values(["question_set", "label", "run_id"]),
        hide_index=True,
        column_order=list(_COLUMNS),
        column_config={**others, **shares},
        width="stretch",
        placeholder="never",
        height=tables.height(len(found), 300),
    )


def judge_warnings(there: pd.DataFrame, judge_id: str, run_ids: tuple[str, ...] | None = None) -> None:
    """Say when several models answered under one judge's name, and which runs are not shown because others judged them.

    Args:
        there: What there is (`em_core.store.contents.contents`), of all judges.
        judge_id: The one that is shown.
        run_ids: The runs that are shown; None = all.
    """
    for note in core.judge_notes(judge_id, run_ids):
        st.warning(words.plain(note), icon=":material/call_split:")
    mine = there.loc[there["judge_id"] == judge_id, "run_id"].unique()
    others = there[~there["run_id"].isin(mine) & there["judge_id"].notna()]
    if len(others):
        names = ", ".join(sorted(str(judge) for judge in others["judge_id"].unique()))
        st.caption(
            f":material/gavel: {others['run_id'].nunique()} more runs were scored by other judges only ({words.plain(names)}): "
            "choose that judge above, or let this one judge them on [Judge](/judge)."
        )
