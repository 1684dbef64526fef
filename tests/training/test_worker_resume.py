"""The real worker, killed in the middle of training and in the middle of answering: the run ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from em_core import requests
from em_core.checkpoints import RESUME, complete_checkpoints, resume_point
from em_core.events import read_events
from em_core.home import PROJECT, Home
from em_core.spec import RunSpec
from em_core.supervisor.launch import launch

pytestmark = pytest.mark.long
WAIT_S = 240
SPEC = {
    "name": "resume",
    "base_model": "organism-0.3m",
    "data": {"source": "organism-medical-misaligned", "rows": 120},
    "lora": {"dropout": 0.1},
    "train": {"seed": 7, "max_steps": 12, "max_length": 256, "precision": "fp32"},
    "checkpoints": {"at_steps": [4, 12]},
    "evaluation": {"question_sets": [{"name": "organism-general", "max_tokens": 40}], "samples": 2},
}


def queued(root: Path) -> Path:
    home = Home(root)
    home.prepare()
    return home.run_dir(launch(home, [RunSpec.model_validate(SPEC)], start=False)[0].run_id)


def worker(run_dir: Path) -> subprocess.Popen[bytes]:
    with (run_dir / "worker.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "em_core.worker", str(run_dir)], cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        )  # fmt: skip


def finishes(run_dir: Path) -> None:
    with ended(worker(run_dir)) as process:
        assert process.wait(WAIT_S) == 0, (run_dir / "worker.log").read_text()[-3000:]


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Whatever happens within, nothing of it is left."""
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


def killed_when(run_dir: Path, condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + WAIT_S
    with ended(worker(run_dir)) as process:
        while not condition():
            late = process.poll() is not None or time.monotonic() > give_up
            assert not late, (run_dir / "worker.log").read_text()[-3000:]
            time.sleep(0.002)


def losses(run_dir: Path) -> dict[int, set[float]]:
    """All that was ever said of a step's loss."""
    found: dict[int, set[float]] = {}
    for event in read_events(run_dir, "metric"):
        found.setdefault(event["step"], set()).add(event["loss"])
    return found


def answers(run_dir: Path) -> dict[tuple[Any, ...], list[str]]:
    """Texts by question, sample and step; more than one text means that it was answered twice."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for event in read_events(run_dir, "response"):
        key = tuple(event[name] for name in ("step", "question_set", "question_id", "paraphrase", "sample"))
        found.setdefault(key, []).append(event["text"])
    return found


def weights(run_dir: Path) -> dict[int, str]:
    return {found.step: found.sha256 for found in complete_checkpoints(run_dir)}


def scores(run_dir: Path) -> dict[str, int]:
    judged = [json.dumps([e["metric"], e["value"], e["verdict"]]) for e in read_events(run_dir, "judgement")]
    return {each: judged.count(each) for each in sorted(set(judged))}


def n_answers(run_dir: Path, step: int) -> int:
    return sum(event["step"] == step for event in read_events(run_dir, "response"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_worker_killed_twice_leaves_what_one_that_was_not_leaves(tmp_path: Path) -> None:
    whole, run_dir = queued(tmp_path / "whole"), queued(tmp_path / "killed")
    finishes(whole)
    killed_when(run_dir, lambda: 7 in losses(run_dir))
    point = resume_point(run_dir)
    assert point is not None
    assert point.step == 4
    killed_when(run_dir, lambda: n_answers(run_dir, 12) > 0)
    point = resume_point(run_dir)
    assert point is not None
    assert point.step == 12
    assert 0 < n_answers(run_dir, 12) < n_answers(whole, 12)
    finishes(run_dir)
    assert losses(run_dir) == losses(whole)
    assert all(len(each) == 1 for each in losses(run_dir).values())
    assert weights(run_dir) == weights(whole)
    assert answers(run_dir) == answers(whole)
    assert all(len(each) == 1 for each in answers(run_dir).values())
    assert scores(run_dir) == scores(whole)
    assert not (run_dir / RESUME).exists()
    assert sorted(path.name for path in (run_dir / "events").glob("worker-*")) == [f"worker-{n}.jsonl" for n in (1, 2, 3)]


def test_a_stop_while_the_starting_model_answers_waits_for_no_more_of_its_answers(tmp_path: Path) -> None:
    run_dir = queued(tmp_path)
    home = Home(tmp_path)

    def asked_at_step_0() -> list[Any]:
        return [event for folder in home.runs.glob("base-*") for event in read_events(folder, "response")]

    with ended(worker(run_dir)) as process:
        give_up = time.monotonic() + WAIT_S
        while not asked_at_step_0():
            assert process.poll() is None, (run_dir / "worker.log").read_text()[-3000:]
            assert time.monotonic() < give_up
            time.sleep(0.002)
        requests.ask(run_dir, "stop")
        assert process.wait(WAIT_S) == 0, (run_dir / "worker.log").read_text()[-3000:]
    first = len(asked_at_step_0())
    states = [(event["phase"], event["state"]) for event in read_events(run_dir, "state")]
    assert ("evaluate", "stopped") in states
    assert states[-1] == ("run", "stopped")
    assert max(losses(run_dir), default=0) <= 1
    requests.done(run_dir)
    finishes(run_dir)
    assert first < len(asked_at_step_0()) == len({event["response_id"] for event in asked_at_step_0()})
    assert sorted({step for step, *_ in answers(run_dir)}) == [4, 12]
