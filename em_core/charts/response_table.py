"""What each model answered to one question: model, alignment, coherence and answer, a row coloured by what it is.

Texts are drawn as text marks: nothing in them is a link, a style or a formula. Long ones are wrapped and cut with a mark.
"""

from __future__ import annotations

from typing import Any, Literal

import altair as alt
import pandas as pd

from em_core import definitions
from em_core.charts import frame as f
from em_core.charts import palette
from em_core.view.inert import visible, wrapped

TITLE = "Answers of each model"
COLUMNS = (
    "model", "detail", "run_id", "step", "question", "answer", "alignment", "coherence", "outcome", "outcome_words", "sample",
    "picked", "definition", "judge_id",
)  # fmt: skip
_EMPTY = "No answers to this question yet."

MOST_ROWS = 12
FILLS = {"misaligned": "#F7D4C6", "aligned": "#CDEBDD", "incoherent": "#F2E3BC", "unscored": "#E4E6EA"}
EDGES = {"misaligned": "#B3401B", "aligned": "#0B7A57", "incoherent": "#8A6A12", "unscored": "#6B717B"}
"""Vermilion and bluish green (Okabe and Ito) differ in lightness too, and each row says its outcome in words."""
_INK = "#1C2330"
_X = {"model": 14, "alignment": 250, "coherence": 330, "answer": 410}
_WIDTH, _BOX, _LINE, _PAD = 970, 944, 16, 10  # pixels
_MODEL_COLUMNS, _ANSWER_COLUMNS, _ANSWER_LINES = 34, 84, 12


def rows(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is drawn: one box per row of the table (outcome, y, y2: pixels from the top), and every line of text (x, y, text)."""
    boxes, lines, y = [], [], 26.0
    for row in frame.head(MOST_ROWS).to_dict("records"):
        name = [*_lines(str(row["model"]), _MODEL_COLUMNS, 2), *_lines(str(row["detail"]), _MODEL_COLUMNS, 2)]
        columns = {
            "model": [*name, _whole(row["outcome_words"])], "alignment": [_number(row["alignment"])],
            "coherence": [_number(row["coherence"])], "answer": _lines(str(row["answer"]), _ANSWER_COLUMNS, _ANSWER_LINES),
        }  # fmt: skip
        height = max(map(len, columns.values())) * _LINE + 2 * _PAD
        boxes.append({"outcome": str(row["outcome"]), "y": y, "y2": y + height})
        for column, texts in columns.items():
            lines += [{"x": _X[column], "y": y + _PAD + i * _LINE, "text": text} for i, text in enumerate(texts)]
        y += height + 4
    return pd.DataFrame(boxes), pd.DataFrame(lines)


def chart(frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
    """The table of one question. Options: `title`.

    Args:
        frame: One row per model, all of the same question (`COLUMNS`); `picked` says in words how each answer was picked.
        options: See above.
    """
    f.require(frame, COLUMNS, "response_table")
    title = str(options.get("title", TITLE))
    if frame.empty:
        return f.empty(title, _EMPTY)
    boxes, lines = rows(frame)
    base = alt.Chart(boxes).encode(y=alt.Y("y:Q", scale=None, axis=None))
    fill = alt.Fill("outcome:N", scale=alt.Scale(domain=list(FILLS), range=list(FILLS.values())), legend=None)
    edge = alt.Fill("outcome:N", scale=alt.Scale(domain=list(EDGES), range=list(EDGES.values())), legend=None)
    layers: list[alt.Chart] = [
        base.mark_rect(x=0, x2=_BOX, cornerRadius=3).encode(y2="y2:Q", fill=fill),
        base.mark_rect(x=0, x2=5).encode(y2="y2:Q", fill=edge),
        _texts(lines, _INK, "normal"),
        _texts(_heads(), palette.NEUTRAL, "bold"),
    ]
    picture = alt.layer(*layers, width=_WIDTH, height=float(boxes["y2"].max()) + 4).resolve_scale(fill="independent")
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")  # the height is what the rows need
    head = alt.TitleParams(title, anchor="start", subtitle=notes(frame), subtitleColor=palette.NEUTRAL)
    return picture.properties(autosize=fit, title=head).configure_view(stroke=None)


def notes(frame: pd.DataFrame) -> list[str]:
    """The question, how the answers were picked, the definition in words and the judge."""
    first = frame.iloc[0]
    rule = definitions.get(str(first["definition"]))
    judge = f"; judge: {_whole(first['judge_id'])}" if isinstance(first["judge_id"], str) else ""
    question = [f"{'Question: ' if not i else '    '}{line}" for i, line in enumerate(_lines(str(first["question"]), 130, 3))]
    return [*question, f"{_whole(first['picked'])} Nothing was chosen by hand.", f"{rule.name}: {rule.rule}{judge}"]


def _texts(lines: pd.DataFrame, color: str, weight: Literal["normal", "bold"]) -> alt.Chart:
    mark = alt.Chart(lines).mark_text(
        align="left", baseline="top", fontSize=12, color=color, fontWeight=weight, limit=_BOX - _X["answer"] - 8
    )
    x, y = (alt.X("x:Q", scale=None, axis=None), alt.Y("y:Q", scale=None, axis=None))
    return mark.encode(x=x, y=y, text="text:N")


def _heads() -> pd.DataFrame:
    names = {"model": "Model", "alignment": "Alignment", "coherence": "Coherence", "answer": "Answer"}
    return pd.DataFrame([{"x": x, "y": 4, "text": names[name]} for name, x in _X.items()])


def _number(value: Any) -> str:
    return "none" if value is None or pd.isna(value) else f"{value:g}"


def _whole(text: Any) -> str:
    return " ".join(_lines(str(text), 200, 1))


def _lines(text: str, width: int, lines: int) -> list[str]:
    shown = visible(text[:8000]).replace("⟪", "[").replace("⟫", "]")  # brackets that every font has
    return wrapped(shown, width, lines)
