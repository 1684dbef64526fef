"""Workers started on GPUs: real processes beside a stand-in for the driver, whose memory the tests decide on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from em_core import machine, ranks
from em_core.supervisor import queue_order, waiting
from em_core.supervisor.evidence import list_runs
from em_core.supervisor.filling import Filling
from em_core.supervisor.launch import launch
from em_core.supervisor.slots import Seat, Slot
from tests.nvml.driver import Driver, build
from tests.supervisor.conftest import Bench

ZERO, ONE, CPU = Slot("gpu:0", "0"), Slot("gpu:1", "1"), Slot("cpu:0")
WORKER = """
import json, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
def say(state):
    event = {"kind": "state", "t": time.time(), "phase": "run", "state": state, "attempt": 1}
    with (folder / "events" / "worker-1.jsonl").open("a") as file:
        file.write(json.dumps(event) + chr(10))
say("running")
(folder / "told.new").write_text(json.dumps(dict(os.environ)))
(folder / "told.new").rename(folder / "told.json")
while not (folder / "control" / "stop").exists():
    time.sleep(0.02)
say("finished")
"""
REAL = "Qwen/Qwen2.5-14B-Instruct"


class Desk:
    """A home, a driver, and a supervisor's hand that starts workers."""

    def __init__(self, bench: Bench, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench, self.home, self.driver = bench, bench.home, driver
        self.seats: dict[str, Seat] = {}
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.complaints: list[str] = []
        self._n, self._monkeypatch = 0, monkeypatch
        monkeypatch.setattr("em_core.supervisor.filling.ASK_AGAIN_S", 0.0)

    def open(self, *slots: Slot) -> None:
        """A supervisor begins, with nothing in its head."""
        self.seats = {}
        self._monkeypatch.setenv("EM_SLOTS", ",".join("cpu" if not slot.is_gpu else slot.name for slot in slots))
        self._filling = Filling(self.home, [sys.executable, "-c", WORKER], self._complain, slots)

    def look_for_slots(self) -> None:
        """A supervisor begins that finds its slots itself."""
        self.seats = {}
        self._filling = Filling(self.home, [sys.executable, "-c", WORKER], self._complain)

    def _complain(self, about: str, message: str) -> None:
        self.complaints.append(f"{about}: {message}")

    def queue(self, *needs: float | None, gpus: int = 1, toy: bool = False) -> list[str]:
        """Launch runs that need so many GiB on each GPU."""
        specs = []
        for _ in needs:
            self._n += 1
            specs.append(self.bench.spec("quick", self._n, **({} if toy else {"base_model": REAL})))
        ids = [item.run_id for item in launch(self.home, specs, start=False)]
        for run_id, gib in zip(ids, needs, strict=True):
            path = self.home.run_dir(run_id) / "spec.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"needs": {"gpus": gpus, "gpu_gib": gib}}))
        return ids

    def turn(self) -> dict[str, str]:
        """What is started now: run and seat."""
        statuses = list_runs(self.home)
        active = [status for status in statuses if status.active]
        queued = [status for status in statuses if status.state == "queued"]
        started = self._filling.fill(active, queued, self.seats)
        for run in started:
            self.seats[run.run_id], self.workers[run.run_id] = run.seat, run.process
        return {run.run_id: run.seat.name for run in started}

    def told(self, run_id: str) -> dict[str, str]:
        """The environment of a worker."""
        path = self.home.run_dir(run_id) / "told.json"
        self.bench.until(path.exists, "the worker to begin")
        found: dict[str, str] = json.loads(path.read_text())
        return found

    def end(self, run_id: str) -> None:
        """A worker ends, and its supervisor notices."""
        folder = self.home.run_dir(run_id) / "control"
        folder.mkdir(exist_ok=True)
        (folder / "stop").touch()
        self.told(run_id)
        self.workers.pop(run_id).wait(20)
        self.seats.pop(run_id, None)

    def why(self, run_id: str) -> str:
        return next(w.reason for w in waiting.overview(self.home).waiting if w.status.run_id == run_id)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def desk(bench: Bench, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    for name in ("CUDA_VISIBLE_DEVICES", "EM_RUNS_PER_GPU", "EM_GPU_GIB"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("em_core.plan.needs", None, raising=False)
    made = Desk(bench, Driver(library, tmp_path, monkeypatch), monkeypatch)
    try:
        yield made
    finally:
        for worker in made.workers.values():
            worker.kill()
            worker.wait(10)


def gpu(number: int, used: float = 0.5, total: float = 80.0, held: Sequence[tuple[int, float]] = ()) -> str:
    """A GPU of the driver's file, with what programs hold of it (pid, GiB)."""
    lines = [f"gpu GPU-{number} {total * 1024:.0f} {(total - used) * 1024:.0f} 0 40 90000 700000 0 H100"]
    lines += [f"held GPU-{number} {pid} {gib * 1024:.0f} python" for pid, gib in held]
    return "\n".join(lines) + "\n"


def test_two_small_runs_share_a_gpu_with_budgets_and_the_third_follows_when_one_ends(desk: Desk) -> None:
    desk.driver.says(gpu(0))
    desk.open(ZERO)
    first, second, third = desk.queue(10, 12, 14)
    assert desk.turn() == {first: "gpu:0", second: "gpu:0"}
    told = desk.told(first)
    assert (told["CUDA_VISIBLE_DEVICES"], told["EM_GPU_GIB"]) == ("0", "39.75")
    assert desk.turn() == {}
    assert desk.why(third) == f"GPU 0 has {first}, {second}; no more share a GPU (EM_RUNS_PER_GPU)"
    desk.end(first)
    assert desk.turn() == {third: "gpu:0"}


def test_large_run_is_alone_and_unlimited(desk: Desk) -> None:
    desk.driver.says(gpu(0))
    desk.open(ZERO)
    large, small = desk.queue(60, 5)
    assert desk.turn() == {large: "gpu:0"}
    assert "EM_GPU_GIB" not in desk.told(large)
    assert desk.why(small) == f"GPU 0 is taken by {large}"


def test_run_on_two_gpus_waits_for_both_and_is_told_of_both(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "command", lambda command, n_gpus: [*command])  # accelerate takes seconds to start
    desk.driver.says(gpu(0) + gpu(1))
    desk.open(ZERO, ONE)
    [one] = desk.queue(50)
    assert desk.turn() == {one: "gpu:0"}
    [both] = desk.queue(50, gpus=2)
    [small] = desk.queue(5)
    assert desk.turn() == {}, "the second GPU is kept for the run in front"
    assert desk.why(both) == f"it waits for 2 GPUs at once: GPU 0 is taken by {one}; GPU 1 is free"
    desk.end(one)
    assert desk.turn() == {both: "gpu:0+gpu:1"}
    told = desk.told(both)
    assert (told["CUDA_VISIBLE_DEVICES"], told["EM_GPUS"]) == ("0,1", "2")
    desk.end(both)
    assert desk.turn() == {small: "gpu:0"}


def test_other_programs_memory_counts_as_taken_until_they_let_go(desk: Desk) -> None:
    desk.driver.says(gpu(0, 70.5, held=[(os.getpid(), 70.0)]))
    desk.open(ZERO)
    [run] = desk.queue(30)
    assert desk.turn() == {}
    words = f"70.5 by other programs (python (pid {os.getpid()}, 70.0 GiB)); this run needs 30.0"
    assert desk.why(run) == f"GPU 0 is full: 70.5 of 80 GiB taken, {words}"
    desk.driver.says(gpu(0))
    assert desk.turn() == {run: "gpu:0"}


def test_memory_of_our_own_run_is_not_taken_for_somebody_elses(desk: Desk) -> None:
    desk.driver.says(gpu(0))
    desk.open(ZERO)
    first, second = desk.queue(30, 30)
    queue_order.set_paused(desk.home, False)
    assert len(desk.turn()) == 2
    pid = desk.workers[first].pid
    desk.told(first)
    desk.end(second)
    desk.driver.says(gpu(0, 30.5, held=[(pid, 30.0)]))
    [slot] = waiting.overview(desk.home).slots[:1]
    assert (slot.foreign_gib, slot.others) == (0.5, ())
    [third] = desk.queue(30)
    assert desk.turn() == {third: "gpu:0"}


def test_programs_that_a_container_hides_are_noticed_by_the_memory_that_is_gone(desk: Desk) -> None:
    desk.driver.says(gpu(0, 60))
    desk.open(ZERO)
    [run] = desk.queue(30)
    assert desk.turn() == {}
    assert desk.why(run) == "GPU 0 is full: 60.0 of 80 GiB taken, 60.0 by other programs; this run needs 30.0"


def test_next_supervisor_counts_the_runs_of_the_one_before(desk: Desk) -> None:
    desk.driver.says(gpu(0) + gpu(1))
    desk.open(ZERO, ONE)
    large, small = desk.queue(60, 5)
    assert desk.turn() == {large: "gpu:0", small: "gpu:1"}
    desk.told(large), desk.told(small)
    desk.open(ZERO, ONE)
    beside, waits = desk.queue(5, 60)
    assert desk.turn() == {beside: "gpu:1"}
    assert "GPU 0 is taken by " + large in desk.why(waits)
    desk.end(large)
    assert desk.turn() == {waits: "gpu:0"}


def test_paused_queue_starts_nothing_and_what_runs_goes_on(desk: Desk) -> None:
    desk.driver.says(gpu(0))
    desk.open(ZERO, CPU)
    [first] = desk.queue(60)
    assert desk.turn() == {first: "gpu:0"}
    queue_order.set_paused(desk.home, True)
    [toy] = desk.queue(None, toy=True)
    assert desk.turn() == {}
    assert desk.workers[first].poll() is None
    assert desk.why(toy) == "the queue is paused; what runs goes on"
    queue_order.set_paused(desk.home, False)
    assert desk.turn() == {toy: "cpu:0"}


def test_priority_and_place_decide_who_is_started_first(desk: Desk) -> None:
    desk.driver.says(gpu(0))
    desk.open(ZERO)
    first, second, third = desk.queue(60, 60, 60)
    queue_order.set_priority(desk.home, third, 1)
    assert desk.turn() == {third: "gpu:0"}
    queue_order.move(desk.home, second, 1)
    desk.end(third)
    assert desk.turn() == {second: "gpu:0"}
    assert desk.why(first) == f"GPU 0 is taken by {second}"


def test_impossible_run_says_so_and_holds_nobody_up(desk: Desk) -> None:
    desk.driver.says(gpu(0))
    desk.open(ZERO)
    huge, fine = desk.queue(95, 60)
    [many] = desk.queue(10, gpus=4)
    assert desk.turn() == {fine: "gpu:0"}
    found = {w.status.run_id: w for w in waiting.overview(desk.home).waiting}
    assert found[huge].never
    assert "the largest here has 80: it will never start here" in found[huge].reason
    assert "it wants 4 GPUs" in found[many].reason


def test_run_that_cannot_be_started_is_said_and_lets_the_next_one_go_first(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.driver.says(gpu(0))
    desk.open(ZERO)
    broken, fine = desk.queue(60, 60)
    (desk.home.run_dir(broken) / "worker.log").mkdir()
    assert desk.turn() == {}
    monkeypatch.setattr(waiting, "is_running", lambda home: True)
    assert desk.why(broken).startswith("could not be started: [Errno 21] Is a directory")
    assert desk.turn() == {fine: "gpu:0"}, "the others go first"
    assert {line.split(":")[0] for line in desk.complaints} == {broken}


def test_nothing_is_started_on_a_gpu_whose_driver_does_not_answer(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.driver.says(gpu(0))
    desk.open(ZERO, CPU)
    [run] = desk.queue(10)
    monkeypatch.setattr(machine, "ask_usage", lambda timeout_s=2.0: ((), machine.HANGS))
    assert desk.turn() == {}
    assert desk.why(run) == "GPU 0 cannot be used: the NVIDIA driver does not answer"


def test_real_models_wait_for_a_driver_that_is_slow_to_wake_and_toys_do_not(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.driver.says(gpu(0))
    monkeypatch.setenv("EM_SLOTS", "1")
    [real], [toy] = desk.queue(10), desk.queue(None, toy=True)
    with monkeypatch.context() as asleep:
        asleep.setattr(machine, "ask_usage", lambda timeout_s=2.0: ((), machine.HANGS))
        desk.look_for_slots()
        assert desk.turn() == {toy: "cpu:0"}
        for attended in (False, True):
            asleep.setattr(waiting, "is_running", lambda home, so=attended: so)
            assert desk.why(real) == "the GPUs cannot be used: the NVIDIA driver does not answer"
    assert desk.turn() == {real: "gpu:0"}


def test_supervisor_gives_gpus_by_memory_and_sees_when_another_program_lets_go(
    bench: Bench, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(library, tmp_path, monkeypatch)
    driver.says(gpu(0) + gpu(1, 75))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library.parent))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    names = ["steady"] * 3
    specs = [bench.spec(name, seed, base_model=REAL) for seed, name in enumerate(names)]
    ids = [item.run_id for item in launch(bench.home, specs, start=False)]
    for run_id in ids:
        _need(bench, run_id, {"gpus": 1, "gpu_gib": 20})
    bench.supervise(slots="gpu:0,gpu:1,cpu")
    bench.until(lambda: bench.states().count("running") == 2, "two to share GPU 0")
    assert "started on gpu:0 with 39.8 GiB" in bench.log()
    time.sleep(0.3)
    assert bench.status(ids[2]).state == "queued"
    driver.says(gpu(0) + gpu(1))
    bench.until(lambda: bench.status(ids[2]).state == "running", "the third one, once the other program has gone")
    marks = [json.loads((bench.home.run_dir(run_id) / "spawned").read_text()) for run_id in ids]
    assert [mark["slot"] for mark in marks] == ["gpu:0", "gpu:0", "gpu:1"]


def _need(bench: Bench, run_id: str, needs: dict[str, Any]) -> None:
    path = bench.home.run_dir(run_id) / "spec.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"needs": needs}))
