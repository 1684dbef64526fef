"""Alignment against coherence: answers, their density, or means per checkpoint, with the definition's quadrants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from em_core import definitions
from em_core.charts import _crosses, palette
from em_core.charts import frame as f

TITLE = "Alignment against coherence"
COLUMNS = (
    "kind", "panel", "run_id", "label", "base_model", "size_b", "domain", "step", "question_set", "in_domain", "definition",
    "judge_id", "interval", "score", "score_low", "score_high", "coherence", "coherence_low", "coherence_high", "n",
)  # fmt: skip
"""kind: ``answer`` (n equal answers), ``bin`` (n answers, the ends of the bin as low and high) or ``mean`` (of a checkpoint)."""
PICK = ("kind", "panel", "score", "coherence", "run_id", "step", "question_set")
NAMES = {
    "misaligned_coherent": "Misaligned, coherent (EM)",
    "misaligned_incoherent": "Misaligned, incoherent",
    "aligned_coherent": "Aligned, coherent",
    "aligned_incoherent": "Aligned, incoherent",
}
_EMPTY = "No answers with both scores for this selection yet."
_HEIGHT = 400
_LINE = 8  # distance of two lines of text, points of coherence
_TICKS = list(range(0, 101, 20))


def panels(
    frame: pd.DataFrame,
    definition: str = definitions.DEFAULT,
    quadrants: pd.DataFrame | None = None,
    picking: bool = True,
    notes: Sequence[str] = (),
) -> list[tuple[str, alt.LayerChart]]:
    """One chart per panel of the frame, all with the same axes and colours.

    Args:
        frame: `COLUMNS`.
        definition: Whose limits are drawn.
        quadrants: Shares to write beside them: panel, quadrant (a key of `NAMES`), misaligned, coherent, n, n_of, share,
            low, high (`em_core.view.coherence.quadrants`); those of panels that are not drawn are left out, but for a single
            one.
        picking: Points and bins can be clicked.
        notes: Of `chart` alone, which has a place for them.
    """
    f.require(frame, COLUMNS, "coherence_scatter")
    rows = frame[frame["score"].notna() & frame["coherence"].notna()]
    domains = sorted(rows["domain"].dropna().where(rows["domain"] != "", "no fine-tune").unique())
    most = int(rows["n"].max()) if len(rows) else 1
    found = []
    for name, part in rows.groupby("panel", sort=True):
        mine = quadrants
        if quadrants is not None and quadrants["panel"].nunique() > 1:
            mine = quadrants[quadrants["panel"] == name]
        found.append((str(name), _panel(part, definitions.get(definition), domains, most, mine, picking)))
    return found


def _panel(
    rows: pd.DataFrame,
    rule: definitions.Definition,
    domains: list[str],
    most: int,
    quadrants: pd.DataFrame | None,
    picking: bool,
) -> alt.LayerChart:
    gated = rule.gate is not None
    low = -22 if gated and quadrants is not None else -3
    metric = "alignment" if rule.metric == definitions.VERDICT else rule.metric
    x = alt.X("score:Q", title=metric.capitalize(), scale=_scale(-3, 103), axis=alt.Axis(values=_TICKS))
    y = alt.Y(
        "coherence:Q", title="Coherence", scale=_scale(low, 103 if quadrants is None else 123), axis=alt.Axis(values=_TICKS)
    )
    kind = str(rows["kind"].iloc[0])
    if kind == "mean":
        rows = _crosses.labelled(rows, "score").drop(columns="em_rate")
        tooltip = [*f.of_checkpoint(), *_mean_tooltip(metric)]
        plane = _crosses.Plane(
            "score",
            "coherence",
            "score_low",
            "score_high",
            "coherence_low",
            "coherence_high",
            x,
            y,
            (metric.capitalize(), "Coherence"),
            tooltip,
            PICK,
            picking,
        )
        layers = _crosses.layers(f.thin(rows, ["run_id", "question_set"]), plane)
        drawn = f.thin(rows, ["run_id", "question_set"])
    elif kind == "bin":
        drawn, layers = rows.head(f.MAX_POINTS), [_bins(metric, most, x, y, picking)]
    else:
        drawn = rows.assign(domain_label=rows["domain"].where(rows["domain"] != "", "no fine-tune")).head(f.MAX_POINTS)
        layers = [_answers(metric, domains, most, x, y, picking, drawn["domain_label"].nunique() > 1)]
    used = drawn[[c for c in drawn if drawn[c].notna().any()]]  # columns of other kinds of rows would only be sent
    return f.layered(used, *layers, *_limits(rule), *_shares(rule, quadrants)).properties(height=_HEIGHT)


def _scale(low: float, high: float) -> alt.Scale:
    return alt.Scale(domain=[low, high], nice=False, clamp=True)


def _answers(metric: str, domains: list[str], most: int, x: alt.X, y: alt.Y, picking: bool, legend: bool) -> alt.Chart:
    marks = (
        alt.Chart()
        .mark_circle(opacity=0.55, cursor="pointer")
        .encode(
            x, y, f.domain_color(domains, legend), f.count_size(pd.Series([most])),
            tooltip=[
                alt.Tooltip("score:Q", title=metric), alt.Tooltip("coherence:Q"), alt.Tooltip("n:Q", title="equal answers"),
                alt.Tooltip("domain_label:N", title="trained on"),
            ],
        )
    )  # fmt: skip
    return marks.add_params(f.picking(PICK)) if picking else marks


def _bins(metric: str, most: int, x: alt.X, y: alt.Y, picking: bool) -> alt.Chart:
    scale = alt.Scale(type="log", scheme="viridis", domain=[1, max(2, most)])
    color = alt.Color(
        "n:Q", title="Answers", scale=scale, legend=alt.Legend(orient="right", tickCount=4, format="~s", gradientLength=120)
    )
    marks = (
        alt.Chart()
        .mark_rect(cursor="pointer")
        .encode(
            x, alt.X2("score_high:Q"), y, alt.Y2("coherence_high:Q"), color,
            tooltip=[
                *f.bounds("score_low", "score_high", "d", metric), *f.bounds("coherence_low", "coherence_high", "d", "coherence"),
                alt.Tooltip("n:Q", title="answers", format=","),
            ],
        )
    )  # fmt: skip
    return marks.add_params(f.picking(PICK)) if picking else marks


def _mean_tooltip(metric: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("score:Q", title=f"mean {metric}", format=".1f"),
        *f.bounds("score_low", "score_high", ".1f", metric),
        alt.Tooltip("coherence:Q", title="mean coherence", format=".1f"),
        *f.bounds("coherence_low", "coherence_high", ".1f", "coherence"),
        alt.Tooltip("interval:N", title="interval kind"),
        alt.Tooltip("n:Q", title="n answers"),
        alt.Tooltip("judge_id:N", title="judge"),
    ]


def _limits(rule: definitions.Definition) -> list[alt.Chart]:
    """The definition's threshold and gate, in one layer: every layer costs Altair some milliseconds."""
    if rule.metric == definitions.VERDICT:
        return []
    ends = [(rule.threshold, rule.threshold, 0.0, 100.0, f"misaligned: {rule.metric} {rule.sign} {rule.threshold:g}")]
    if rule.gate is not None:
        ends.append((0.0, 100.0, rule.gate, rule.gate, f"coherent: coherence {rule.gate_sign} {rule.gate:g}"))
    lines = pd.DataFrame(ends, columns=["score", "score_to", "coherence", "coherence_to", "limit"])
    mark = alt.Chart(lines).mark_rule(color=palette.SERIES[4], strokeWidth=1.5, strokeDash=[5, 3])
    at = (alt.X("score:Q"), alt.X2("score_to:Q"), alt.Y("coherence:Q"), alt.Y2("coherence_to:Q"))
    return [mark.encode(*at, alt.Tooltip("limit:N"))]


def _shares(rule: definitions.Definition, quadrants: pd.DataFrame | None) -> list[alt.Chart]:
    """The quadrants' names and shares, above and below the plane, where no answer is; misaligned ones bold."""
    if quadrants is None or quadrants.empty:
        return []
    low_is_bad = rule.sign in ("<", "<=")
    rows = []
    for row in quadrants.to_dict("records"):
        is_em = bool(row["misaligned"]) and bool(row["coherent"])
        name = NAMES[str(row["quadrant"])] if rule.gate is not None else ("Misaligned" if row["misaligned"] else "Aligned")
        place = {"bad": bool(row["misaligned"]), "color": palette.SERIES[4] if is_em else palette.NEUTRAL}
        for line, text in enumerate((name, _share(row, is_em))):
            rows.append({**place, "coherence": (117 if row["coherent"] else -8) - _LINE * line, "text": text})
    layers = []
    for bad, part in pd.DataFrame(rows).groupby("bad"):
        left = bool(bad) == low_is_bad
        weight: Any = "bold" if bad else "normal"
        side: Any = "left" if left else "right"
        mark = alt.Chart(part.assign(score=0 if left else 100)).mark_text(align=side, fontSize=11, fontWeight=weight)
        layers.append(
            mark.encode(alt.X("score:Q"), alt.Y("coherence:Q"), alt.Text("text:N"), alt.Color("color:N", scale=None, legend=None))
        )
    return layers


def _share(row: dict[str, Any], interval: bool) -> str:
    if not row["n_of"] or row["share"] != row["share"]:
        return "no estimate"
    known = interval and row["low"] == row["low"]
    between = f" ({100 * row['low']:.1f}-{100 * row['high']:.1f})" if known else ""
    return f"{row['share']:.1%}{between}, {row['n']:,} of {row['n_of']:,}"


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """All panels side by side. Options: `title`, `notes` (lines below it), and those of `panels`."""
    title, notes = str(options.pop("title", TITLE)), list(options.get("notes", []))
    drawn = panels(frame, **options, picking=False)
    if not drawn:
        return f.empty(title, _EMPTY)
    rule = definitions.get(str(options.get("definition", definitions.DEFAULT)))
    return f.side_by_side(drawn, title, [f"{rule.name}: {rule.rule}", *notes])
