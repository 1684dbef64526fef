"""`responses.jsonl` of an export of ours: one line per written answer and judge, with everything about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from em_core.importing import _layout
from em_core.importing._files import File
from em_core.importing._items import UNKNOWN, Event, Item, Skip, Wishes
from em_core.importing._lossless import fields_of
from em_core.importing._rows import Row, rows
from em_core.records import RunCreated, RunFacts
from em_core.store.parse import problem

TITLE = "Export of this workbench (JSON lines)"
WHAT = (
    "responses.jsonl: answers, questions, judges, judgements and health come back with their ids. Losses, states and "
    "labels are not in it (parquet/ has them); run names and models come from em_rates_summary.csv beside it."
)


def recognises(file: File) -> int:
    """By its keys."""
    return 10 if file.kind == "jsonl" and {"response_id", "run_id", "judgements", "question"} <= file.names else 0


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """Its events; what stands in several lines (an answer with two judges) comes once."""
    cards = _layout.summary_rows(file.path.parent / "em_rates_summary.csv")
    made: set[str] = set()
    seen: set[tuple[Any, ...]] = set()
    present = ""
    for row in rows(file):
        if isinstance(row, Skip):
            yield row
            continue
        run_id = row.cells.get("run_id")
        if not isinstance(run_id, str):
            yield Skip(row.where, "no run_id")
            continue
        if run_id != present:
            present, seen = run_id, set()
        for event_run, kind, fields, key in _parts(row, run_id):
            if key in seen:
                continue
            seen.add(key)
            if reason := problem(kind, fields):
                yield Skip(row.where, reason)
                continue
            if event_run not in made:
                made.add(event_run)
                yield from _card(event_run, run_id, kind, fields["t"], cards, file, wishes)
            yield Event(event_run, kind, fields_of(kind, fields))


def _parts(row: Row, run_id: str) -> Iterator[tuple[str, str, dict[str, Any], tuple[Any, ...]]]:
    """Every event that a line tells of: its run, kind, fields, and what makes it the same one in another line."""
    cells = row.cells
    key = cells.get("response_id")
    question = cells.get("question")
    if isinstance(question, Mapping):
        place = {name: cells.get(name) for name in ("question_set", "question_id", "paraphrase")}
        yield run_id, "question", {**question, **place}, ("question", *place.values())
    yield run_id, "response", dict(cells), ("response", key, cells.get("t"))
    for health in _list(cells.get("health")):
        yield str(health.get("run_id", run_id)), "health", {**health, "response_id": key}, ("health", key, health.get("t"))
    judge_id, judge = cells.get("judge_id"), cells.get("judge")
    for number, judgement in enumerate(_list(cells.get("judgements"))):
        its_run = str(judgement.get("run_id", run_id))
        if isinstance(judge, Mapping):
            yield its_run, "judge", {**judge, "judge_id": judge_id, "t": judgement.get("t")}, ("judge", its_run, judge_id)
        yield its_run, "judgement", {**judgement, "response_id": key, "judge_id": judge_id}, ("judgement", key, judge_id, number)


def _list(value: Any) -> list[dict[str, Any]]:
    return [dict(each) for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _card(
    run_id: str, of: str, kind: str, t: float, cards: dict[str, dict[str, str]], file: File, wishes: Wishes
) -> Iterator[Event]:
    """The card of a run, from the summary beside the file; a run that only judged or measured others is told apart."""
    told = cards.get(run_id, {})
    side = "" if run_id == of else "health" if kind == "health" else "judge"
    label = told.get("label") or run_id
    study = wishes.study or told.get("experiment") or _layout.place(file).study
    created = RunCreated(
        side or "imported", label, "" if side else study, "{}", "",
        "" if side else wishes.base_model or told.get("base_model") or UNKNOWN, "", "imported", told.get("domain", ""), "[]", "",
        None, None, None, None, None, False, told.get("toy", "").lower() in ("true", "1"),
    )  # fmt: skip
    yield Event(run_id, created.kind, {**created.as_event(), "t": t})
    size = _layout.size(told.get("size_b")) if wishes.size_b is None else wishes.size_b
    if size and not side:
        facts = RunFacts(round(size * 1e9), size, 0, 0, 0, 0, 0, "", "", "", "", "", "{}", 1)
        yield Event(run_id, facts.kind, {**facts.as_event(), "t": t})
