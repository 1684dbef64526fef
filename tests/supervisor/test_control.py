"""What a person does with a run, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from em_core import requests
from em_core.errors import BadInput, Busy
from em_core.events import EventWriter
from em_core.home import Home
from em_core.lease import Lease
from em_core.records import RunState, State
from em_core.spec import RunSpec
from em_core.supervisor import control, marks
from em_core.supervisor.evidence import list_runs, run_status
from em_core.supervisor.launch import launch
from em_core.supervisor.retry import smaller_batch
from em_core.supervisor.start import launch_lock
from tests.supervisor.conftest import Bench


@pytest.fixture
def run_dir(bench: Bench) -> Path:
    [launched] = launch(bench.home, [bench.spec("steady")], start=False)
    return bench.home.run_dir(launched.run_id)


def _ended(run_dir: Path, state: State, cause: str = "") -> None:
    with EventWriter(run_dir, "worker-1") as events:
        events.write(RunState("run", "running", attempt=1), RunState("run", state, "why", "", 1, cause))


def _queued(bench: Bench) -> list[str]:
    return [status.run_id for status in list_runs(bench.home) if status.state == "queued"]


def _train(bench: Bench, run_id: str) -> dict[str, Any]:
    train: dict[str, Any] = json.loads((bench.home.run_dir(run_id) / "spec.json").read_text())["spec"]["train"]
    return train


def test_checkpoint_can_be_asked_for_while_it_runs_and_only_then(bench: Bench, run_dir: Path) -> None:
    with pytest.raises(Busy, match=r"is not running \(queued\)"):
        control.save_now(bench.home, run_dir.name)
    with Lease(run_dir / "lease") as lease, EventWriter(run_dir, "worker-1") as events:
        lease.acquire()
        events.write(RunState("run", "running", attempt=1), RunState("train", "running", attempt=1))
        assert "goes on" in control.save_now(bench.home, run_dir.name)
        assert requests.asked(run_dir) == "save"
        assert run_status(run_dir).state == "running", "to save is not to stop"
        requests.ask(run_dir, "stop")
        with pytest.raises(Busy, match="is stopping"):
            control.save_now(bench.home, run_dir.name)
        requests.done(run_dir)
        events.write(RunState("train", "finished", attempt=1))
        with pytest.raises(Busy, match="its training has ended"):
            control.save_now(bench.home, run_dir.name)


@pytest.mark.parametrize("state", ["stopped", "failed", "crashed"])
def test_run_that_ended_early_is_queued_again_in_its_place(bench: Bench, run_dir: Path, state: State) -> None:
    _ended(run_dir, state)
    [later] = launch(bench.home, [bench.spec("quick", 1)], start=False)
    requests.ask(run_dir, "discard")
    requests.hurry(run_dir)
    assert control.resume(bench.home, run_dir.name, start=False).startswith(f"{run_dir.name}: queued again, begins with step 1")
    assert _queued(bench) == [run_dir.name, later.run_id]
    assert not list((run_dir / "control").iterdir()), "what was asked of the attempt before is done"
    with pytest.raises(Busy, match="is queued already"):
        control.resume(bench.home, run_dir.name, start=False)


def test_run_is_not_queued_to_a_supervisor_that_is_about_to_end(bench: Bench, run_dir: Path) -> None:
    """It looks for the last time and lets go of its lease under the launch lock; a new one is asked for after that."""
    _ended(run_dir, "stopped")
    resuming = threading.Thread(target=lambda: control.resume(bench.home, run_dir.name, start=False))
    with launch_lock(bench.home) as lock:
        assert lock.acquire()
        resuming.start()
        bench.until(lambda: run_status(run_dir).state == "queued", "the event")
        resuming.join(0.3)
        assert resuming.is_alive()
    resuming.join(10)
    assert not resuming.is_alive()


def test_dead_worker_that_no_supervisor_saw_is_recorded_before_its_run_is_queued_again(bench: Bench, run_dir: Path) -> None:
    with EventWriter(run_dir, "worker-1") as events:
        events.write(RunState("run", "running", attempt=1), RunState("train", "running", attempt=1))
    control.resume(bench.home, run_dir.name, start=False)
    states = [(e["phase"], e["state"], e["attempt"], e["cause"]) for e in bench.events(run_dir.name, "state")]
    assert ("run", "crashed", 1, "killed") in states
    assert ("train", "crashed", 1, "killed") in states
    assert run_status(run_dir).state == "queued"


def test_what_a_dead_worker_left_behind_does_not_outlive_a_resume(bench: Bench, run_dir: Path) -> None:
    token = marks.write_spawn(run_dir, 1, "cpu:0")["token"]
    with EventWriter(run_dir, "worker-1") as events:
        events.write(RunState("run", "running", attempt=1))
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    left = subprocess.Popen(sleep, env={**os.environ, marks.PROOF_VARIABLE: token})
    stranger = subprocess.Popen(sleep, env={**os.environ, marks.PROOF_VARIABLE: "of another run"})
    try:
        control.resume(bench.home, run_dir.name, start=False)
        assert left.wait(10) == -signal.SIGKILL
        assert stranger.poll() is None
    finally:
        for process in (left, stranger):
            process.kill()
            process.wait()


def test_finished_and_running_runs_are_not_resumed(bench: Bench, run_dir: Path) -> None:
    with Lease(run_dir / "lease") as lease:
        lease.acquire()
        with pytest.raises(Busy, match="is running"):
            control.resume(bench.home, run_dir.name, start=False)
    _ended(run_dir, "finished")
    with pytest.raises(Busy, match="has finished") as caught:
        control.resume(bench.home, run_dir.name, start=False)
    assert "retry" in caught.value.hint


@pytest.mark.parametrize("act", [control.stop, control.save_now, control.resume, control.retry])
def test_unknown_run_is_said_so_and_nothing_is_made(bench: Bench, act: Callable[[Home, str], object]) -> None:
    for name in ("nothing", "../../etc", "a b"):
        with pytest.raises(BadInput):
            act(bench.home, name)
    assert [path.name for path in bench.home.runs.iterdir()] == [".supervisor"]


def test_retry_is_a_new_run_of_the_same_spec(bench: Bench, run_dir: Path) -> None:
    with pytest.raises(Busy, match=r"has not ended \(queued\)"):
        control.retry(bench.home, run_dir.name, start=False)
    _ended(run_dir, "failed", "driver")
    launched = control.retry(bench.home, run_dir.name, start=False)
    assert launched.created
    assert launched.run_id == f"{run_dir.name}-2"
    assert _train(bench, launched.run_id) == _train(bench, run_dir.name)
    assert run_status(run_dir).state == "failed", "the old run stays as it is"


def test_retry_after_the_gpu_was_full_takes_half_as_many_rows_at_once(bench: Bench, run_dir: Path) -> None:
    _ended(run_dir, "failed", "cuda_oom")
    first = control.retry(bench.home, run_dir.name, start=False).run_id
    before, after = _train(bench, run_dir.name), _train(bench, first)
    assert (before["batch_size"], before["grad_accumulation"]) == (8, 2)
    assert (after["batch_size"], after["grad_accumulation"], after["micro_batch"]) == (4, 4, "as_given")
    same = control.retry(bench.home, run_dir.name, smaller_batch=False, start=False).run_id
    assert _train(bench, same) == before


@pytest.mark.parametrize(
    ("batch", "accumulation", "rows"),
    [(8, 2, 4), (3, 2, 1), (6, 1, 3), (7, 1, 1), (1, 16, 1), (12, 3, 6), (5, 4, 2)],
)
def test_smaller_batch_keeps_the_effective_batch(batch: int, accumulation: int, rows: int) -> None:
    spec = RunSpec.model_validate({"data": "x", "train": {"batch_size": batch, "grad_accumulation": accumulation}})
    smaller = smaller_batch(spec)
    assert smaller.train.batch_size == rows
    assert smaller.train.effective_batch == spec.train.effective_batch
    assert RunSpec.model_validate(smaller.model_dump()) == smaller
    assert smaller.spec_hash() != spec.spec_hash()


def test_smaller_batch_is_smaller_on_each_of_several_gpus() -> None:
    spec = RunSpec.model_validate({"data": "x.jsonl", "train": {"batch_size": 16, "grad_accumulation": 1, "gpus": 2}})
    smaller = smaller_batch(spec)  # each has 8 rows of a step: half of them at once
    assert (smaller.train.per_gpu().batch_size, smaller.train.per_gpu().effective_batch) == (4, 8)
    assert smaller.train.effective_batch == 16
    assert RunSpec.model_validate(smaller.model_dump()) == smaller


def test_one_row_at_once_cannot_be_halved(bench: Bench) -> None:
    fields = {"batch_size": 1, "grad_accumulation": 4, "micro_batch": "as_given"}
    [launched] = launch(bench.home, [bench.spec(train=fields)], start=False)
    _ended(bench.home.run_dir(launched.run_id), "failed", "cuda_oom")
    with pytest.raises(BadInput, match="one row already") as caught:
        control.retry(bench.home, launched.run_id, start=False)
    assert "gradient_checkpointing" in caught.value.hint
    assert "nf4" in caught.value.hint
    assert _queued(bench) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not a usable spec"), ('{"spec": {"data": []}}', "not a usable spec"), ('{"kind": "evaluate"}', "is an evaluation")],
)
def test_spec_that_cannot_be_launched_again_is_said_so(bench: Bench, run_dir: Path, text: str, message: str) -> None:
    _ended(run_dir, "failed")
    (run_dir / "spec.json").write_text(text)
    with pytest.raises(BadInput, match=message):
        control.retry(bench.home, run_dir.name, start=False)
    assert len(list_runs(bench.home)) == 1


def test_stop_of_a_run_that_was_killed_meanwhile_says_that_it_has_ended(bench: Bench, run_dir: Path) -> None:
    bench.supervise()
    os.kill(bench.pid(run_dir.name), signal.SIGKILL)
    bench.until(lambda: bench.status(run_dir.name).recorded, "the crash")
    with pytest.raises(Busy, match=r"has ended already \(crashed\)"):
        control.stop(bench.home, run_dir.name, now=True)


def test_folder_that_cannot_be_written_is_bad_input_with_its_fix(bench: Bench, run_dir: Path) -> None:
    with Lease(run_dir / "lease") as lease, EventWriter(run_dir, "worker-1") as events:
        lease.acquire()
        events.write(RunState("run", "running", attempt=1))
        (run_dir / "control").write_text("a file where a folder should be")
        with pytest.raises(BadInput, match="cannot be written"):
            control.stop(bench.home, run_dir.name)
