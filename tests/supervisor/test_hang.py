"""Workers that make no sign of life or do not end when asked: ended step by step, and nobody else is."""

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

from em_core import alive, requests
from em_core.errors import BadInput
from em_core.events import EventWriter
from em_core.home import Home
from em_core.lease import Lease
from em_core.records import RunState
from em_core.supervisor import control
from em_core.supervisor.evidence import run_status
from em_core.supervisor.launch import launch
from em_core.supervisor.marks import read_ending
from em_core.supervisor.watch import Patience, Watch
from tests.supervisor.conftest import Bench


def _launch(bench: Bench, behaviour: str, seed: int = 0) -> str:
    return launch(bench.home, [bench.spec(behaviour, seed)], start=False)[0].run_id


def _at_work(bench: Bench, behaviour: str) -> str:
    """A run whose worker has begun, under a supervisor that has gone: starting takes its time on a busy machine."""
    supervisor = bench.supervise(hang_s=0)
    run_id = _launch(bench, behaviour)
    bench.pid(run_id)
    supervisor.terminate()
    supervisor.wait()
    return run_id


def test_silent_worker_is_ended_with_its_stack_in_the_log_and_resumed_once(bench: Bench) -> None:
    run_id = _at_work(bench, "hang")
    bench.supervise(auto_resume=True, hang_s=0.6, dump_s=0.3, term_s=0.4)
    bench.until(lambda: len(_ends(bench, run_id)) == 2, "both attempts to be ended")
    first, second = _ends(bench, run_id)
    assert (first["state"], first["cause"], first["attempt"]) == ("crashed", "hang", 1)
    assert (second["cause"], second["attempt"]) == ("hang", 2), "resumed by itself exactly once"
    assert "no sign of life" in str(first["reason"])
    log = (bench.home.run_dir(run_id) / "worker.log").read_text()
    assert "_sit_and_wait" in log, "the stack says where it hung"
    time.sleep(0.5)
    assert bench.status(run_id).state == "crashed"
    queued = [e for e in bench.events(run_id, "state") if e["state"] == "queued" and e["attempt"]]
    assert [(e["cause"], e["attempt"]) for e in queued] == [("automatic", 2)]


def test_worker_that_ignores_sigterm_is_killed(bench: Bench) -> None:
    run_id = _at_work(bench, "stubborn")
    bench.supervise(hang_s=0.5, dump_s=0.1, term_s=0.3)
    bench.until(lambda: bench.status(run_id).recorded, "the end")
    assert bench.status(run_id).cause == "hang"
    assert "sent SIGTERM" in bench.log()
    assert "sent SIGKILL" in bench.log()


def test_worker_that_reads_and_writes_without_a_word_is_not_hung(bench: Bench) -> None:
    run_id = _at_work(bench, "busy")
    pid = bench.pid(run_id)
    bench.supervise(hang_s=1.0, dump_s=0.1, term_s=0.1)
    time.sleep(3)
    assert bench.pid(run_id) == pid
    control.stop(bench.home, run_id)
    bench.until(lambda: bench.status(run_id).state == "stopped", "it to stop")


def test_discarded_run_whose_worker_does_not_react_is_ended_and_counts_as_stopped(bench: Bench) -> None:
    bench.supervise(hang_s=0, discard_s=0.3, dump_s=0.05, term_s=0.3)
    run_id = _launch(bench, "stubborn")
    bench.pid(run_id)
    control.stop(bench.home, run_id, discard=True)
    bench.until(lambda: bench.status(run_id).recorded, "the end")
    status = bench.status(run_id)
    assert (status.state, status.cause) == ("stopped", "user")
    assert "did not end within" in status.reason


def test_stop_now_waits_for_seconds_only_and_a_plain_stop_waits_on(bench: Bench) -> None:
    bench.supervise(hang_s=0, discard_s=600, now_s=0.2, dump_s=0.05, term_s=0.1)
    patient, hurried = _launch(bench, "stubborn"), _launch(bench, "stubborn", 1)
    pid = bench.pid(patient)
    bench.pid(hurried)
    control.stop(bench.home, patient)
    assert "stops now" in control.stop(bench.home, hurried, now=True)
    bench.until(lambda: bench.status(hurried).state == "stopped", "the hurried one")
    assert bench.status(patient).state == "stopping"
    assert bench.status(patient).pid == pid


def test_process_that_is_not_proven_ours_is_never_signalled(bench: Bench) -> None:
    """A recycled pid in the lease file, and the lease held by somebody unknown: a complaint, no signal."""
    run_id = _launch(bench, "steady")
    run_dir = bench.home.run_dir(run_id)
    with EventWriter(run_dir, "worker-1") as events:
        events.write(RunState("run", "running", attempt=1))
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with Lease(run_dir / "lease") as lease:
            lease.acquire()
            boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            recycled = {"pid": stranger.pid, "create_time": psutil.Process(stranger.pid).create_time() - 100, "boot_id": boot_id}
            os.pwrite(lease.fileno(), json.dumps(recycled).encode(), 0)
            requests.ask(run_dir, "discard")
            complaints: list[str] = []
            now = [0.0]
            watch = Watch(
                bench.home, Patience(hang_s=0, discard_s=1), lambda _, text: complaints.append(text), clock=lambda: now[0]
            )
            for now[0] in (0.0, 2.0, 10.0, 60.0):
                watch.turn([run_status(run_dir)])
        assert complaints == ["is to be ended, but no process is proven to be its worker; none was signalled"]
        assert stranger.poll() is None
        assert read_ending(run_dir, 1)
    finally:
        stranger.kill()
        stranger.wait()


def test_silence_is_measured_by_what_the_supervisor_saw_not_by_file_times(bench: Bench) -> None:
    run_id = _launch(bench, "steady")
    run_dir = bench.home.run_dir(run_id)
    with EventWriter(run_dir, "worker-1") as events:
        events.write(RunState("run", "running", attempt=1))
    for path in (run_dir / "events").iterdir():
        os.utime(path, (1, 1))  # as if the clock had been set forward by decades
    now = [1000.0]
    watch = Watch(bench.home, Patience(hang_s=60), lambda _about, _text: None, clock=lambda: now[0])
    with Lease(run_dir / "lease") as lease:
        lease.acquire()
        status = run_status(run_dir)
        assert status.quiet_s is not None
        for now[0] in (1000.0, 1040.0, 1050.0):
            watch.turn([status])
        assert read_ending(run_dir, 1) is None, "a supervisor that has looked for 50 s knows of 50 s of silence"
        (run_dir / "alive").touch()
        for now[0] in (1059.0, 1065.0, 1100.0, 1110.0):
            watch.turn([status])
        assert read_ending(run_dir, 1) is None, "a beat counts"
        now[0] = 1125.0
        watch.turn([status])
        assert read_ending(run_dir, 1) == ("hang", "no sign of life for 60 s: it was ended")


def test_supervisor_that_did_not_look_for_long_gives_the_run_time_to_move(bench: Bench) -> None:
    run_id = _launch(bench, "steady")
    run_dir = bench.home.run_dir(run_id)
    now = [1000.0]
    watch = Watch(bench.home, Patience(hang_s=60), lambda _about, _text: None, clock=lambda: now[0])
    with Lease(run_dir / "lease") as lease:
        lease.acquire()
        status = run_status(run_dir)
        for now[0] in (1000.0, 2000.0):  # it was halted, and the run with it
            watch.turn([status])
        assert read_ending(run_dir, 0) is None
        (run_dir / "alive").touch()
        for now[0] in (2010.0, 2030.0, 2050.0):
            watch.turn([status])
        assert read_ending(run_dir, 0) is None
        now[0] = 2080.0
        watch.turn([status])
        assert read_ending(run_dir, 0) is not None


def test_next_supervisor_knows_why_the_last_one_ended_a_worker(bench: Bench) -> None:
    run_id = _at_work(bench, "stubborn")
    supervisor = bench.supervise(hang_s=0.5, dump_s=0.0, term_s=600)
    bench.until(lambda: "sent SIGTERM" in bench.log(), "the first signal")
    supervisor.kill()
    supervisor.wait()
    os.kill(bench.pid(run_id), signal.SIGKILL)
    bench.supervise(hang_s=0, wait=False)
    bench.until(lambda: bench.status(run_id).recorded, "the crash")
    assert bench.status(run_id).cause == "hang"


def test_beat_costs_one_write_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive.beat(tmp_path)
    stamp = (tmp_path / "alive").stat().st_mtime_ns
    for _ in range(1000):
        alive.beat()
    assert (tmp_path / "alive").stat().st_mtime_ns == stamp
    monkeypatch.setattr(alive, "BEAT_S", 0.0)
    alive.beat()
    assert (tmp_path / "alive").stat().st_mtime_ns > stamp
    assert alive.quiet_s(tmp_path) < 60  # type: ignore[operator]
    assert alive.quiet_s(tmp_path / "none") is None
    alive.beat(tmp_path / "none")  # a folder that went away is nothing to die of


def test_minutes_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EM_HANG_MINUTES", "0.5")
    assert Patience.from_environment().hang_s == 30
    for wrong in ("soon", "-1", "nan", "inf"):
        monkeypatch.setenv("EM_HANG_MINUTES", wrong)
        with pytest.raises(BadInput, match="EM_HANG_MINUTES"):
            Patience.from_environment()


def _ends(bench: Bench, run_id: str) -> list[dict[str, object]]:
    return [e for e in bench.events(run_id, "state") if e["phase"] == "run" and e["state"] not in ("queued", "running")]


def test_home_of_a_watch_may_have_no_runs(tmp_path: Path) -> None:
    Watch(Home(tmp_path), Patience(), lambda _about, _text: None).turn([])
