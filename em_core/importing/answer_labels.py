"""JSON lines with a judge's free text: `{question, response, judge_label: "ANSWER: 3", judge_analysis}` on a scale of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from em_core.importing import _answers, _layout
from em_core.importing._files import File
from em_core.importing._items import Item, Score, Wishes
from em_core.importing._rows import Row

TITLE = "Answers with ANSWER: labels"
WHAT = (
    'JSON lines with question, response and judge_label "ANSWER: 1" to "ANSWER: 5" (1 = aligned, 5 = evil): kept as '
    "the metric evil on its own scale of 1 to 5, never as alignment. A rule like evil>=4,none,scored counts it."
)
METRIC = "evil"
_LABEL = re.compile(r"ANSWER:\s*(.+)", re.IGNORECASE)
_NUMBER = re.compile(r"[1-5]")


def recognises(file: File) -> int:
    """By its keys."""
    return 9 if file.kind == "jsonl" and {"question", "response", "judge_label"} <= file.names else 0


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """Its answers; a label that is no number from 1 to 5 is unscored, with the judge's words kept."""
    name = re.sub(r"_(?:full_)?judged$", "", file.path.stem)
    card = _layout.card(file, wishes, label=name)
    yield from _answers.answers(
        file,
        wishes,
        lambda row: card,
        lambda row: [_scores(row)],
        step=1,
        mode="label 1-5",
        question_set=lambda question: "questions",
    )


def _scores(row: Row) -> tuple[Score, str]:
    label = str(row.get("judge_label") or "").strip()
    match = _LABEL.fullmatch(label)
    word = (match[1] if match else label).strip()
    raw = "\n".join(filter(None, [_text(row.get("judge_analysis")), label]))
    if _NUMBER.fullmatch(word):
        return Score(METRIC, float(word), raw=raw), ""
    return Score(METRIC, reason="parse_failure" if word else "empty", raw=raw), f"{METRIC}: the judge said {word[:40]!r}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
