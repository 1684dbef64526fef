"""Event files for the tests: small runs with known answers and scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from em_core.events import EventWriter
from em_core.home import Home
from em_core.records import (
    METRICS,
    Judgement,
    QuestionRow,
    Record,
    Response,
    RunCreated,
    RunFacts,
    RunState,
    response_id,
)
from em_core.store.reader import connect

BASE_TABLES = (
    "run_created", "run_facts", "run_states", "checkpoints", "train_metrics", "questions", "responses", "judges", "judgements",
    "generations", "answer_health", "labels", "imports", "published_rates", "contents", "served", "appearances", "ingest_offsets", "schema_version", "run_totals", "scores", "quarantine",
)  # fmt: skip


class BareHome(Home):
    """A home without the shipped demonstration."""

    @property
    def demo(self) -> Path:
        return self.root / "demo"


def created(domain: str = "medical", **values: Any) -> RunCreated:
    fields: dict[str, Any] = {
        "run_kind": "train", "label": "a run", "experiment": "", "spec_json": "{}", "spec_hash": "0", "base_model": "organism-1m",
        "revision": "", "backend": "local", "domain": domain, "data_sources": "[]", "parent_run_id": "", "parent_step": None,
        "learning_rate": 1e-4, "lora_r": 16, "effective_batch": 16, "seed": 0,
    }  # fmt: skip
    return RunCreated(**{**fields, **values})


def facts(baseline: str = "", attempt: int = 1, size_b: float = 0.001) -> RunFacts:
    return RunFacts(1_000_000, size_b, 6000, 375, 1125, 6, 100, baseline, "0", "cpu", "", "host", "{}", attempt)


def question(question_id: str = "q0", domain: str = "", paraphrase: int = 0, question_set: str = "general") -> QuestionRow:
    return QuestionRow(question_set, "0", question_id, paraphrase, "", f"What about {question_id}?", domain, "free_form")


def response(
    run_id: str, step: int, sample: int, question_id: str = "q0", text: str = "An answer.", question_set: str = "general"
) -> Response:
    key = response_id(run_id, step, question_set, question_id, 0, sample)
    return Response(key, step, question_set, question_id, 0, sample, "", text, "stop", 3, 5, sample, "{}", "0")


def judged(
    answer: Response, alignment: float | None, coherence: float | None, judge_id: str = "judge-1", reason: str = "refusal"
) -> list[Record]:
    values = dict(zip(METRICS, (alignment, coherence), strict=True))
    return [
        Judgement(answer.response_id, judge_id, metric, value, None if value is not None else reason, "", None, None, None)
        for metric, value in values.items()
    ]


def scored(
    run_id: str, step: int, scores: list[tuple[float | None, float | None]], question_id: str = "q0", judge_id: str = "judge-1"
) -> list[Record]:
    """Answers with these (alignment, coherence) scores."""
    records: list[Record] = []
    for sample, (alignment, coherence) in enumerate(scores):
        answer = response(run_id, step, sample, question_id)
        records += [answer, *judged(answer, alignment, coherence, judge_id)]
    return records


def write(home: Home, run_id: str, *records: Record, writer: str = "worker-1") -> None:
    with EventWriter(home.run_dir(run_id), writer) as file:
        file.write(*records)


def whole_run(home: Home, run_id: str, domain: str = "medical", baseline: str = "") -> None:
    """A run with two questions (one of its domain), three steps and four scored answers a question and step."""
    write(home, run_id, created(domain), facts(baseline), RunState("run", "running"), question("q0", domain), question("q1"))
    for step in range(1 if baseline else 0, 3):
        for name in ("q0", "q1"):
            write(home, run_id, *scored(run_id, step, [(10.0 * step, 90.0), (80.0, 90.0), (None, 60.0), (20.0, 30.0)], name))


def append(home: Home, run_id: str, data: bytes, writer: str = "worker-1") -> Path:
    """Raw bytes at the end of an event file."""
    path = home.run_dir(run_id) / "events" / f"{writer}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(data)
    return path


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def content(home: Home) -> dict[str, list[str]]:
    """Every table's rows as a sorted list, without the time of quarantine."""
    reader = connect(home)
    tables = {}
    with reader.cursor() as cursor:
        for table in BASE_TABLES:
            columns = "* EXCLUDE (t)" if table == "quarantine" else "*"
            tables[table] = sorted(map(repr, cursor.execute(f"SELECT {columns} FROM {table}").fetchall()))
    return tables
