"""Left-over processes are proven by command line, home and lease; what belongs to a run at work is never named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from em_core.doctor import processes, supervision
from em_core.home import Home
from em_core.lease import Lease
from em_core.supervisor import queue_order
from em_core.supervisor.marks import PROOF_VARIABLE, write_spawn
from tests.doctor.conftest import Start, look, unhappy


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_LOOK_AGAIN_S", 0.05)
    monkeypatch.setattr(supervision, "_LOOK_AGAIN_S", 0.05)


def until(look: Callable[[], list[processes.Ours]], n: int) -> list[processes.Ours]:
    """What is found as soon as it is so many."""
    deadline = time.monotonic() + 10
    while len(found := look()) != n and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def with_lease(start: Start, home: Home, run_id: str) -> subprocess.Popen[bytes]:
    """A worker as the supervisor starts one: the lease handed on, a session of its own."""
    lease = Lease(home.run_dir(run_id) / "lease")
    assert lease.acquire()
    process = start("worker", str(home.run_dir(run_id)), pass_fds=(lease.fileno(),), start_new_session=True)
    lease.close_copy()
    return process


def test_a_worker_with_its_lease_is_at_work(home: Home, start: Start) -> None:
    process = with_lease(start, home, "run-a")
    [found] = processes.ours(home)
    assert (found.pid, found.kind, found.run_id, found.holds) == (process.pid, "worker", "run-a", True)
    assert unhappy(home, "processes") == []


def test_a_worker_whose_run_has_no_holder_is_left_over_with_its_fix(home: Home, start: Start) -> None:
    process = start("worker", str(home.run_dir("run-a")))
    [finding] = unhappy(home, "processes")
    assert finding.status == "broken"
    assert f"pid {process.pid} of run-a" in finding.found
    assert "nobody holds the run's lease" in finding.found
    assert finding.fix.endswith(f"`kill {process.pid}`")
    assert finding.repair is None
    assert process.poll() is None


def test_a_worker_whose_folder_is_gone_is_left_over(home: Home, start: Start) -> None:
    start("worker", str(home.run_dir("deleted")))
    [finding] = unhappy(home, "processes")
    assert "the run's folder is gone" in finding.found


def test_a_second_worker_beside_the_holder_is_left_over_and_the_holder_is_not(home: Home, start: Start) -> None:
    holder = with_lease(start, home, "run-a")
    second = start("worker", str(home.run_dir("run-a")), start_new_session=True)
    [finding] = unhappy(home, "processes")
    assert f"pid {second.pid} " in finding.found
    assert str(holder.pid) not in finding.found
    assert "another process holds" in finding.found


def test_what_shares_the_holders_session_belongs_to_it(home: Home, start: Start) -> None:
    lease = Lease(home.run_dir("run-a") / "lease")
    assert lease.acquire()  # this process holds it, and the other one is in its session
    start("worker", str(home.run_dir("run-a")))
    lease.sign()
    ours = processes.ours(home)
    assert [p.holds for p in ours] == [False]
    assert processes.left_over(home, ours) == []
    lease.release()
    assert processes.left_over(home, ours) == ours


def test_ranks_of_a_launcher_belong_to_it_and_are_left_over_once_it_is_killed(home: Home, start: Start) -> None:
    lease = Lease(home.run_dir("run-a") / "lease")
    assert lease.acquire()
    environment = {**os.environ, "EM_TEST_RANK": "1"}
    launcher = start("worker", str(home.run_dir("run-a")), pass_fds=(lease.fileno(),), start_new_session=True, env=environment)
    lease.close_copy()
    [first, rank] = until(lambda: processes.ours(home), 2)
    try:
        assert (first.pid, first.holds, rank.holds) == (launcher.pid, True, False)
        assert rank.session != first.session
        assert unhappy(home, "processes") == []
        launcher.kill()
        launcher.wait()
        [finding] = unhappy(home, "processes")
        assert f"pid {rank.pid} of run-a" in finding.found
    finally:
        os.kill(rank.pid, signal.SIGKILL)


def test_workers_of_another_home_are_nobodys_business_here(home: Home, start: Start, tmp_path: Path) -> None:
    start("worker", str(tmp_path / "other" / "runs" / "run-a"))
    start("supervisor", "--home", str(tmp_path / "other"))
    assert processes.ours(home) == []


def test_a_process_that_carries_the_token_of_a_start_is_ours_whatever_its_command(home: Home) -> None:
    (home.run_dir("run-a") / "spec.json").write_text("{}")
    mark = write_spawn(home.run_dir("run-a"), 1, "cpu:0")
    environment = {**os.environ, PROOF_VARIABLE: mark["token"]}
    command = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    other = subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, PROOF_VARIABLE: "another"})
    try:
        assert [p.pid for p in until(lambda: processes.ours(home), 1)] == [process.pid]
        [finding] = unhappy(home, "processes")
        assert f"pid {process.pid} of run-a" in finding.found
    finally:
        for each in (process, other):
            each.kill()
            each.communicate()


def test_a_supervisor_without_the_lease_is_left_over_once_it_had_time(
    home: Home, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start("supervisor", "--home", str(home.root))
    assert unhappy(home, "processes") == []
    monkeypatch.setattr(processes, "_COMING_S", 0.0)
    [finding] = unhappy(home, "processes")
    assert f"pid {process.pid}" in finding.found
    assert "does not hold the lease" in finding.found


def test_a_queued_run_without_a_supervisor_is_broken_with_the_command_that_starts_it(home: Home) -> None:
    (home.run_dir("run-c")).mkdir()
    (home.run_dir("run-c") / "spec.json").write_text('{"spec_hash": "1", "spec": {}}')
    [finding] = unhappy(home, "supervision")
    assert finding.what == "supervisor"
    assert f"python -m em_core.supervisor --home {home.root}" in finding.fix
    with Lease(home.supervisor / "lease") as lease:
        lease.acquire()
        lease.sign()
        [fine] = [f for f in look(home, "supervision") if f.what == "supervisor"]
    assert fine.status == "ok"
    assert f"pid {os.getpid()}" in fine.found


def test_runs_that_nobody_looks_after_are_said(home: Home) -> None:
    (home.run_dir("run-a") / "spec.json").write_text('{"spec_hash": "1", "spec": {}}')
    [dead] = unhappy(home, "supervision")  # its events say running, and nobody holds its lease
    assert "nobody recorded the end of run-a" in dead.found
    with Lease(home.run_dir("run-a") / "lease") as lease:
        lease.acquire()
        found = {f.what: f for f in unhappy(home, "supervision")}
    assert "nobody publishes what they write" in found["supervisor"].found


def test_a_paused_queue_is_said_with_how_it_goes_on(home: Home) -> None:
    queue_order.set_paused(home, True)
    [finding] = unhappy(home, "supervision")
    assert (finding.what, finding.status) == ("queue", "note")
    assert "queue" in finding.fix
    queue_order.set_paused(home, False)
    assert unhappy(home, "supervision") == []


def test_a_spec_that_cannot_be_read_is_named(home: Home) -> None:
    (home.run_dir("run-a") / "spec.json").write_text("{")
    [finding] = [f for f in unhappy(home, "supervision") if f.what == "runs"]
    assert "run-a" in finding.found


def test_a_lock_that_stays_is_shown_with_its_holder(home: Home, start: Start) -> None:
    lease = Lease(home.supervisor / "launch.lock")
    assert lease.acquire()
    process = start("worker", str(home.run_dir("x")), pass_fds=(lease.fileno(),))
    lease.close_copy()
    [finding] = [f for f in unhappy(home, "supervision") if f.what == "lock"]
    assert f"pid {process.pid}" in finding.found


def test_a_run_held_by_nobody_that_can_be_seen_is_said(home: Home) -> None:
    (home.run_dir("run-a") / "spec.json").write_text('{"spec_hash": "1", "spec": {}}')
    with Lease(home.run_dir("run-a") / "lease") as lease:
        lease.acquire()  # this very process is left out of the search
        [finding] = [f for f in unhappy(home, "supervision") if f.what == "lease"]
    assert "cannot see" in finding.found
