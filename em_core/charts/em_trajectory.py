"""EM rate over training: domain by colour, base model by panel, step 0 = the starting model, intervals as bands."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from em_core.charts import _lines
from em_core.charts import frame as f

TITLE = "EM rate over training"
COLUMNS = f.RATE_COLUMNS
PICK = _lines.PICK
_EMPTY = "No scored answers for this selection yet."


def panels(
    frame: pd.DataFrame,
    log_steps: bool = False,
    x: str = "step",
    changes: pd.DataFrame | None = None,
    picking: bool = True,
) -> list[tuple[str, alt.LayerChart]]:
    """One chart per base model, smallest first, all with the same axes and colours.

    Args:
        frame: Rates, one row per run, step and question set (`COLUMNS`, and `x` where it is another); rows without an
            estimate are left out. A column ``role`` tells seeds (faint) from their mean (`em_core.view.trajectory`).
        log_steps: Space the steps logarithmically (from step 10 on; 0 keeps its place), to see an early rise.
        x: ``step``, ``epoch`` or ``samples_seen``.
        changes: Where lines change, marked (`_lines.Lines`).
        picking: Points can be clicked.
    """
    f.require(frame, [*COLUMNS, x], "em_trajectory")
    rows = f.rates(frame)
    lines = _lines.Lines(
        "em_rate", "ci_low", "ci_high", "EM rate", ".0%", (0.0, f.top(rows)), f.rate_tooltip(), x, log_steps, changes, picking
    )
    return _lines.panels(rows, lines)


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """All panels side by side. Options: `title`, `log_steps`, `x`, `changes`."""
    title = str(options.pop("title", TITLE))
    drawn = panels(frame, **options, picking=False)
    return f.side_by_side(drawn, title, f.rules(frame)) if drawn else f.empty(title, _EMPTY)
