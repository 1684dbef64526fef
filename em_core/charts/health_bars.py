"""Health of the answers: share that is cut off, empty, refused, code, loops or copies, before and after the fine-tune."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from em_core.charts import frame as f
from em_core.charts import palette
from em_core.health.signs import ANSWER_SIGNS, JUDGE_SIGNS, SIGNS, shares

TITLE = "Health of the answers"
COLUMNS = (
    "run_id", "label", "base_model", "size_b", "domain", "step", "question_set", "in_domain", "judge_id", "mean_words",
    *dict.fromkeys(column for sign in SIGNS for column in (sign.base, sign.count)),
)  # fmt: skip
_EMPTY = "No answers have been measured yet."
_START = "no fine-tune"
_CELL = ["run_id", "step", "question_set", "in_domain"]
_NUMBERS = list(dict.fromkeys(column for sign in SIGNS for column in (sign.base, sign.count)))


def compared(frame: pd.DataFrame) -> pd.DataFrame:
    """Counts of the starting models and of every run's last checkpoint, pooled over runs and questions.

    Args:
        frame: Health, one row per run, step, question set, in_domain and judge (`COLUMNS`). The reasons of
            the judge are kept only where it is one judge's.

    Returns:
        One row per base model and training domain (``no fine-tune`` for step 0): panel, size_b,
        domain_label, the counts, and mean_words of the measured answers.
    """
    rows = frame.copy()
    if rows["judge_id"].nunique() > 1:
        rows[[sign.count for sign in JUDGE_SIGNS]] = 0
    rows = rows.drop_duplicates(_CELL)
    trained = rows[rows["step"] > 0]
    last = trained[trained["step"] == trained.groupby("run_id")["step"].transform("max")]
    # the same step-0 answers are shown under every run of a base model: count them once
    start = rows[rows["step"] == 0].assign(domain="").drop_duplicates(["base_model", "question_set", "mean_words", *_NUMBERS])
    rows = pd.concat([start, last])
    rows["panel"] = [f.model_label(m, palette.size_label(s)) for m, s in zip(rows["base_model"], rows["size_b"], strict=True)]
    rows["domain_label"] = rows["domain"].where(rows["domain"] != "", _START)
    rows["size_b"] = rows["size_b"].astype(float).fillna(0.0)
    rows["n_words"] = (rows["mean_words"] * rows["n_measured"]).fillna(0.0)
    counts = rows.groupby(["size_b", "panel", "domain_label"], as_index=False, sort=True)[[*_NUMBERS, "n_words"]].sum()
    return counts.assign(mean_words=counts["n_words"] / counts["n_measured"].where(counts["n_measured"] > 0))


def lengths(frame: pd.DataFrame) -> list[str]:
    """Mean length of the same answers in words, a phrase per base model: ``8B: 147 words before, medical 220``."""
    phrases: dict[str, list[str]] = {}
    rows = compared(frame).dropna(subset=["mean_words"])
    for row in rows.sort_values("domain_label", key=lambda names: names != _START, kind="stable").to_dict("records"):
        mean = f"{row['mean_words']:.0f}"
        phrases.setdefault(str(row["panel"]), []).append(
            f"{mean} words before" if row["domain_label"] == _START else f"{row['domain_label']} {mean}"
        )
    return [f"{panel}: {', '.join(parts)}" for panel, parts in phrases.items()]


def panels(frame: pd.DataFrame) -> list[tuple[str, alt.LayerChart]]:
    """One chart per base model, smallest first. Reasons of the judge are shown where there are any.

    Args:
        frame: As for `compared`.
    """
    f.require(frame, COLUMNS, "health_bars")
    counts = compared(frame)
    signs = [*ANSWER_SIGNS, *(sign for sign in JUDGE_SIGNS if counts[sign.count].sum())]
    rows = shares(counts, signs, ["panel", "domain_label"])
    upper = min(1.0, (int(float(rows["share_high"].max()) * 10) + 1) / 10) if len(rows) else 1.0
    order = [sign.label for sign in signs]
    series = sorted(rows["domain_label"].unique(), key=lambda name: (name != _START, name))
    return [(str(name), _panel(part, order, series, upper)) for name, part in rows.groupby("panel", sort=False)]


def _panel(rows: pd.DataFrame, order: list[str], series: list[str], upper: float) -> alt.LayerChart:
    axis = alt.Axis(format=".0%", tickCount=5)
    scale = alt.Scale(domain=[0, upper], nice=False)
    shown = [label for label in order if label in set(rows["sign_label"])]
    colors = alt.Scale(domain=series, range=[palette.NEUTRAL if name == _START else palette.color_of(name) for name in series])
    base = alt.Chart().encode(
        y=alt.Y("sign_label:N", title=None, sort=shown, axis=alt.Axis(labelLimit=220, labelOverlap=False)),
        yOffset=alt.YOffset("domain_label:N", title=None, sort=series),
        color=alt.Color(
            "domain_label:N", title="Trained on", scale=colors, legend=alt.Legend(orient="bottom", symbolOpacity=1, columns=2)
        ),
    )
    tooltip = [
        alt.Tooltip("sign_label:N", title="sign"),
        alt.Tooltip("sign_rule:N", title="an answer shows it when"),
        alt.Tooltip("panel:N", title="base model"),
        alt.Tooltip("domain_label:N", title="trained on"),
        alt.Tooltip("share:Q", title="share", format=".1%"),
        *f.bounds("share_low", "share_high"),
        alt.Tooltip("n:Q", title="answers that show it"),
        alt.Tooltip("n_of:Q", title="answers looked at"),
    ]
    x = alt.X("share:Q", title="Share of the answers", scale=scale, axis=axis)
    drawn = f.layered(
        rows,
        base.mark_bar(opacity=0.35).encode(x),
        base.mark_rule(strokeWidth=2).encode(alt.X("share_low:Q", title="Share of the answers"), alt.X2("share_high:Q")),
        base.mark_point(filled=True, size=50, opacity=1).encode(x, tooltip=tooltip),
    )
    return drawn.properties(height=max(f.HEIGHT, len(shown) * (14 + 14 * len(series))))


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """All panels side by side. Options: `title`, `notes` (lines below the title)."""
    title = str(options.get("title", TITLE))
    drawn = panels(frame)
    if not drawn:
        return f.empty(title, _EMPTY)
    lines = [
        "share of answers that show a sign, with its 95 % interval (Wilson): the starting model, and each run's last checkpoint"
    ]
    judges = frame["judge_id"].dropna().unique()
    if len(judges) == 1:
        lines.append(f"reasons without a score: {judges[0]}")
    return f.side_by_side(drawn, title, [*lines, *options.get("notes", ())])
