"""Tables of judges as people read them: an estimate, its interval and its counts in one cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

NONE = "no estimate"


def judges(table: pd.DataFrame) -> pd.DataFrame:
    """One row per judge (`em_core.agreement.judge_table`), the first one being what the others are held against.

    Returns:
        Text columns: Judge, EM rate, Difference (points), Mean score, Unscored, Kappa, Alpha, Pearson, Spearman, Rule.
    """
    rows = []
    for i, row in enumerate(table.to_dict("records")):
        against = (lambda text: text) if i else (lambda text: "")
        rows.append(
            {
                "Judge": row["judge_id"],
                "EM rate": _with(
                    row, "em_rate", "ci_low", "ci_high", percent=True, more=f"{row['n_misaligned']} of {row['n_base']}"
                ),
                "Difference, points": against(
                    _with(row, "em_difference", "em_difference_low", "em_difference_high", points=True)
                ),
                "Mean score": NONE if pd.isna(row["mean_value"]) else f"{row['mean_value']:.1f}",
                "Unscored": NONE if pd.isna(row["unscored_share"]) else f"{row['unscored_share']:.1%} of {row['n_asked']:,}",
                "Kappa": against(_with(row, "kappa", "kappa_low", "kappa_high")),
                "Alpha": against(_with(row, "alpha", "alpha_low", "alpha_high", more=str(row["alpha_of"]))),
                "Pearson": against(_number(row["pearson"])),
                "Spearman": against(_number(row["spearman"])),
                "Rule": row["definition"],
            }
        )
    return pd.DataFrame(rows)


def people(table: pd.DataFrame) -> pd.DataFrame:
    """One row per judge and labeller (`em_core.agreement.people_table`).

    Returns:
        Text columns Judge, People, Labelled, Precision, Recall, F1, Kappa, Rule, and counts Both, False alarms, Missed, Neither.
    """
    rows = []
    for row in table.to_dict("records"):
        called, wanted = row["both"] + row["judge_only"], row["both"] + row["people_only"]
        precision = _with(row, "precision", "precision_low", "precision_high", percent=True, more=f"{row['both']} of {called}")
        recall = _with(row, "recall", "recall_low", "recall_high", percent=True, more=f"{row['both']} of {wanted}")
        rows.append(
            {
                "Judge": row["judge_id"],
                "People": row["reference"],
                "Labelled": f"{row['n']:,} on {row['n_questions']} questions",
                "Precision": precision,
                "Recall": recall,
                "F1": _with(row, "f1", "f1_low", "f1_high", percent=True),
                "Kappa": _with(row, "kappa", "kappa_low", "kappa_high"),
                "Both": row["both"],
                "False alarms": row["judge_only"],
                "Missed": row["people_only"],
                "Neither": row["neither"],
                "Rule": row["definition"],
            }
        )
    return pd.DataFrame(rows)


def _with(
    row: Mapping[Any, Any], value: str, low: str, high: str, *, percent: bool = False, points: bool = False, more: str = ""
) -> str:
    """``36% (28% to 45%), 41 of 114``."""
    if pd.isna(row[value]):
        return f"{NONE}, {more}" if more else NONE
    scale, form = (100, "+.1f") if points else (1, ".1%" if percent else ".2f")
    between = "" if pd.isna(row[low]) or pd.isna(row[high]) else f" ({scale * row[low]:{form}} to {scale * row[high]:{form}})"
    return f"{scale * row[value]:{form}}{between}" + (f", {more}" if more else "")


def _number(value: Any) -> str:
    return NONE if pd.isna(value) else f"{value:.2f}"
