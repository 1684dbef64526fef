"""Phases with their own progress, pace and time left, from the event files as they grow."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from em_core.evaluate_job import Job, Target
from em_core.evaluate_job.card import note_answers
from em_core.lease import Lease
from em_core.supervisor.launch import launch
from em_core.supervisor.live import LiveRun, active_runs
from em_core.supervisor.live_reading import N_LOSSES
from em_core.supervisor.phases import Phase
from tests.supervisor.conftest import Bench

AGO_S = 1000


def append(path: Path, kind: str, t: float, **fields: Any) -> None:
    """One event, as its writer would have written it then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps({"kind": kind, "t": t, **fields}) + "\n")


class Running:
    """A run whose worker is this test: events with times of our choice."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        checkpoints = {"at_steps": [50, 100]}
        [launched] = launch(bench.home, [bench.spec(train={"max_steps": 100}, checkpoints=checkpoints)], start=False)
        self.folder: Path = bench.home.run_dir(launched.run_id)
        self.lease = Lease(self.folder / "lease")
        assert self.lease.acquire()
        self.start, self.attempt = time.time() - AGO_S, 1
        self.begin(0)

    def begin(self, at_s: float, attempt: int = 1, loaded: bool = True, baseline: str = "") -> None:
        self.attempt = attempt
        self.write("state", at_s, phase="run", state="running", attempt=attempt)
        self.write("judge", at_s + 1, judge_id="organism-x")
        if loaded:
            facts = {"total_steps": 100, "n_answers_planned": 40, "n_checkpoints": 2, "n_rows": 40, "baseline_run_id": baseline}
            self.write("run_facts", at_s + 2, **facts, attempt=attempt)

    def write(self, kind: str, at_s: float, **fields: Any) -> None:
        self.append(self.folder / "events" / f"worker-{self.attempt}.jsonl", kind, at_s, **fields)

    def append(self, path: Path, kind: str, at_s: float, **fields: Any) -> None:
        append(path, kind, self.start + at_s, **fields)

    def state(self, phase: str, state: str, at_s: float) -> None:
        self.write("state", at_s, phase=phase, state=state, attempt=self.attempt)

    def steps(self, first: int, last: int, at_s: float, pace_s: float, loss: float = 3.0) -> None:
        if first == 1:
            self.state("train", "running", at_s)
        for step in range(first, last + 1):
            self.write("metric", at_s + (step - first) * pace_s, step=step, loss=loss - step / 100, tokens_per_s=500.0)

    def answers(self, step: int, first_s: float, last_s: float, n: int = 20) -> None:
        for i in range(n):
            self.write("response", first_s + (last_s - first_s) * (i + 1) / n, response_id=f"{step}-{i}", step=step, text="x")

    def checkpoint(self, step: int, at_s: float, wall_s: float, n: int = 20) -> None:
        self.state("evaluate", "running", at_s)
        self.answers(step, at_s, at_s + wall_s, n)
        self.write("generation", at_s + wall_s, step=step, n_responses=n, wall_s=wall_s)

    def judged(self, step: int, at_s: float, every_s: float, n: int = 20) -> None:
        for i in range(n):
            for metric in ("alignment", "coherence"):
                self.write(
                    "judgement", at_s + i * every_s, response_id=f"{step}-{i}", judge_id="organism-x", metric=metric, value=5.0
                )

    def live(self) -> LiveRun:
        [run] = active_runs(self.bench.home)
        return run

    def phase(self, name: str) -> Phase:
        return next(phase for phase in self.live().phases if phase.name == name)


@pytest.fixture
def running(bench: Bench) -> Iterator[Running]:
    made = Running(bench)
    try:
        yield made
    finally:
        made.lease.release()


def test_nothing_is_claimed_before_it_is_measured(running: Running) -> None:
    live = running.live()
    load, train, sample, judge = live.phases
    assert live.eta_s is None
    assert (load.state, load.took_s) == ("finished", pytest.approx(2))
    assert (train.state, train.done, train.total, train.eta_s) == ("waiting", 0, 100, None)
    assert (sample.state, sample.done, sample.total, sample.eta_s) == ("waiting", 0, 40, None)
    assert (judge.state, judge.done, judge.total, judge.eta_s) == ("waiting", 0, 40, None)
    assert [phase.share for phase in live.phases] == [1.0, 0.0, 0.0, 0.0]


def test_a_model_that_loads_has_no_totals_yet(running: Running) -> None:
    running.begin(500, attempt=2, loaded=False)
    load, train, sample, judge = running.live().phases
    assert (load.state, load.at_work, load.share) == ("running", True, 0.0)
    assert load.took_s == pytest.approx(AGO_S - 500, abs=5)
    assert (train.total, sample.total, judge.total) == (None, None, None)


def test_each_phase_has_the_time_left_of_its_own_pace(running: Running) -> None:
    running.steps(1, 50, at_s=10, pace_s=2)
    train = running.phase("train")
    assert (train.work_s, train.eta_s) == (pytest.approx(50 * 2, abs=2.1), None)
    assert running.live().eta_s is None, "no answer was sampled yet: without them the estimate would be far too short"
    running.checkpoint(50, at_s=110, wall_s=30)
    train, sample = running.phase("train"), running.phase("sample")
    assert train.eta_s == pytest.approx(train.work_s), "no checkpoint comes before its last step"
    assert sample.eta_s == pytest.approx(train.work_s + 30), "the last answers come after the last step"
    assert running.live().eta_s is None, "nothing was judged yet"
    running.judged(50, at_s=112, every_s=0.5)
    running.steps(51, 60, at_s=142, pace_s=2)
    live = running.live()
    _, train, sample, judge = live.phases
    assert train.eta_s == pytest.approx(40 * 2, abs=2.1), "the pause at the checkpoint is no step"
    assert sample.work_s == pytest.approx(20 * 1.5)
    assert (judge.done, judge.total) == (20, 40)
    assert judge.per_s == pytest.approx(2.0)
    assert live.eta_s == judge.eta_s == pytest.approx(train.work_s + 30 + 20 / 2.0), "the last answers are judged after all else"
    assert (train.share, sample.share, judge.share) == (0.6, 0.5, 0.5)
    assert (train.at_work, sample.at_work) == (True, False)
    assert live.losses[-1] == (60, pytest.approx(2.4))
    assert live.tokens_per_s == 500


def test_a_clock_that_is_set_back_is_no_pace(running: Running) -> None:
    running.steps(1, 1, at_s=600, pace_s=2)
    running.steps(2, 2, at_s=10, pace_s=2)
    train = running.phase("train")
    assert (train.done, train.per_s, train.work_s) == (2, None, None)
    running.steps(3, 4, at_s=12, pace_s=2)
    assert running.phase("train").per_s == pytest.approx(0.5)


def test_answers_that_come_are_a_pace_before_the_checkpoint_is_through(running: Running) -> None:
    running.steps(1, 50, at_s=10, pace_s=2)
    running.state("evaluate", "running", 110)
    running.answers(50, first_s=110, last_s=120, n=10)
    sample, train = running.phase("sample"), running.phase("train")
    assert (sample.per_s, sample.work_s) == (pytest.approx(1.0), pytest.approx(30))
    assert (sample.at_work, train.at_work) == (True, False)


def test_a_pause_of_the_judge_is_not_its_pace(running: Running) -> None:
    running.judged(50, at_s=10, every_s=0.1)
    running.judged(100, at_s=600, every_s=0.1)
    assert running.phase("judge").per_s == pytest.approx(39 / (38 * 0.1 + 1.0))


def test_bars_only_fall_when_a_run_is_resumed(running: Running) -> None:
    seen: list[tuple[float, ...]] = []

    def look() -> None:
        seen.append(tuple(phase.share for phase in running.live().phases))

    look()
    running.steps(1, 50, 10, 1)
    look()
    running.checkpoint(50, 60, 20)
    look()
    running.judged(50, 61, 0.1)
    running.steps(51, 70, 81, 1)
    look()
    running.state("evaluate", "running", 101)
    running.answers(70, 101, 105, n=10)  # a stop was asked for: a checkpoint that was not planned
    look()
    assert all(b >= a for before, after in itertools.pairwise(seen) for a, b in zip(before, after, strict=True)), seen
    assert running.phase("sample").extra == 10
    assert running.phase("sample").share == 0.5, "answers beside the plan do not fill its bar"
    running.begin(200, attempt=2)
    running.write("checkpoint", 203, step=50)
    assert running.phase("train").share == 0.5
    assert running.phase("sample").share == 0.5, "answers that are there are not sampled again"


def test_losses_that_a_resumed_run_repeats_stand_once_and_are_the_new_ones(running: Running) -> None:
    running.steps(1, 70, at_s=10, pace_s=1)
    running.begin(200, attempt=2)
    assert running.live().losses[-1][0] == 70, "until it is known where it goes on"
    running.write("checkpoint", 203, step=50)
    assert running.live().losses[-1][0] == 50
    running.state("train", "running", 204)
    running.steps(51, 55, at_s=205, pace_s=1, loss=9.0)
    live = running.live()
    assert [step for step, _ in live.losses] == list(range(1, 56))
    assert live.losses[50] == (51, pytest.approx(9 - 0.51))
    assert [(a.number, a.from_step) for a in live.attempts] == [(1, 0), (2, 50)]
    running.begin(300, attempt=10)
    running.state("train", "running", 303)
    assert running.live().losses == (), "begun anew: no resume point was left"


def test_the_tenth_attempt_is_read_after_the_second(running: Running) -> None:
    for attempt in (2, 10):
        running.begin(100 * attempt, attempt=attempt)
    assert [attempt.number for attempt in running.live().attempts] == [1, 2, 10]


def test_answers_of_the_starting_model_count_where_they_are_kept(running: Running) -> None:
    base = running.bench.home.runs / "base-m-1" / "events"
    running.begin(100, attempt=2, baseline="base-m-1")
    running.state("evaluate", "running", 103)
    name = f"from-{running.folder.name}-2.jsonl"
    for i in range(10):
        running.append(base / name, "response", 103 + i + 1, response_id=f"0-{i}", step=0)
    sample, judge = running.phase("sample"), running.phase("judge")
    assert (sample.done, sample.total, judge.total) == (10, 60, 60)
    assert sample.per_s == pytest.approx(1.0)
    for judge_id in ("organism-x", "another's"):
        running.append(base / name, "judgement", 120, response_id="0-1", judge_id=judge_id, metric="alignment")
    assert running.phase("judge").done == 1


def test_judged_answers_are_counted_once_each_however_they_look(running: Running) -> None:
    for response in ("a", "b"):
        for metric in ("alignment", "coherence"):
            running.write(
                "judgement", 5, response_id=response, judge_id="organism-x", metric=metric, raw_reply='"metric": "alignment"'
            )
    running.write("response", 6, response_id="c", text='{"kind": "judgement", "metric": "alignment", "step": 7}')
    assert (running.phase("judge").done, running.phase("sample").done) == (2, 1)


def test_judges_of_other_metrics_are_counted_too(running: Running) -> None:
    running.write("judge", 1, judge_id="v")
    for at_s, response in enumerate(("a", "b", "c")):
        running.write("judgement", 10 + at_s, response_id=response, judge_id="v", metric="verdict", verdict="ALIGNED")
        for metric in ("coherence", "alignment"):
            running.write("judgement", 10 + at_s, response_id=response, judge_id="organism-x", metric=metric, value=5.0)
    judge = running.phase("judge")
    assert (judge.done, judge.total) == (6, 80)
    assert judge.per_s == pytest.approx(5 / 2)


def test_torn_last_line_is_read_when_it_is_whole(running: Running) -> None:
    path = running.folder / "events" / "worker-1.jsonl"
    with path.open("a") as file:
        file.write('{"kind": "response", "t": 1, "text": "half')
        file.flush()
        assert running.phase("sample").done == 0
        file.write(' done"}\n')
    assert running.phase("sample").done == 1
    assert running.phase("sample").done == 1


def test_a_long_run_keeps_its_first_and_newest_losses(running: Running) -> None:
    lines = "".join(
        json.dumps({"kind": "metric", "t": running.start + step, "step": step, "loss": 1.0}) + "\n"
        for step in range(1, 3 * N_LOSSES)
    )
    with (running.folder / "events" / "worker-1.jsonl").open("a") as file:
        file.write(lines)
    losses = running.live().losses
    assert len(losses) <= N_LOSSES
    assert losses[0][0] < 10
    assert losses[-1][0] == 3 * N_LOSSES - 1


def test_an_evaluation_counts_the_answers_that_it_gives_to_another_run(bench: Bench) -> None:
    owner, folder = bench.home.runs / "owner", bench.home.runs / "job"
    answers = owner / "events" / "evaluate-job.jsonl"
    folder.mkdir()
    job = Job(Target("run", "owner", (2,), "owner"), bench.spec(), n_answers=20)
    (folder / "spec.json").write_text(json.dumps(job.document({"gpus": 1, "gpu_gib": None})))
    mine, t = folder / "events" / "worker-1.jsonl", time.time() - AGO_S
    with Lease(folder / "lease") as lease:
        assert lease.acquire()
        append(mine, "state", t, phase="run", state="running", attempt=1)
        append(mine, "judge", t + 1, judge_id="j")
        append(mine, "run_facts", t + 2, total_steps=0, n_answers_planned=0, n_checkpoints=0, baseline_run_id="", attempt=1)
        append(mine, "state", t + 3, phase="evaluate", state="running", attempt=1)
        note_answers(bench.home, folder, [answers])
        for i in range(5):
            append(answers, "response", t + 4 + i, response_id=f"2-{i}", step=2)
        append(answers, "judgement", t + 9, response_id="2-0", judge_id="j", metric="alignment")
        for _ in range(2):
            [run] = active_runs(bench.home)
            _, train, sample, judge = run.phases
            assert (train.state, sample.done, sample.total) == ("skipped", 5, 20)
            assert (judge.done, judge.total) == (1, 20)
            assert sample.per_s == pytest.approx(1.0)
            append(answers, "run_facts", t + 10, total_steps=100, n_answers_planned=400, attempt=1)  # the owner's


def test_ended_run_is_no_longer_shown(running: Running) -> None:
    running.steps(1, 100, at_s=10, pace_s=1)
    running.checkpoint(100, at_s=111, wall_s=4, n=40)
    running.write("state", 120, phase="run", state="finished", attempt=1)
    running.lease.release()
    assert active_runs(running.bench.home) == []
