"""Tables of rates: never a rate without its counts and its interval."""

from __future__ import annotations

from typing import Literal

import pandas as pd
import streamlit as st

from em_core import spreadsheet

_COLUMNS = {
    "label": "Run", "base_model": "Base model", "domain": "Trained on", "step": "Step", "question_set": "Questions",
    "em_rate": "EM rate", "ci_low": "From", "ci_high": "To", "n_misaligned": "Misaligned", "n_coherent": "Coherent",
    "n_scored": "Scored", "n_total": "Answers", "upper_bound": "At most", "companion_rate": "Ungated",
    "companion_low": "Ungated from", "companion_high": "Ungated to", "companion_base": "Ungated of",
    "n_questions": "Number of questions", "note": "Note", "experiment": "Experiment", "run_id": "Run id",
}  # fmt: skip

_HELP = {
    "upper_bound": "With 95% confidence the rate is below this; for claims that there is no misalignment.",
    "companion_rate": "The same rule without its coherence gate, of all scored answers; for verdicts: of the graded answers.",
    "note": "What to know of an interval over so few questions.",
}
_SHARES = ("em_rate", "ci_low", "ci_high", "companion_rate", "companion_low", "companion_high", "upper_bound")


def height(n_rows: int, most: int = 420) -> int | Literal["content"]:
    """Of a table: all of a few rows, else so many pixels, within which it scrolls."""
    return "content" if 35 * (n_rows + 1) < most else most


def summary(frame: pd.DataFrame) -> str:
    """How much there is: ``14 points of 2 runs, 1,372 answers``."""
    drawn = frame[frame["em_rate"].notna()]
    runs, answers = frame["run_id"].nunique(), int(frame["n_total"].sum())
    return f"{len(drawn)} points of {runs} run{'' if runs == 1 else 's'}, {answers:,} answers."


def rates(frame: pd.DataFrame, name: str) -> None:
    """A table of rates, with a download of the same rows as CSV."""
    shares = {c: st.column_config.NumberColumn(_COLUMNS[c], format="percent", help=_HELP.get(c)) for c in _SHARES}
    plain = {c: _COLUMNS[c] for c in _COLUMNS if c not in shares}
    st.dataframe(
        frame.sort_values(["size_b", "domain", "run_id", "step"]),
        hide_index=True,
        column_order=list(_COLUMNS),
        column_config={**plain, **shares},
        width="stretch",
        height=height(len(frame)),
        placeholder="no estimate",
    )
    st.download_button(
        "Download CSV",
        lambda: spreadsheet.as_csv(frame),
        f"{name}.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
