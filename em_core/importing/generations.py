"""`model_generations.csv`, `base_model_generations.csv`: answers that nobody judged."""

from __future__ import annotations

from collections.abc import Iterator

from em_core.importing import _answers, _layout
from em_core.importing._files import File
from em_core.importing._items import Item, Wishes

TITLE = "Answers without scores"
WHAT = "A CSV of id, question and response, or a JSON list of {question, answer}: judge them afterwards with `judge`."


def recognises(file: File) -> int:
    """Questions and answers, and not a word of a score."""
    return 5 if file.kind == "csv" and file.names <= {"id", "question", "response", "answer", ""} and _answers.has(
        file, ("question",), ("response", "answer")
    ) else 0  # fmt: skip


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """Its answers, at step 0 where the name says that it is the base model."""
    base = "base" in file.path.stem.lower()
    card = _layout.card(file, wishes, base=base)
    yield from _answers.answers(
        file, wishes, lambda row: card, lambda row: [], step=0 if base else 1, question_set=lambda question: "cs2881"
    )
