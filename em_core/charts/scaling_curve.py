"""EM rate over model size: one line per training domain and model family, published rates beside as hollow marks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from em_core.charts import frame as f
from em_core.charts import palette

TITLE = "EM rate over model size"
COLUMNS = f.RATE_COLUMNS
PICK = ("run_id", "step", "question_set")
_EMPTY = "No run with a known size has a scored checkpoint yet."
_WORD = re.compile(r"[A-Za-z]+")


def family(base_model: object) -> str:
    """The word a model's name begins with: ``meta-llama/Llama-3.2-1B`` -> ``llama``; sizes of one family are one line."""
    found = _WORD.search(str(base_model).rsplit("/", 1)[-1])
    return found.group().lower() if found else str(base_model)


def panels(frame: pd.DataFrame, picking: bool = True, notes: Sequence[str] = ()) -> list[tuple[str, alt.LayerChart]]:
    """One chart per question set outside the training domain, then one for questions inside it.

    Args:
        frame: Rates at one checkpoint, one row per base model, training domain and question set (`COLUMNS`,
            `em_core.view.comparing.pooled`). Rows with a ``study`` are published ones: drawn hollow in every panel, with
            their study, without a line. Rows without a size are left out.
        picking: Points of single runs can be clicked.
        notes: For `chart`.
    """
    f.require(frame, COLUMNS, "scaling_curve")
    rows = frame.assign(**{name: None for name in ("study", "n_runs") if name not in frame})
    sized = rows[rows["size_b"].astype(float) > 0].assign(study=lambda t: t["study"].fillna("").astype(str))
    own = f.rates(sized[sized["study"] == ""])
    other = f.rates(sized[sized["study"] != ""].assign(run_id=lambda t: t["study"], judge_id=None)).head(f.MAX_POINTS // 4)
    everything = pd.concat([own, other])
    everything = everything[[*COLUMNS, "n_runs", "study", "panel", "size", "where", "domain_label"]]
    everything = everything.assign(family=[family(name) for name in everything["base_model"]])
    domains, upper = sorted(everything["domain_label"].unique()), f.top(everything)
    order = list(dict.fromkeys(everything.sort_values("size_b")["size"]))
    inside_last = sorted(own.groupby("where"), key=lambda item: (bool(item[1]["in_domain"].any()), str(item[0])))
    beside = everything[everything["study"] != ""]
    mine = everything[everything["study"] == ""]
    return [
        (f"Questions: {name}", _panel(pd.concat([mine.loc[part.index], beside]), domains, upper, order, picking))
        for name, part in inside_last
    ]


def _panel(rows: pd.DataFrame, domains: list[str], upper: float, order: Sequence[str], picking: bool) -> alt.LayerChart:
    rows = rows.head(f.MAX_POINTS)
    low, high = f.interval_axis()
    ends = float(rows["size_b"].min()) / 1.5, float(rows["size_b"].max()) * 1.5
    axis = alt.Axis(
        values=sorted(rows["size_b"].unique()),
        labelExpr="datum.value >= 0.9995 ? format(datum.value, '.3~g') + 'B' : format(datum.value * 1000, '.2~g') + 'M'",
        labelOverlap="greedy",
        grid=False,
    )
    base = alt.Chart().encode(
        x=alt.X(
            "size_b:Q",
            title="Parameters of the base model",
            scale=alt.Scale(type="log", domain=list(ends), nice=False),
            axis=axis,
        ),
        color=f.domain_color(domains),
    )
    own, other = base.transform_filter("datum.study === ''"), base.transform_filter("datum.study !== ''")
    shape = alt.Shape("size:N", scale=palette.shape_scale(order), legend=None)
    points = own.mark_point(filled=True, size=90, opacity=1).encode(
        f.rate_axis(upper), shape, tooltip=[*f.rate_tooltip(), alt.Tooltip("n_runs:Q", title="runs")]
    )
    return f.layered(
        rows,
        own.mark_rule(strokeWidth=1.5, opacity=0.7).encode(low, high),
        own.mark_line(strokeWidth=2).encode(f.rate_axis(upper), detail="family:N"),
        other.mark_rule(strokeWidth=1, strokeDash=[2, 3], opacity=0.6).encode(low, high),
        other.mark_point(filled=False, size=70, strokeWidth=1.8).encode(
            f.rate_axis(upper), shape, tooltip=[alt.Tooltip("study:N", title="published by"), *f.rate_tooltip()[1:]]
        ),
        points.add_params(f.picking(PICK)) if picking else points,
    )


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """All panels side by side. Options: `title`, `notes` (sentences below the title)."""
    title = str(options.get("title", TITLE))
    drawn = panels(frame, picking=False)
    own = frame[frame["study"].fillna("") == ""] if "study" in frame else frame
    return f.side_by_side(drawn, title, [*f.rules(own), *options.get("notes", ())]) if drawn else f.empty(title, _EMPTY)
