"""The supervisor with real processes: deaths of workers and supervisors, order, slots, stopping, ending."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from em_core.errors import Busy, WorkFailed
from em_core.home import PROJECT, Home
from em_core.lease import Lease, held
from em_core.supervisor import control, ensure_running, is_running
from em_core.supervisor.evidence import list_runs
from em_core.supervisor.launch import launch
from em_core.supervisor.live import LiveRun, active_runs
from em_core.supervisor.marks import read_spawns
from tests.supervisor.conftest import Bench


def _launch(bench: Bench, *behaviours: str) -> list[str]:
    specs = [bench.spec(behaviour, seed) for seed, behaviour in enumerate(behaviours)]
    return [item.run_id for item in launch(bench.home, specs, start=False)]


def _crashes(bench: Bench, run_id: str) -> list[dict[str, object]]:
    return [e for e in bench.events(run_id, "state") if e["phase"] == "run" and e["state"] == "crashed"]


def test_killed_worker_is_crashed_exactly_once_and_its_slot_is_free_again(bench: Bench) -> None:
    bench.supervise(slots="cpu")
    first, second = _launch(bench, "steady", "quick")
    os.kill(bench.pid(first), signal.SIGKILL)
    bench.until(lambda: bench.status(second).state == "finished", "the second run")
    [crash] = _crashes(bench, first)
    assert "killed by SIGKILL" in str(crash["reason"])
    assert "fake worker begins" in str(crash["reason"])
    assert bench.status(first).phases == {"train": "crashed"}
    bench.supervise(wait=False).wait(10)  # a second one, and another look at everything
    time.sleep(0.5)
    assert len(_crashes(bench, first)) == 1


def test_killed_supervisor_leaves_workers_alone_and_the_next_one_adopts_them(bench: Bench) -> None:
    supervisor = bench.supervise()
    ids = _launch(bench, "steady", "steady", "quick")
    pids = [bench.pid(run_id) for run_id in ids[:2]]
    supervisor.kill()
    supervisor.wait()
    assert not is_running(bench.home)
    n_before = len(bench.events(ids[0], "response"))
    bench.until(lambda: len(bench.events(ids[0], "response")) > n_before + 5, "the worker to go on")
    assert bench.states() == ["running", "running", "queued"]
    bench.supervise()
    time.sleep(0.7)
    assert [bench.pid(run_id) for run_id in ids[:2]] == pids, "a worker was replaced"
    assert bench.status(ids[2]).state == "queued", "both slots are taken by adopted runs"
    os.kill(pids[0], signal.SIGKILL)  # not a child of the new supervisor
    bench.until(lambda: bench.status(ids[2]).state == "finished", "the queued run to get the slot")
    assert len(_crashes(bench, ids[0])) == 1
    assert len((bench.home.run_dir(ids[1]) / "spawned").read_bytes().split(b"\n")) == 2
    control.stop(bench.home, ids[1])
    bench.until(lambda: bench.status(ids[1]).state == "stopped", "the adopted run to stop")


def test_terminated_supervisor_ends_cleanly_and_workers_go_on(bench: Bench) -> None:
    supervisor = bench.supervise()
    [run_id] = _launch(bench, "steady")
    pid = bench.pid(run_id)
    supervisor.terminate()
    assert supervisor.wait(15) == 0
    assert bench.status(run_id).pid == pid
    assert "runs go on" in bench.log()
    assert bench.home.database.exists()


def test_two_supervisors_are_one(bench: Bench) -> None:
    processes = [bench.supervise(wait=False) for _ in range(3)]
    bench.until(lambda: sum(p.poll() is None for p in processes) == 1, "two of three to step back")
    bench.until(lambda: "started, pid" in bench.log(), "the third")
    assert [p.returncode for p in processes if p.returncode is not None] == [0, 0]
    assert bench.log().count("started, pid") == 1


def test_run_is_tried_again_when_its_worker_died_before_the_first_word(bench: Bench) -> None:
    bench.supervise()
    once, always = _launch(bench, "die-once", "die-early")
    bench.until(lambda: bench.status(once).state == "finished", "the second start")
    bench.until(lambda: bench.status(always).recorded, "the second start to be the last")
    status = bench.status(always)
    assert (status.state, status.spawns) == ("crashed", 0)
    assert "exit code 7" in status.reason
    assert "no model here" in status.reason
    assert len(_crashes(bench, always)) == 1
    assert len(read_spawns(bench.home.run_dir(always))) == 2


def test_supervisor_killed_between_mark_and_start_loses_nothing(bench: Bench) -> None:
    [run_id] = _launch(bench, "quick")
    mark = {"t": time.time(), "attempt": 1, "slot": "cpu:0", "supervisor_pid": 1}
    (bench.home.run_dir(run_id) / "spawned").write_text(json.dumps(mark) + "\n")
    assert bench.status(run_id).state == "queued"
    bench.supervise()
    bench.until(lambda: bench.status(run_id).state == "finished", "the run")


def test_stale_records_never_block_the_queue(bench: Bench) -> None:
    stale, broken, good = _launch(bench, "quick", "quick", "quick")
    content = {"pid": os.getpid(), "create_time": psutil.Process().create_time(), "boot_id": "x"}
    (bench.home.run_dir(stale) / "lease").write_text(json.dumps(content))  # a pid that lives, and is not the worker
    (bench.home.run_dir(broken) / "spec.json").write_text("{")
    bench.supervise(slots="cpu")
    bench.until(lambda: {bench.status(stale).state, bench.status(good).state} == {"finished"}, "both good runs")
    bench.until(lambda: bench.status(broken).recorded, "the broken run to be given up")
    assert bench.status(broken).state == "crashed"


def test_forked_child_of_a_killed_worker_neither_holds_the_run_nor_outlives_it(bench: Bench) -> None:
    bench.supervise()
    [run_id] = _launch(bench, "fork")
    pid = bench.pid(run_id)
    children = psutil.Process(pid).children()
    os.kill(pid, signal.SIGKILL)
    try:
        bench.until(lambda: bench.status(run_id).recorded, "the crash", seconds=10)
        assert len(children) == 1
        assert not children[0].is_running() or children[0].status() == psutil.STATUS_ZOMBIE
    finally:
        for child in children:
            child.kill()


@pytest.mark.slow
def test_queued_run_is_stopped_at_once_and_never_starts(bench: Bench) -> None:
    [run_id] = _launch(bench, "steady")
    assert "was queued, now stopped" in control.stop(bench.home, run_id)
    assert bench.status(run_id).state == "stopped"
    with pytest.raises(Busy, match=r"ended already \(stopped\)"):
        control.stop(bench.home, run_id)
    bench.supervise()
    time.sleep(0.5)
    assert not (bench.home.run_dir(run_id) / "spawned").exists()


def test_running_run_stops_when_asked_and_says_how(bench: Bench) -> None:
    bench.supervise()
    kept, discarded = _launch(bench, "steady", "steady")
    bench.until(lambda: bench.states() == ["running"] * 2, "both to run")
    assert "saves a checkpoint first" in control.stop(bench.home, kept)
    assert "without saving" in control.stop(bench.home, discarded, discard=True)
    bench.until(lambda: bench.states() == ["stopped"] * 2, "both to stop")


def test_stop_request_for_a_run_that_is_just_starting_is_kept(bench: Bench) -> None:
    [run_id] = _launch(bench, "die-early")
    with Lease(bench.home.run_dir(run_id) / "lease") as lease:
        lease.acquire()
        control.stop(bench.home, run_id)
    bench.supervise()
    bench.until(lambda: bench.status(run_id).state == "stopped", "the request to be honoured")
    assert not (bench.home.run_dir(run_id) / "spawned").exists()


def test_idle_supervisor_publishes_and_ends_by_itself(bench: Bench) -> None:
    supervisor = bench.supervise(idle_s=1)
    [run_id] = _launch(bench, "quick")
    assert supervisor.wait(30) == 0
    assert bench.status(run_id).state == "finished"
    assert not is_running(bench.home)
    from em_core.store import queries

    states = queries.runs(bench.home)
    assert run_id in set(states["run_id"])


def test_publishing_that_fails_never_stops_the_runs_and_is_said_once(bench: Bench) -> None:
    (bench.home.supervisor / "publish.lock").mkdir()
    bench.supervise()
    ids = _launch(bench, "quick", "quick")
    bench.until(lambda: bench.states() == ["finished"] * 2, "both runs")
    bench.until(lambda: "publishing:" in bench.log(), "the complaint")
    assert bench.log().count("publishing:") == 1
    assert len(ids) == 2


def test_ensure_running_starts_one_that_outlives_its_starter(bench: Bench) -> None:
    code = "import sys; from pathlib import Path; from em_core.home import Home; from em_core.supervisor import ensure_running\n"
    code += "home = Home(Path(sys.argv[1])); ensure_running(home); ensure_running(home)"
    environment = {**os.environ, "EM_IDLE_S": "3"}
    starters = [
        subprocess.Popen([sys.executable, "-c", code, str(bench.home.root)], cwd=PROJECT, env=environment) for _ in range(2)
    ]
    assert [starter.wait(30) for starter in starters] == [0, 0]
    assert is_running(bench.home)
    assert bench.log().count("started, pid") <= 1
    bench.until(lambda: not is_running(bench.home), "it to end by itself")


def test_supervisor_that_cannot_start_says_why(bench: Bench) -> None:
    with pytest.raises(WorkFailed, match="no slot for you"):
        ensure_running(bench.home, [sys.executable, "-c", "import sys; print('no slot for you'); sys.exit(2)"])


def test_supervisor_that_fails_while_starting_is_not_taken_for_a_running_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EM_SLOTS", "tpu")
    with pytest.raises(WorkFailed, match="'tpu' is not a slot"):
        ensure_running(bench.home)
    assert not is_running(bench.home)


def test_a_run_at_work_is_shown_as_it_grows_and_queued_ones_are_not(bench: Bench) -> None:
    bench.supervise(slots="cpu")
    first, _, _ = _launch(bench, "steady", "quick", "quick")
    bench.until(lambda: len(bench.events(first, "response")) > 3, "some answers")
    [running] = active_runs(bench.home)
    assert (running.status.run_id, running.status.state) == (first, "running")

    def n_answers(run: LiveRun) -> int:
        return next(phase.done for phase in run.phases if phase.name == "sample")

    assert n_answers(running) > 3
    bench.until(lambda: n_answers(active_runs(bench.home)[0]) > n_answers(running), "more answers")


def test_home_that_does_not_exist_yet_has_no_runs(tmp_path: Path) -> None:
    assert list_runs(Home(tmp_path / "none")) == []
    assert active_runs(Home(tmp_path / "none")) == []
    assert not held(tmp_path / "none" / "lease")
