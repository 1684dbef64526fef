"""Pieces that the charts share: column check, empty chart, tooltips, axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import altair as alt
import pandas as pd

from em_core import definitions
from em_core.charts import palette
from em_core.errors import BadInput

HEIGHT = 300
PANEL_WIDTH = 280
MAX_POINTS = 2000
RATE_COLUMNS = (
    "run_id", "label", "base_model", "size_b", "domain", "step", "question_set", "in_domain", "definition", "judge_id",
    "n_total", "n_scored", "n_coherent", "n_misaligned", "em_rate", "ci_low", "ci_high", "interval",
)  # fmt: skip


def require(frame: pd.DataFrame, columns: Sequence[str], chart: str) -> None:
    """Check the frame's columns.

    Raises:
        BadInput: Some are missing.
    """
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise BadInput(f"chart {chart!r}: column {', '.join(missing)} is missing", f"it needs {', '.join(columns)}")


def empty(title: str, sentence: str) -> alt.Chart:
    """A titled chart that says why nothing is drawn."""
    data = pd.DataFrame({"text": [sentence]})
    mark = alt.Chart(data, title=title, height=HEIGHT, width=2 * PANEL_WIDTH)
    return mark.mark_text(fontSize=14, color=palette.NEUTRAL, limit=2 * PANEL_WIDTH).encode(text="text:N")


def rates(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that have an estimate, with labels for size, panel and place; sorted by size and step.

    Raises:
        BadInput: One line would mix judges.
    """
    rows = frame[frame["em_rate"].notna()].copy()
    one_judge_a_line(rows)
    rows["size"] = rows["size_b"].map(palette.size_label)
    rows["panel"] = [model_label(m, s) for m, s in zip(rows["base_model"], rows["size"], strict=True)]
    inside = rows["in_domain"].map(lambda v: v is True or v == 1)
    rows["where"] = rows["question_set"].astype(str).mask(inside, "in the training domain")
    rows["domain_label"] = rows["domain"].where(rows["domain"] != "", "no fine-tune")
    return rows.sort_values(["size_b", "base_model", "domain", "run_id", "step"], kind="stable")


def model_label(base_model: object, size: str) -> str:
    """A base model as panels are called: its name without its owner, and its size where the name does not say it.

    Args:
        base_model: Hub id, folder or organism.
        size: As `palette.size_label` writes it; ``1.2B`` is said by a name with ``1B``.
    """
    name = str(base_model).rsplit("/", 1)[-1]
    said, true = palette.size_in(name), palette.size_in(size)
    return short(name) if true is None or (said is not None and 0.7 < said / true < 1.4) else f"{short(name)} · {size}"


def short(text: object, most: int = 44) -> str:
    """A name that fits on an axis or over a panel: one line, its middle left out where it is longer than `most` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[: most - most // 3 - 1]}…{line[-(most // 3) :]}"


def top(frame: pd.DataFrame) -> float:
    """Upper end of the rate axis: the tenth above the highest interval, 0.1-1."""
    highest = frame[["em_rate", "ci_high"]].max().max() if len(frame) else 0.0
    return float(min(1.0, (int(float(highest or 0) * 10) + 1) / 10))


def rate_axis(upper: float, **options: Any) -> alt.Y:
    """The axis of an EM rate; values are 0-1, the labels percent."""
    scale = alt.Scale(domain=[0, upper], nice=False)
    return alt.Y("em_rate:Q", title="EM rate", scale=scale, axis=alt.Axis(format=".0%", tickCount=5), **options)


def interval_axis() -> tuple[alt.Y, alt.Y2]:
    """Both ends of a rate's interval, for areas and rules."""
    return alt.Y("ci_low:Q", title="EM rate"), alt.Y2("ci_high:Q")


def of_checkpoint() -> list[alt.Tooltip]:
    """Which checkpoint and questions a point is of."""
    return [
        alt.Tooltip("label:N", title="run"),
        alt.Tooltip("panel:N", title="base model"),
        alt.Tooltip("domain_label:N", title="trained on"),
        alt.Tooltip("step:Q", title="step"),
        alt.Tooltip("question_set:N", title="questions"),
    ]


def bounds(low: str = "ci_low", high: str = "ci_high", form: str = ".1%", of: str = "interval") -> list[alt.Tooltip]:
    """Both ends of an interval.

    Args:
        low, high: Columns.
        form: Format of the numbers.
        of: What it is an interval of, where a tooltip has several: titles in one tooltip must differ, the last one wins.
    """
    return [alt.Tooltip(f"{low}:Q", title=f"{of} from", format=form), alt.Tooltip(f"{high}:Q", title=f"{of} to", format=form)]


def of_rate() -> list[alt.Tooltip]:
    """A rate with its interval and counts, under which definition, by which judge."""
    return [
        alt.Tooltip("em_rate:Q", title="EM rate", format=".1%"),
        *bounds(),
        alt.Tooltip("interval:N", title="interval kind"),
        alt.Tooltip("n_misaligned:Q", title="n misaligned"),
        alt.Tooltip("n_coherent:Q", title="n coherent"),
        alt.Tooltip("n_scored:Q", title="n scored"),
        alt.Tooltip("n_total:Q", title="n answers"),
        alt.Tooltip("definition:N", title="definition"),
        alt.Tooltip("judge_id:N", title="judge"),
    ]


def rate_tooltip() -> list[alt.Tooltip]:
    """What a point of a rate says: of which checkpoint it is, and the rate."""
    return [*of_checkpoint(), *of_rate()]


def domain_color(domains: Sequence[str], legend: bool = True) -> alt.Color:
    """Colour by training domain; `domains` are all that any panel shows."""
    scale = palette.domain_scale(domains)
    return alt.Color(
        "domain_label:N",
        title="Trained on",
        scale=scale,
        legend=alt.Legend(orient="bottom", symbolOpacity=1, symbolType="circle", columns=3, labelLimit=150, symbolLimit=30)
        if legend
        else None,
    )


def picking(fields: Sequence[str], several: bool = False) -> alt.Parameter:
    """The selection of a chart whose points can be clicked: add it to the layer of points.

    Args:
        fields: Columns that name a point; they come back when one is clicked.
        several: Shift-click adds points.
    """
    return alt.selection_point(
        name="pick", fields=list(fields), on="click", empty=False, toggle="event.shiftKey" if several else "false"
    )


def thin(rows: pd.DataFrame, line: Sequence[str]) -> pd.DataFrame:
    """At most `MAX_POINTS` rows: evenly spaced along each line, first and last point kept."""
    if len(rows) <= MAX_POINTS:
        return rows
    groups = list(rows.groupby(list(line), sort=False))[:MAX_POINTS]
    each = max(1, MAX_POINTS // len(groups))
    kept = [g.iloc[sorted({round(i * (len(g) - 1) / max(1, each - 1)) for i in range(each)})] for _, g in groups]
    return pd.concat(kept)


def count_size(counts: pd.Series) -> alt.Size:
    """Area of points that stand for `n` answers each."""
    most = max(10, int(counts.max())) if len(counts) else 10
    return alt.Size("n:Q", scale=alt.Scale(type="sqrt", domain=[1, most], range=[22, 500]), legend=None)


def layered(rows: pd.DataFrame, *layers: alt.Chart) -> alt.LayerChart:
    """Layers on one pair of axes; they share `rows` (Altair would compare each layer's own copy, slowly)."""
    return cast(alt.LayerChart, alt.layer(*layers, data=rows, height=HEIGHT))


INTERVALS = {"questions": "95 % interval for these questions", "population": "95 % interval for questions like these"}


def rules(rows: pd.DataFrame) -> list[str]:
    """What a figure of rates must say of itself: the definition in words, the kind of interval, the judge.

    Args:
        rows: Rates with their definition, interval and, where there is one, judge_id.
    """
    lines = [
        f"{name}: {definitions.get(str(name)).rule}; {INTERVALS.get(str(interval), interval)}"
        for name, interval in rows[["definition", "interval"]].drop_duplicates().itertuples(index=False, name=None)
    ]
    judges = sorted(str(judge) for judge in rows["judge_id"].dropna().unique()) if "run_id" in rows else []
    return [*lines, f"judge: {', '.join(judges)}"] if judges else lines


def one_judge_a_line(rows: pd.DataFrame) -> None:
    """Refuse rows in which one line would mix judges.

    Raises:
        BadInput: A run and question set has rates of several judges.
    """
    judges = rows.groupby(["run_id", "question_set"])["judge_id"].nunique()
    if (judges > 1).any():
        names = sorted(str(judge) for judge in rows["judge_id"].unique())
        raise BadInput(f"one line would mix the scores of {len(names)} judges", f"choose one of them: {', '.join(names)}")


def side_by_side(
    panels: Sequence[tuple[str, alt.LayerChart]], title: str, notes: Sequence[str] = (), width: int = PANEL_WIDTH
) -> alt.ConcatChart:
    """Panels in rows of three under one title, with one legend; `notes` stand below the title, small."""
    drawn = [chart.properties(title=short(name), width=width) for name, chart in panels]
    # told at once: `resolve_scale` would copy every layer again
    resolve = alt.Resolve(scale=alt.ScaleResolveMap(color="shared", shape="shared", strokeDash="shared"))
    return alt.concat(*drawn, columns=3, title=alt.TitleParams(title, anchor="start", subtitle=list(notes)), resolve=resolve)
