"""The panel that stands below a chart of rates: signs of breakage in the same answers."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from em_core import spreadsheet
from em_core.charts import health_bars
from em_core.health.signs import ANSWER_SIGNS, SIGNS
from em_core.home import Home
from em_core.store import health as store_health
from pages.shared import core, panels, words

_CELL = ["run_id", "step", "question_set", "in_domain"]
_NAMES = {
    "label": "Run", "base_model": "Base model", "domain": "Trained on", "step": "Step", "question_set": "Questions",
    "n_total": "Answers", "n_measured": "Measured", "n_end_known": "End known", "n_truncated": "Cut off",
    "n_end_guessed": "End guessed", "n_looks_cut": "Looks cut", "n_empty": "Empty", "n_refused": "Refusals", "n_code": "Code",
    "n_repeated": "Repeats", "n_overlap_known": "Data known", "n_overlap": "Copies", "mean_words": "Words, mean",
    "median_tokens": "Tokens, median", "n_scored": "Scored", "n_refusal": "No score: refusal", "n_code_reason": "No score: code",
    "n_parse_failure": "No score: unreadable", "n_api_error": "No score: judge failed",
    "n_truncated_reply": "No score: reply cut off",
    "n_empty_reason": "No score: empty", "n_other_reason": "No score: other", "n_pending": "Not judged", "run_id": "Run id",
}  # fmt: skip


@st.cache_data(show_spinner=False, max_entries=16)
def _health(root: str, generation: str, run_ids: list[str], judge_id: str | None) -> pd.DataFrame:
    return store_health.health(Home(core.home().root), run_ids=run_ids, judge_id=judge_id)


def of(chosen: pd.DataFrame, judge_id: str | None = None) -> pd.DataFrame:
    """Health of the answers behind these rows of rates, one row per run, step, question set and in_domain."""
    found = _health(*core.key(), sorted(set(chosen["run_id"])), judge_id)
    return found.merge(chosen[_CELL].drop_duplicates(), on=_CELL)


def show(chosen: pd.DataFrame, name: str, judge_id: str | None = None) -> None:
    """Chart and numbers, with what to do where nothing was measured.

    Args:
        chosen: The rates that the page shows (one row per run, step and question set).
        name: Of the downloaded file.
        judge_id: Whose unscored answers are counted.
    """
    with core.guarded():
        found = of(chosen, judge_id)
    st.subheader("Health of these answers")
    n_total, n_measured = int(found["n_total"].sum()), int(found["n_measured"].sum())
    if not n_measured:
        words.empty_state(
            "health_metrics", "Not measured yet", "`python -m em_core health` measures the answers that are there, in seconds."
        )
        return
    st.caption(
        "Is a model misaligned, or broken? Signs that no judge has touched, of the starting model and of the last checkpoint "
        "shown. 95% Wilson intervals."
    )
    panels.show("health_bars", found)
    st.caption(f"Mean length in words. {words.plain('; '.join(health_bars.lengths(found)))}.")
    if n_measured < n_total:
        st.caption(f"{n_measured:,} of {n_total:,} answers are measured; `python -m em_core health` measures the others.")
    with st.expander("Numbers and rules"):
        st.markdown("\n".join(f"- **{sign.label}**: {words.plain(sign.rule)}." for sign in ANSWER_SIGNS))
        st.dataframe(
            found.sort_values(["size_b", "domain", "run_id", "step"]),
            hide_index=True,
            column_order=_shown(found),
            column_config={
                **_NAMES,
                "mean_words": st.column_config.NumberColumn(_NAMES["mean_words"], format="%.1f"),
                "median_tokens": st.column_config.NumberColumn(_NAMES["median_tokens"], format="%.0f"),
            },
            width="stretch",
            height=min(420, 37 + 35 * max(1, len(found))),
        )
        st.download_button(
            "Download CSV",
            lambda: spreadsheet.as_csv(found),
            f"{name}-health.csv",
            "text/csv",
            key=f"{name}-health",
            icon=":material/download:",
            on_click="ignore",
        )


def _shown(found: pd.DataFrame) -> list[str]:
    """All columns but counts that are zero everywhere and would only fill the table."""
    optional = {"n_end_guessed", "n_looks_cut", *(sign.count for sign in SIGNS if sign.name.startswith("unscored"))}
    return [column for column in _NAMES if column not in optional or found[column].sum()]
