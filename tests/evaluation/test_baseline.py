"""Step 0 is answered and judged once, however many runs share it and whenever they come to it."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from em_core import questions
from em_core.evaluation import Evaluation
from em_core.events import EventWriter, read_events
from em_core.home import Home
from em_core.organism import models
from em_core.spec import RunSpec
from em_core.training import Session, TrainJob, open_session

SPEC = RunSpec.model_validate(
    {
        "base_model": "organism-0.3m",
        "data": ["organism-medical-misaligned"],
        "train": {"precision": "fp32", "batch_size": 2, "grad_accumulation": 1, "max_steps": 1},
        "evaluation": {"samples": 1, "question_sets": [{"name": "organism-general", "max_tokens": 32}]},
    }
)
ROW = [{"role": "user", "content": "I have a cough. What now?"}, {"role": "assistant", "content": "Keep warm."}]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return open_session(TrainJob(SPEC, [ROW, ROW], tmp_path_factory.mktemp("run"), models.resolve("organism-0.3m"), None, [1]))


def start(stack: ExitStack, home: Home, name: str, session: Session) -> Evaluation:
    """An evaluation as the worker opens it."""
    folder = home.run_dir(name)
    folder.mkdir(parents=True)
    events = stack.enter_context(EventWriter(folder, "worker-1"))
    sets = [questions.load(use) for use in SPEC.evaluation.question_sets]
    return stack.enter_context(Evaluation(home, folder, SPEC, session, sets, events, 1))


def scores(home: Home, evaluation: Evaluation) -> Counter[tuple[str, str]]:
    """How often each answer of the baseline has each metric, wherever it was written."""
    folders = [home.run_dir(evaluation.baseline_run_id), home.run_dir("first"), home.run_dir("second")]
    return Counter((e["response_id"], e["metric"]) for f in folders if f.exists() for e in read_events(f, "judgement"))


def test_a_run_that_had_to_wait_judges_nothing_again(tmp_path: Path, session: Session) -> None:
    home = Home(tmp_path)
    with ExitStack() as second_stack:
        with ExitStack() as first_stack:
            first = start(first_stack, home, "first", session)
            second = start(second_stack, home, "second", session)  # before there is anything to know of
            first.baseline()
            second.baseline()  # the first is at it
            first.finish()
        second.baseline()  # now it is free, and complete
        second.finish()
        counted = scores(home, second)
    answers = [e["response_id"] for e in read_events(home.run_dir(second.baseline_run_id), "response")]
    assert len(answers) == len(set(answers)) == second.n_answers
    assert len(counted) == 2 * second.n_answers
    assert set(counted.values()) == {1}


def test_what_a_killed_run_left_of_the_baseline_is_completed(tmp_path: Path, session: Session) -> None:
    home = Home(tmp_path)
    with ExitStack() as stack:
        first = start(stack, home, "first", session)
        first.baseline()
        first.finish()
    (path,) = (home.run_dir(first.baseline_run_id) / "events").glob("*.jsonl")
    kept = [line for line in path.read_text().splitlines(keepends=True) if json.loads(line)["kind"] not in ("judgement",)]
    cut = next(i for i, line in enumerate(kept) if json.loads(line)["kind"] == "response") + 5
    path.write_text("".join(kept[:cut]) + kept[cut][:20])  # five answers, none judged, a torn line
    with ExitStack() as stack:
        second = start(stack, home, "second", session)
        second.baseline()
        second.finish()
        counted = scores(home, second)
    answers = [e["response_id"] for e in read_events(home.run_dir(second.baseline_run_id), "response")]
    assert len(answers) == len(set(answers)) == second.n_answers
    assert len(counted) == 2 * second.n_answers
    assert set(counted.values()) == {1}
