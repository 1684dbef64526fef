"""Paired differences between two checkpoints, question by question, or between many runs and one: a forest, or a dumbbell."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from em_core.charts import frame as f
from em_core.charts import palette

TITLE = "Difference in EM rate"
COLUMNS = (
    "name", "group", "pooled", "n_misaligned_a", "base_a", "rate_a", "n_misaligned_b", "base_b", "rate_b", "difference", "ci_low",
    "ci_high", "p", "p_adjusted", "p_flip", "definition", "interval", "judge_id",
)  # fmt: skip
PICK = ("run_id", "step", "question_set", "name")
FOREST, DUMBBELL = "difference", "rates"
MOST = 60
_EMPTY = "Nothing was scored on both sides yet."
_ROW = 22
_MORE, _LESS = "#D55E00", "#1F7FBF"
_KINDS = ("more misaligned", "less misaligned", "not told apart")


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """One panel, the pooled row last.

    Options: `title`, `a` and `b` (names of the sides), `form` (`FOREST` or `DUMBBELL`), `notes`, `around` (height
    of title, axis and legend where the place counts them in, pixels). At most `MOST` rows are drawn, the largest
    differences; the subtitle says so.
    """
    f.require(frame, COLUMNS, "paired_differences")
    title = str(options.get("title", TITLE))
    rows = frame[frame["difference"].notna()].copy()
    if rows.empty:
        return f.empty(title, _EMPTY)
    notes = [*f.rules(rows.assign(run_id="")), *options.get("notes", ())]
    single = rows[~rows["pooled"].astype(bool)]
    if len(single) > MOST:
        kept = single.loc[single["difference"].abs().sort_values(ascending=False).index[:MOST]]
        notes.append(f"the {MOST} largest of {len(single)} differences")
        single = single.loc[sorted(kept.index)]
    rows = pd.concat([single.sort_values(["group", "difference"]), rows[rows["pooled"].astype(bool)]])
    several = single["group"].nunique() > 1
    rows["row"] = [f"{g} · {n}" if several and g else str(n) for n, g in zip(rows["name"], rows["group"], strict=True)]
    told = (rows["p_adjusted"].fillna(rows["p"]) < 0.05) & ~(rows["p_flip"] >= 0.05)
    rows["kind"] = (rows["difference"] > 0).map({True: _KINDS[0], False: _KINDS[1]}).where(told, _KINDS[2])
    names = _told_apart(str(options.get("a", "a")), str(options.get("b", "b")))
    draw = _dumbbell if options.get("form") == DUMBBELL else _forest
    named = [column for column in PICK if column in rows and column not in COLUMNS]
    drawn = draw(rows[[*COLUMNS, *named, "row", "kind"]], names)
    return drawn.properties(
        title=alt.TitleParams(title, anchor="start", subtitle=notes, subtitleColor=palette.NEUTRAL),
        height=max(90, _ROW * len(rows)) + int(options.get("around", 0)),
        width=2 * f.PANEL_WIDTH,
    )


def _told_apart(a: str, b: str) -> dict[str, str]:
    """Names of the sides; seeds of one recipe have one label, and in a tooltip the second of two equal titles would win."""
    return {"a": a, "b": b} if f.short(a, 40) != f.short(b, 40) else {"a": f"first, {a}", "b": f"second, {b}"}


def _forest(rows: pd.DataFrame, names: dict[str, str]) -> alt.LayerChart | alt.FacetChart:
    reach = min(1.0, 1.05 * float(max(0.1, rows[["ci_low", "ci_high", "difference"]].abs().max().max())))
    title = f"{f.short(names['b'], 30)} minus {f.short(names['a'], 30)}, points"
    x = alt.X(
        "difference:Q",
        title=title,
        scale=alt.Scale(domain=[-reach, reach], nice=False),
        axis=alt.Axis(labelExpr="format(datum.value * 100, '+.0f')"),
    )
    base = _base(rows)
    zero = alt.Chart(pd.DataFrame({"x": [0]})).mark_rule(color=palette.NEUTRAL, strokeDash=[4, 4]).encode(x="x:Q")
    return alt.layer(
        zero,
        base.mark_rule(strokeWidth=2).encode(alt.X("ci_low:Q", title=title), alt.X2("ci_high:Q")),
        _points(base).encode(x, _shape(), tooltip=_tooltip(names)),
        data=rows,
    )


def _dumbbell(rows: pd.DataFrame, names: dict[str, str]) -> alt.LayerChart | alt.FacetChart:
    title = f"EM rate: {names['a']} (hollow), {names['b']} (filled)"
    axis, scale = alt.Axis(format=".0%"), alt.Scale(domain=[0, 1])
    base = _base(rows)
    return alt.layer(
        base.mark_rule(strokeWidth=2, opacity=0.6).encode(
            alt.X("rate_a:Q", title=title, scale=scale, axis=axis), alt.X2("rate_b:Q")
        ),
        base.mark_point(filled=False, size=70, strokeWidth=1.8).encode(alt.X("rate_a:Q", scale=scale), tooltip=_tooltip(names)),
        _points(base).encode(alt.X("rate_b:Q", scale=scale), _shape(), tooltip=_tooltip(names)),
        data=rows,
    )


def _base(rows: pd.DataFrame) -> alt.Chart:
    colors = alt.Scale(domain=list(_KINDS), range=[_MORE, _LESS, palette.NEUTRAL])
    return alt.Chart().encode(
        y=alt.Y("row:N", title=None, sort=rows["row"].tolist(), axis=alt.Axis(labelLimit=220, labelOverlap=False)),
        color=alt.Color("kind:N", title=None, scale=colors, legend=alt.Legend(orient="bottom", symbolType="circle", columns=2)),
    )


def _points(base: alt.Chart) -> alt.Chart:
    return base.mark_point(filled=True, size=90, opacity=1).add_params(f.picking(PICK))


def _shape() -> alt.Shape:
    return alt.Shape("pooled:N", scale=alt.Scale(domain=[False, True], range=["circle", "diamond"]), legend=None)


def _tooltip(names: dict[str, str]) -> list[alt.Tooltip]:
    sides = [
        alt.Tooltip(f"{column}_{side}:Q", title=f"{word} {f.short(names[side], 40)}", format=form)
        for side in "ab"
        for column, word, form in (("rate", "EM rate,", ".1%"), ("n_misaligned", "misaligned,", "d"), ("base", "n,", "d"))
    ]
    return [
        alt.Tooltip("row:N", title="compared on"),
        alt.Tooltip("difference:Q", title="difference", format="+.1%"),
        *f.bounds(form="+.1%"),
        alt.Tooltip("p:Q", title="p", format=".2g"),
        alt.Tooltip("p_adjusted:Q", title="p, corrected", format=".2g"),
        *sides,
        alt.Tooltip("interval:N", title="interval kind"),
        alt.Tooltip("definition:N", title="definition"),
        alt.Tooltip("judge_id:N", title="judge"),
    ]
