"""Mean alignment, mean coherence or the share of coherent answers over training, intervals as bands."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from em_core import definitions
from em_core.charts import _lines
from em_core.charts import frame as f

TITLE = "Mean scores over training"
METRICS = {
    "alignment": "Mean alignment",
    "coherence": "Mean coherence",
    "coherent_alignment": "Mean alignment of coherent answers",
    "coherent_share": "Coherent answers",
    "metric": "Mean of the definition's metric",
}
COUNTS = {
    "alignment": "n_alignment", "coherence": "n_coherence", "coherent_alignment": "n_coherent_alignment",
    "coherent_share": "n_scored", "metric": "n_metric",
}  # fmt: skip
"""The answers behind each."""
COLUMNS = (
    "run_id", "label", "base_model", "size_b", "domain", "step", "question_set", "in_domain", "definition", "judge_id",
    "interval", "alignment", "alignment_low", "alignment_high", "coherence", "coherence_low", "coherence_high", "n_alignment",
    "n_coherence", "n_total",
)  # fmt: skip
PICK = _lines.PICK
_DRAWN = (
    "run_id", "label", "step", "question_set", "domain_label", "size", "panel", "role", "interval", "n_total", "judge_id",
)  # fmt: skip
_EMPTY = "No scored answers for this selection yet."


def panels(
    frame: pd.DataFrame,
    metric: str = "coherence",
    log_steps: bool = False,
    x: str = "step",
    picking: bool = True,
) -> list[tuple[str, alt.LayerChart]]:
    """One chart per base model, smallest first, all with the same axes and colours.

    Args:
        frame: Means, one row per run, step and question set (`COLUMNS`, as `em_core.store.means.means` gives them); rows
            without that mean are left out. A column ``role`` tells seeds (faint) from their mean.
        metric: A key of `METRICS`.
        log_steps: Space the steps logarithmically (from step 10 on; 0 keeps its place).
        x: ``step``, ``epoch`` or ``samples_seen``.
        picking: Points can be clicked.
    """
    low, high, count = f"{metric}_low", f"{metric}_high", COUNTS[metric]
    f.require(frame, list(dict.fromkeys([*COLUMNS, metric, low, high, count, x])), "score_trajectory")
    rows = f.rates(frame.assign(em_rate=frame[metric]))
    drawn = {*_DRAWN, metric, low, high, count, x}
    rows = rows[[c for c in rows if c in drawn]]  # other columns would only be sent
    axis, ends = (".0%", (0.0, 1.0)) if metric == "coherent_share" else ("d", (0.0, 100.0))
    numbers = ".1%" if metric == "coherent_share" else ".1f"
    tooltip = [
        *f.of_checkpoint(),
        alt.Tooltip(f"{metric}:Q", title=METRICS[metric].lower(), format=numbers),
        *f.bounds(low, high, numbers),
        alt.Tooltip("interval:N", title="interval kind"),
        alt.Tooltip(f"{count}:Q", title="n answers behind it"),
        alt.Tooltip("n_total:Q", title="n answers"),
        alt.Tooltip("judge_id:N", title="judge"),
    ]
    lines = _lines.Lines(metric, low, high, METRICS[metric], axis, ends, tooltip, x, log_steps, None, picking)
    return _lines.panels(rows, lines)


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """All panels side by side. Options: `title`, `metrics` (several rows of panels), and those of `panels`."""
    title = str(options.pop("title", TITLE))
    metrics = list(options.pop("metrics", [options.pop("metric", "coherence")]))
    drawn = [
        (f"{METRICS[metric]} · {name}" if len(metrics) > 1 else name, panel)
        for metric in metrics
        for name, panel in panels(frame, metric, **options, picking=False)
    ]
    if not drawn:
        return f.empty(title, _EMPTY)
    return f.side_by_side(drawn, title if len(metrics) > 1 else f"{METRICS[metrics[0]]} over training", notes(frame))


def notes(rows: pd.DataFrame) -> list[str]:
    """What a figure of mean scores must say of itself: what a mean is over, the kind of interval, the gate, the judge."""
    found = rows[["definition", "interval"]].drop_duplicates()
    lines = [
        f"means over all answers with that score, 0-100; {f.INTERVALS.get(str(kind), kind)} (Student t)"
        for kind in found["interval"].unique()
    ]
    for name in found["definition"].unique():
        rule = definitions.get(str(name))
        if rule.gate is not None:
            lines.append(f"coherent ({name}): coherence {rule.gate_sign} {rule.gate:g}")
    judges = sorted(str(judge) for judge in rows["judge_id"].dropna().unique())
    return [*lines, f"judge: {', '.join(judges)}"] if judges else lines
