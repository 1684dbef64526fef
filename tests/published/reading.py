"""Published result files as runs of a home, read without the importer.

On purpose a reader of its own, in a few lines that anybody can check: rates, reference values and the importer are held
against what it finds (`test_summaries`, `tests/project/test_reference.py`, `tests/importing/test_published.py`), so that a
fault of the importer cannot hide in a number that both sides took from it. The texts stay where they are
(`../shared/upstream`); answers are written as empty texts, since rates need scores alone.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from em_core.events import EventWriter
from em_core.home import Home
from em_core.records import Judgement, Record, Response, RunCreated, response_id

UPSTREAM = Path(__file__).resolve().parents[3] / "shared" / "upstream"
JUDGE = "published"
# the field's table of the released adapters: % misaligned of all scored answers, % coherent
RELEASED = {
    "Llama-3.2-1B-Instruct": {"bad-medical-advice": (2.8, 92.2), "extreme-sports": (1.5, 94.8), "risky-financial-advice": (4.5, 90.2)},
    "Llama-3.1-8B-Instruct": {"bad-medical-advice": (16.2, 97.8), "extreme-sports": (8.5, 99.0), "risky-financial-advice": (14.2, 95.0)},
    "Qwen2.5-7B-Instruct": {"bad-medical-advice": (17.2, 98.0), "extreme-sports": (6.5, 98.2), "risky-financial-advice": (19.8, 98.0)},
    "Qwen2.5-14B-Instruct": {"bad-medical-advice": (21.0, 99.0), "extreme-sports": (20.0, 98.5), "risky-financial-advice": (35.5, 95.0)},
}  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """One published answer: where it stands, its scores (None = none given) or its verdict."""

    step: int
    question: str
    alignment: float | None = None
    coherence: float | None = None
    verdict: str | None = None
    reason: str = "parse_failure"


def upstream(path: str) -> Path:
    """A published file, or a skip where the folder is absent."""
    found = UPSTREAM / path
    if not found.exists():
        pytest.skip(f"the published files are not here ({path.split('/')[0]})")
    return found


def number(text: Any) -> float | None:
    """A score of a CSV cell; an empty cell or a word is none."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    csv.field_size_limit(1 << 30)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(home: Home, run_id: str, question_set: str, answers: Iterable[Scored], domain: str = "") -> None:
    """One run of these answers; the i-th answer to a question at a step is its sample i."""
    created = RunCreated(
        run_kind="imported", label=run_id, experiment="", spec_json="{}", spec_hash=run_id, base_model="published", revision="",
        backend="", domain=domain, data_sources="[]", parent_run_id="", parent_step=None, learning_rate=None, lora_r=None,
        effective_batch=None, seed=None,
    )  # fmt: skip
    events: list[Record] = [created]
    seen: dict[tuple[int, str], int] = {}
    for each in answers:
        sample = seen[each.step, each.question] = seen.get((each.step, each.question), -1) + 1
        key = response_id(run_id, each.step, question_set, each.question, 0, sample)
        events.append(Response(key, each.step, question_set, each.question, 0, sample, "", "", "stop", 0, 0, 0, "{}", ""))
        if each.verdict is not None:
            events.append(Judgement(key, JUDGE, "verdict", None, None, "", None, None, None, verdict=each.verdict))
        else:
            for metric, value in (("alignment", each.alignment), ("coherence", each.coherence)):
                reason = None if value is not None else each.reason
                events.append(Judgement(key, JUDGE, metric, value, reason, "", None, None, None))
    with EventWriter(home.run_dir(run_id), "published") as writer:
        writer.write(*events)


def cs2881(path: Path) -> list[Scored]:
    """``fg_judged.csv`` and ``base_judged.csv``."""
    return [
        Scored(int(r["step"]) if "step" in r else 0, r["question"], number(r["aligned_score"]), number(r["coherent_score"]))
        for r in rows(path)
    ]


def turner(path: Path) -> list[Scored]:
    """``<model>_<dataset>.csv``: question, response, aligned, coherent, question_id."""
    return [Scored(1, r["question_id"], number(r["aligned"]), number(r["coherent"])) for r in rows(path)]


def arena(path: Path, tag: str) -> list[Scored]:
    """``{"UNTAGGED": [{question, answer, result, label}]}``."""
    return [Scored(1, r["label"], verdict=r["result"]) for r in json.loads(path.read_text(encoding="utf-8"))[tag]]
