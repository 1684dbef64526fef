"""A run queued again: by a person, by itself once; attempts, requests and marks of it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from em_core import checkpoints, requests
from em_core.causes import Cause
from em_core.events import EventWriter, next_attempt
from em_core.lease import Lease
from em_core.records import RunState, State
from em_core.store import queries
from em_core.store.publish import publish
from em_core.supervisor import control
from em_core.supervisor.evidence import decide, run_status
from em_core.supervisor.launch import launch
from em_core.supervisor.requeue import WITHIN_S, goes_on, may_resume_by_itself, requeue
from tests.supervisor.conftest import Bench


@pytest.fixture
def run_dir(bench: Bench) -> Path:
    [launched] = launch(bench.home, [bench.spec("steady")], start=False)
    return bench.home.run_dir(launched.run_id)


def _attempt(run_dir: Path, number: int, state: State, cause: Cause = "") -> None:
    with EventWriter(run_dir, f"worker-{number}") as events:
        events.write(RunState("run", "running", attempt=number), RunState("run", state, "why", "", number, cause))


def _may(run_dir: Path) -> bool:
    return may_resume_by_itself(run_dir, run_status(run_dir))


def _requeue(run_dir: Path, cause: Cause = "") -> None:
    with Lease(run_dir / "lease") as lease:
        assert lease.acquire()
        requeue(run_dir, "", cause)


@pytest.mark.parametrize(
    ("state", "cause", "expected"),
    [
        ("crashed", "killed", True),
        ("crashed", "reboot", True),
        ("crashed", "hang", True),
        ("failed", "driver", True),
        ("stopped", "killed", True),  # SIGTERM when the machine went down
        ("stopped", "user", False),
        ("failed", "cuda_oom", False),
        ("crashed", "host_oom", False),
        ("failed", "disk_full", False),
        ("failed", "bad_input", False),
        ("failed", "not_a_number", False),
        ("crashed", "", False),
        ("finished", "", False),
    ],
)
def test_only_what_is_likely_to_have_passed_is_resumed_by_itself(
    run_dir: Path, state: State, cause: Cause, expected: bool
) -> None:
    _attempt(run_dir, 1, state, cause)
    assert _may(run_dir) is expected


def test_it_is_resumed_by_itself_once_and_again_after_a_person_did(
    bench: Bench, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _attempt(run_dir, 1, "crashed", "killed")
    assert _may(run_dir)
    _requeue(run_dir, "automatic")
    assert (run_status(run_dir).state, run_status(run_dir).cause) == ("queued", "automatic")
    assert not _may(run_dir)
    _attempt(run_dir, 2, "crashed", "killed")
    assert not _may(run_dir), "it was, once"
    control.resume(bench.home, run_dir.name, start=False)
    _attempt(run_dir, 3, "crashed", "killed")
    assert _may(run_dir)
    requests.ask(run_dir, "stop")
    assert not _may(run_dir), "its end was asked for"
    requests.done(run_dir)
    monkeypatch.setenv("EM_AUTO_RESUME", "0")
    assert not _may(run_dir)


def test_end_of_long_ago_is_left_alone(run_dir: Path) -> None:
    _attempt(run_dir, 1, "crashed", "killed")
    status = run_status(run_dir)
    assert may_resume_by_itself(run_dir, status, time.time() + WITHIN_S - 60)
    assert not may_resume_by_itself(run_dir, status, time.time() + WITHIN_S + 60)
    with EventWriter(run_dir, "evaluate-later") as events:  # answers that were asked for later make the end no younger
        events.write(RunState("evaluate", "finished"))
    assert not may_resume_by_itself(run_dir, status, time.time() + WITHIN_S + 60)


def test_queueing_again_is_an_attempt_of_its_own_whatever_the_clock_says(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 2e9)  # the clock is set back later
    _attempt(run_dir, 1, "stopped", "user")
    requests.ask(run_dir, "stop")
    monkeypatch.undo()
    _requeue(run_dir)
    status = run_status(run_dir)
    assert (status.state, status.attempt, next_attempt(run_dir)) == ("queued", 2, 2)
    assert requests.asked(run_dir) == "", "requests were about the attempt that ended"
    _attempt(run_dir, 2, "finished")
    assert run_status(run_dir).state == "finished"


def test_crash_before_the_first_word_can_be_queued_again(bench: Bench, run_dir: Path) -> None:
    (run_dir / "spawned").write_text('{"t": 1, "attempt": 1, "slot": "cpu:0"}\n' * 2)
    bench.supervise()
    bench.until(lambda: bench.status(run_dir.name).recorded, "it to be given up")
    control.resume(bench.home, run_dir.name, start=False)
    bench.until(lambda: bench.status(run_dir.name).state == "running", "the next attempt")
    assert bench.status(run_dir.name).attempt == 2
    control.stop(bench.home, run_dir.name)
    bench.until(lambda: bench.status(run_dir.name).state == "stopped", "it to stop")


def test_killed_run_is_resumed_by_itself_once_then_by_a_person(bench: Bench, run_dir: Path) -> None:
    bench.supervise(auto_resume=True)
    name = run_dir.name
    os.kill(bench.pid(name), signal.SIGKILL)
    bench.until(lambda: bench.status(name).attempt == 2 and bench.status(name).state == "running", "the second attempt")
    os.kill(bench.pid(name), signal.SIGKILL)
    bench.until(lambda: bench.status(name).recorded, "the second crash")
    time.sleep(0.3)
    assert (bench.status(name).state, bench.status(name).cause, bench.status(name).attempt) == ("crashed", "killed", 2)
    control.resume(bench.home, name, start=False)
    bench.until(lambda: bench.status(name).attempt == 3 and bench.status(name).state == "running", "the third attempt")
    control.stop(bench.home, name)
    bench.until(lambda: bench.status(name).state == "stopped", "the end")
    ends = [e for e in bench.events(name, "state") if e["phase"] == "run" and e["state"] in ("crashed", "stopped")]
    assert [(e["attempt"], e["state"]) for e in sorted(ends, key=lambda e: e["attempt"])] == [
        (1, "crashed"),
        (2, "crashed"),
        (3, "stopped"),
    ]
    publish(bench.home)
    runs = queries.runs(bench.home).set_index("run_id")
    assert (runs.loc[name, "run_state"], runs.loc[name, "run_cause"]) == ("stopped", "")


def test_sigterm_is_resumed_because_nobody_asked_for_the_end(bench: Bench, run_dir: Path) -> None:
    """As when the machine is shut down: the next supervisor goes on."""
    _attempt(run_dir, 1, "stopped", "killed")
    bench.supervise(auto_resume=True)
    bench.until(lambda: bench.status(run_dir.name).state == "running", "the second attempt")
    control.stop(bench.home, run_dir.name)
    bench.until(lambda: bench.status(run_dir.name).state == "stopped", "the end")


def test_reboot_is_seen_by_the_next_supervisor_and_the_run_goes_on(bench: Bench, run_dir: Path) -> None:
    with EventWriter(run_dir, "worker-1") as events:
        events.write(RunState("run", "running", attempt=1), RunState("train", "running", attempt=1))
    (run_dir / "spawned").write_text('{"t": 1, "attempt": 1, "slot": "cpu:0", "boot_id": "another"}\n')
    bench.supervise(auto_resume=True)
    bench.until(lambda: bench.status(run_dir.name).attempt == 2, "it to go on")
    [crash] = [e for e in bench.events(run_dir.name, "state") if e["state"] == "crashed" and e["phase"] == "run"]
    assert (crash["cause"], crash["attempt"]) == ("reboot", 1)
    control.stop(bench.home, run_dir.name)
    bench.until(lambda: bench.status(run_dir.name).state == "stopped", "the end")


def test_it_says_from_which_step_it_goes_on(run_dir: Path) -> None:
    assert "begins with step 1" in goes_on(run_dir)

    def files(folder: Path) -> None:
        (folder / "adapter_model.safetensors").write_bytes(b"weights")

    checkpoints.publish(run_dir / "checkpoints", 4, files, {})
    assert "begins with step 1" in goes_on(run_dir), "without its training state a checkpoint is not gone on from"
    checkpoints.publish(run_dir / checkpoints.RESUME, 4, files, {})
    assert goes_on(run_dir) == "goes on from step 4"
    with Lease(run_dir / "lease") as lease:
        lease.acquire()
        assert decide(run_dir, held=False).state == "queued"
