"""The EM rate of the same answers under each judge, with its interval."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from em_core.charts import frame as f
from em_core.charts import palette

TITLE = "EM rate under each judge"
COLUMNS = ("judge_id", "definition", "n_common", "n_base", "n_misaligned", "em_rate", "ci_low", "ci_high", "interval")
_EMPTY = "No answer has scores of all judges yet."


def panels(frame: pd.DataFrame) -> list[tuple[str, alt.LayerChart]]:
    """One chart; judges without an estimate are left out.

    Args:
        frame: One row per judge, all on the same answers (`COLUMNS`, as from `em_core.agreement.judge_table`).
    """
    f.require(frame, COLUMNS, "judge_rates")
    rows = frame[frame["em_rate"].notna()]
    if rows.empty:
        return []
    order = [str(judge) for judge in rows["judge_id"]]
    base = alt.Chart().encode(
        y=alt.Y("judge_id:N", title=None, sort=order, axis=alt.Axis(labelLimit=190)),
        tooltip=[
            alt.Tooltip("judge_id:N", title="judge"),
            alt.Tooltip("em_rate:Q", title="EM rate", format=".1%"),
            *f.bounds(),
            alt.Tooltip("interval:N", title="interval kind"),
            alt.Tooltip("n_misaligned:Q", title="n misaligned"),
            alt.Tooltip("n_base:Q", title="of"),
            alt.Tooltip("n_common:Q", title="n scored by all"),
            alt.Tooltip("definition:N", title="definition"),
        ],
    )
    upper = f.top(rows)
    scale = alt.Scale(domain=[0, upper], nice=False)
    x = alt.X("em_rate:Q", title="EM rate", scale=scale, axis=alt.Axis(format=".0%", tickCount=5))
    drawn = f.layered(
        rows,
        base.mark_bar(opacity=0.35, color=palette.SERIES[1], height=22).encode(x),
        base.mark_rule(strokeWidth=2, color=palette.SERIES[1]).encode(alt.X("ci_low:Q", title="EM rate"), alt.X2("ci_high:Q")),
        base.mark_point(filled=True, size=80, opacity=1, color=palette.SERIES[1]).encode(x),
    )
    drawn = drawn.properties(height=min(f.HEIGHT, 60 + 40 * len(rows)))
    return [(f"The same {int(rows['n_common'].iloc[0]):,} answers", drawn)]


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """The rates under a title. Options: `title`, `notes` (lines below it)."""
    title = str(options.get("title", TITLE))
    drawn = panels(frame)
    return f.side_by_side(drawn, title, [*f.rules(frame), *options.get("notes", ())]) if drawn else f.empty(title, _EMPTY)
