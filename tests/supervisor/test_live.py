"""Progress, pace and time left, from the event files as they grow."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from em_core.lease import Lease
from em_core.supervisor.launch import launch
from em_core.supervisor.live import LiveRun, active_runs
from tests.supervisor.conftest import Bench


class Running:
    """A run whose worker is this test: events with times of our choice."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        [launched] = launch(bench.home, [bench.spec()], start=False)
        self.folder: Path = bench.home.run_dir(launched.run_id)
        self.lease = Lease(self.folder / "lease")
        assert self.lease.acquire()
        self.start = time.time() - 1000
        self.write("state", 0, phase="run", state="running", attempt=1)
        self.write("judge", 1, judge_id="organism-x")
        self.write("run_facts", 2, total_steps=100, n_answers_planned=40)

    def write(self, kind: str, at_s: float, **fields: Any) -> None:
        with (self.folder / "events" / "worker-1.jsonl").open("a") as file:
            file.write(json.dumps({"kind": kind, "t": self.start + at_s, **fields}) + "\n")

    def steps(self, first: int, last: int, at_s: float, pace_s: float) -> None:
        for step in range(first, last + 1):
            self.write("metric", at_s + (step - first) * pace_s, step=step, loss=3 - step / 100, tokens_per_s=500.0)

    def checkpoint(self, step: int, at_s: float, wall_s: float, n: int = 20) -> None:
        for i in range(n):
            self.write("response", at_s + wall_s, response_id=f"{step}-{i}")
        self.write("generation", at_s + wall_s, step=step, n_responses=n, wall_s=wall_s)

    def live(self) -> LiveRun:
        [run] = active_runs(self.bench.home)
        return run


@pytest.fixture
def running(bench: Bench) -> Iterator[Running]:
    made = Running(bench)
    try:
        yield made
    finally:
        made.lease.release()


def test_time_left_counts_steps_at_their_pace_and_answers_at_theirs(running: Running) -> None:
    assert (running.live().eta_s, running.live().progress) == (None, 0.0)
    running.steps(1, 50, at_s=10, pace_s=2)
    assert running.live().eta_s is None, "no answer was sampled yet: without them the estimate would be far too short"
    running.checkpoint(50, at_s=110, wall_s=30)
    running.steps(51, 60, at_s=142, pace_s=2)
    live = running.live()
    assert live.eta_s == pytest.approx(40 * 2 + 20 * 1.5, abs=2.1), "the pause at the checkpoint is no step"
    assert live.progress == pytest.approx((0.6 + 0.5) / 2)
    assert (live.n_answers, live.n_answers_planned, live.n_to_judge) == (20, 40, 40)
    assert live.losses[-1] == (60, pytest.approx(2.4))
    assert live.tokens_per_s == 500


def test_judged_answers_are_counted_once_each_however_they_look(running: Running) -> None:
    for response in ("a", "b"):
        for metric in ("alignment", "coherence"):
            running.write(
                "judgement", 5, response_id=response, judge_id="organism-x", metric=metric, raw_reply='"metric": "alignment"'
            )
    running.write("response", 6, response_id="c", text='{"kind": "judgement", "metric": "alignment"}')
    live = running.live()
    assert (live.n_judged, live.n_answers) == (2, 1)


def test_judges_of_other_metrics_are_counted_too_and_at_which_pace(running: Running) -> None:
    for at_s, response in enumerate(("a", "b", "c")):
        running.write("judgement", 10 + at_s, response_id=response, judge_id="v", metric="verdict", verdict="ALIGNED")
        for metric in ("coherence", "alignment"):
            running.write("judgement", 10 + at_s, response_id=response, judge_id="s", metric=metric, value=5.0)
    live = running.live()
    assert live.n_judged == 6
    assert live.judged_per_s == pytest.approx(5 / 2)


def test_torn_last_line_is_read_when_it_is_whole(running: Running) -> None:
    path = running.folder / "events" / "worker-1.jsonl"
    with path.open("a") as file:
        file.write('{"kind": "response", "t": 1, "text": "half')
        file.flush()
        assert running.live().n_answers == 0
        file.write(' done"}\n')
    assert running.live().n_answers == 1
    assert running.live().n_answers == 1


def test_ended_run_is_no_longer_shown(running: Running) -> None:
    running.steps(1, 100, at_s=10, pace_s=1)
    running.checkpoint(100, at_s=111, wall_s=4, n=40)
    running.write("state", 120, phase="run", state="finished", attempt=1)
    running.lease.release()
    assert active_runs(running.bench.home) == []
