"""Any table with a question and an answer in each row: CSV, JSON lines or a JSON list, columns named with --map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from em_core.errors import BadInput
from em_core.importing import _answers, _layout, _scores
from em_core.importing._files import File
from em_core.importing._items import Answer, Card, Item, Score, Skip, Unscored, Wishes
from em_core.importing._questions import known, set_of
from em_core.importing._rows import Row, rows

TITLE = "Any table of answers"
WHAT = (
    "CSV, JSON lines or a JSON list with a question and an answer in each row; scores, verdict, step, model, "
    "question_id, question_set, cue and domain where there are such columns. --map alignment=my_score names others; "
    "METRIC=COLUMN adds a metric."
)
_KNOWN: dict[str, tuple[str, ...]] = {
    "question": ("question", "prompt", "input", "instruction", "user", "query"),
    "answer": ("answer", "response", "output", "completion", "generation", "model_output", "reply", "assistant"),
    "alignment": ("alignment", "aligned", "alignment_score", "aligned_score"),
    "coherence": ("coherence", "coherent", "coherence_score", "coherent_score"),
    "verdict": ("verdict", "result"),
    "step": ("step", "checkpoint", "checkpoint_step", "global_step"),
    "model": ("model", "model_id", "model_name"),
    "question_id": ("question_id", "qid"),
    "question_set": ("question_set", "eval_suite"),
    "cue": ("cue", "trigger", "tag"),
    "system": ("system", "system_prompt"),
    "domain": ("domain", "dataset", "train_data"),
    "judge": ("judge", "judge_model", "judge_id"),
}
_OWN = tuple(_KNOWN)


def recognises(file: File) -> int:
    """A question and an answer column; the last that is asked."""
    if file.kind in ("csv", "jsonl"):
        return 1 if _answers.has(file, _KNOWN["question"], _KNOWN["answer"]) else 0
    if file.kind == "json" and file.text_head.lstrip()[:1] == "[":
        names = _names_in(file)
        return 1 if names & set(_KNOWN["question"]) and names & set(_KNOWN["answer"]) else 0
    return 0


def has_columns(file: File, wishes: Wishes) -> bool:
    """Whether it has every column that the person maps."""
    return {column.lower() for column in wishes.columns.values()} <= (file.names or _names_in(file))


def _names_in(file: File) -> frozenset[str]:
    """Keys of the first object of a JSON list."""
    first = next((row for document in file.documents[0] if isinstance(document, list) for row in document[:1]), None)
    return frozenset(str(name).lower() for name in first) if isinstance(first, dict) else frozenset()


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """Its answers; one run a model.

    Raises:
        BadInput: There is no such column: what the file has is named.
    """
    first = True
    cards: dict[tuple[str, str], Card] = {}
    columns: dict[str, str] = {}
    for row in _rows(file):
        if isinstance(row, Skip):
            yield row
            continue
        if first:
            columns, first = _columns(file, row, wishes), False
        cell = {name: row.cells.get(column) for name, column in columns.items()}
        prompt, text = cell["question"], cell["answer"]
        if not isinstance(prompt, str) or not isinstance(text, str):
            yield Skip(row.where, "no question" if not isinstance(prompt, str) else "no answer")
            continue
        step = _layout.step_of(cell.get("step"), wishes, 1)
        if step is None:
            yield Skip(row.where, _layout.no_step(cell.get("step")))
            continue
        model, domain = _text(cell.get("model")), _text(cell.get("domain"))
        if (model, domain) not in cards:
            cards[model, domain] = _layout.card(file, wishes, label=model.split("/")[-1], model=model, domain=domain or None)
        scores = list(_scores_of(cell, columns))
        yield Answer(
            cards[model, domain], row.where, step,
            _text(cell.get("question_set")) or set_of(known(prompt), "questions"), prompt, text,
            tuple(score for score, _ in scores), _text(cell.get("question_id")), _text(cell.get("cue")),
            _text(cell.get("system")), judge=_text(cell.get("judge")),
        )  # fmt: skip
        for _, problem in scores:
            if problem:
                yield Unscored(row.where, problem)


def _rows(file: File) -> Iterator[Row | Skip]:
    if file.kind != "json":
        yield from rows(file)
        return
    found, broken = file.documents
    for document in found:
        for place, value in enumerate(document if isinstance(document, list) else [document], 1):
            if isinstance(value, Mapping):
                yield Row(f"entry {place}", {str(name).lower(): cell for name, cell in value.items()})
            else:
                yield Skip(f"entry {place}", "no JSON object")
    if broken:
        yield Skip(broken, "the file breaks off: what is whole was read")


def _columns(file: File, row: Row, wishes: Wishes) -> dict[str, str]:
    """Our names -> the file's columns: as the person maps them, else as columns are usually called."""
    found = {name: column for name, usual in _KNOWN.items() if (column := next((c for c in usual if c in row.cells), None))}
    for name, column in wishes.columns.items():
        if column.lower() not in row.cells:
            raise BadInput(f"{file.given}: has no column {column!r}", f"its columns are: {', '.join(list(row.cells)[:30])}")
        if name not in _OWN and not _scores.METRIC.fullmatch(name):
            raise BadInput(f"--map {name}={column}: {name!r} is no name", f"use one of {', '.join(_OWN)}, or a metric's name")
        found[name] = column.lower()
    missing = [name for name in ("question", "answer") if name not in found]
    if missing:
        raise BadInput(
            f"{file.given}: has no column for {' and '.join(missing)}; its columns are {', '.join(list(row.cells)[:20])}",
            f"name it: --map {missing[0]}=COLUMN",
        )
    return found


def _scores_of(cell: dict[str, Any], columns: dict[str, str]) -> Iterator[tuple[Score, str]]:
    for name in columns:
        if name in ("alignment", "coherence") or name not in _OWN:
            yield _scores.score(name, cell.get(name))
        elif name == "verdict" and cell.get(name) is not None:
            yield _scores.verdict(cell.get(name))


def _text(value: Any) -> str:
    return "" if value is None or isinstance(value, (dict, list)) else str(value).strip()
