"""EM rate by training domain and question set: does harm stay where it was taught?"""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from em_core import definitions
from em_core.charts import frame as f
from em_core.charts import palette

TITLE = "EM rate by training domain and questions"
COLUMNS = (
    "run_id", "label", "domain", "step", "question_set", "in_domain", "definition", "judge_id", "n_total", "n_scored",
    "n_coherent", "n_misaligned", "em_rate", "ci_low", "ci_high", "interval", "n_runs",
)  # fmt: skip
PICK = ("run_id", "step", "question_set")
OWN = "own domain"
_EMPTY = "No run has a scored checkpoint yet."
_CELL = 64
_MOST = 40  # domains, and question sets: more cannot be read


def grid(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Every cell of the map, its words, and both orders.

    Question sets outside every training domain come first, then each domain's own in the order of the domains, so that
    the cells of a domain's own questions lie on a diagonal. A set that asks both about a run's domain and about
    others has a column for each.

    Returns:
        The cells (also those without an estimate, ``state`` says why: ``no estimate`` or ``not asked``), domains, columns.
    """
    rows = frame.copy()
    rows["domain_label"] = rows["domain"].where(rows["domain"] != "", "no fine-tune")
    inside = rows["in_domain"].map(lambda v: v is True or v == 1).astype(bool)
    mixed = rows.groupby(["domain_label", "question_set"])["in_domain"].transform("nunique") > 1
    both = rows["question_set"].isin(rows.loc[mixed, "question_set"])
    rows["column"] = rows["question_set"].astype(str).mask(both & inside, rows["question_set"].astype(str) + ", " + OWN)
    rows["own"] = inside
    domains = sorted(rows["domain_label"].unique(), key=lambda name: (name == "no fine-tune", name))[:_MOST]
    first_owner = rows[inside].groupby("column")["domain_label"].min()
    place = {name: i for i, name in enumerate(domains)}
    columns = sorted(
        rows["column"].unique(),
        key=lambda name: (name in first_owner, place.get(first_owner.get(name), 0), "general" not in name, name),
    )[:_MOST]
    every = pd.MultiIndex.from_product([domains, columns], names=["domain_label", "column"]).to_frame(index=False)
    cells = every.merge(rows.drop_duplicates(["domain_label", "column"]), on=["domain_label", "column"], how="left")
    cells["own"] = cells["own"].fillna(False).astype(bool)
    cells["state"] = cells["em_rate"].notna().map({True: "rate", False: "no estimate"}).mask(cells["n_total"].isna(), "not asked")
    coherent = cells["definition"].map(lambda name: isinstance(name, str) and definitions.get(name).denominator == "coherent")
    base = cells["n_coherent"].where(coherent, cells["n_scored"]).fillna(0).astype(int)
    shown = cells["em_rate"].map(lambda rate: "" if pd.isna(rate) else f"{rate:.0%}")
    cells["words"] = shown.where(cells["state"] == "rate", cells["state"].map({"no estimate": "no estimate", "not asked": "–"}))
    cells["count"] = base.map(lambda n: f"n = {n:,}").where(cells["state"] == "rate", "")
    return cells, domains, columns


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """One panel. Options: `title`, `notes` (sentences below the title), `around` (as in `paired_differences`)."""
    f.require(frame, COLUMNS, "domain_heatmap")
    title = str(options.get("title", TITLE))
    if frame.empty:
        return f.empty(title, _EMPTY)
    cells, domains, columns = grid(frame)
    base = alt.Chart().encode(
        x=alt.X(
            "column:N", title="Questions", sort=columns, axis=alt.Axis(labelAngle=-25 if len(columns) > 4 else 0, orient="top")
        ),
        y=alt.Y("domain_label:N", title="Trained on", sort=domains),
    )
    highest = float(max(0.1, cells["em_rate"].max(skipna=True) or 0.1)) if cells["em_rate"].notna().any() else 1.0
    scale = alt.Scale(scheme="oranges", domain=[0, highest])
    legend = alt.Legend(format=".0%", gradientLength=max(60, _CELL * len(domains) - 48))
    rate = "datum.state === 'rate'"
    filled = base.transform_filter(rate).mark_rect().encode(alt.Color("em_rate:Q", scale=scale, title="EM rate", legend=legend))
    # invisible, on top of the texts: whatever is hit in a cell, the cell answers
    cover = base.transform_filter(rate).mark_rect(fillOpacity=0).encode(
        tooltip=[
            alt.Tooltip("domain_label:N", title="trained on"), alt.Tooltip("question_set:N", title="questions"),
            alt.Tooltip("own:N", title="own domain"), *f.of_rate(), alt.Tooltip("n_runs:Q", title="runs"),
        ],
    )  # fmt: skip
    missing = base.transform_filter(f"!({rate})").mark_rect(
        fillOpacity=0, stroke=palette.NEUTRAL, strokeDash=[3, 3], strokeOpacity=0.7
    )
    outline = base.transform_filter("datum.own").mark_rect(fillOpacity=0, stroke=palette.SERIES[2], strokeWidth=3)
    ink = alt.condition(f"{rate} && datum.em_rate > {0.62 * highest}", alt.value("#FFFFFF"), alt.value("#1A1A1A"))
    text = base.transform_filter(rate).encode(text="words:N", color=ink)
    nothing = base.transform_filter(f"!({rate})").mark_text(color=palette.NEUTRAL, fontSize=11).encode(text="words:N")
    layers = [
        filled,
        missing,
        outline,
        text.mark_text(fontSize=15, fontWeight="bold", dy=-6),
        text.mark_text(fontSize=10, dy=11).encode(text="count:N"),
        nothing,
        cover.add_params(f.picking(PICK)),
    ]
    notes = [*f.rules(frame), "outlined: questions in the run's own training domain", *options.get("notes", ())]
    columns_sent = [c for c in (*COLUMNS, "domain_label", "column", "own", "state", "words", "count") if c in cells]
    return alt.layer(*layers, data=cells[columns_sent]).properties(
        title=alt.TitleParams(title, anchor="start", subtitle=notes, subtitleColor=palette.NEUTRAL),
        height=max(140, _CELL * len(domains)) + int(options.get("around", 0)),
        width=max(280, 110 * len(columns)),
    )
