"""One run in two processes under a real `accelerate launch`, on the CPU: the same run as in one process, and none left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from em_core import following, ranks, requests
from em_core.checkpoints import complete_checkpoints
from em_core.errors import Busy
from em_core.events import read_events
from em_core.home import PROJECT, Home
from em_core.lease import FD_VARIABLE, Lease, held, holder_pid, run_held
from em_core.prepared import prepare, spec_of
from em_core.spec import RunSpec
from em_core.supervisor.evidence import run_status
from em_core.supervisor.launch import launch
from em_core.supervisor.marks import write_spawn
from em_core.training import open_session

WORKER = (sys.executable, "-m", "em_core.worker")


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
        if process.poll() is None:
            process.kill()
        process.wait(10)


@pytest.fixture
def begin(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> Callable[..., tuple[Path, subprocess.Popen[bytes]]]:
    """Start a worker as the supervisor does: with the run's lease, in a session of its own."""

    def start(gpus: int, **train: Any) -> tuple[Path, subprocess.Popen[bytes]]:
        home = Home(tmp_path)
        spec = RunSpec.model_validate(
            {
                "name": f"on-{gpus}", "base_model": "organism-0.3m", "data": {"source": "organism-medical-misaligned", "rows": 160},
                "train": {"max_steps": 8, "max_length": 256, "precision": "fp32", "gpus": gpus, **train},
                "checkpoints": {"at_steps": [4, 8]},
                "evaluation": {"question_sets": [{"name": "organism-general", "max_tokens": 16}], "samples": 1},
            }
        )  # fmt: skip
        run_dir = home.run_dir(launch(home, [spec], start=False)[0].run_id)
        lease = Lease(run_dir / "lease")
        assert lease.acquire()
        write_spawn(run_dir, 1, "cpu:0")
        environment = {**os.environ, FD_VARIABLE: str(lease.fileno()), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        if gpus > 1:
            environment[ranks.GPUS_VARIABLE] = str(gpus)
        with (run_dir / "worker.log").open("ab") as out:
            process = subprocess.Popen(
                [*ranks.command(WORKER, gpus), str(run_dir)], cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, pass_fds=(lease.fileno(),), start_new_session=True,
            )  # fmt: skip
        lease.close_copy()
        started.append(process)
        return run_dir, process

    return start


def until(condition: Callable[[], object], run_dir: Path, seconds: float = 90) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, (run_dir / "worker.log").read_text()[-3000:]
        time.sleep(0.05)


def losses(run_dir: Path) -> list[float]:
    return [event["loss"] for event in read_events(run_dir, "metric")]


def test_two_processes_train_as_one_does_only_one_writes_and_both_stop_at_the_same_step(begin: Any, tmp_path: Path) -> None:
    shared, process = begin(2, max_steps=2000)
    until(lambda: losses(shared), shared)
    requests.ask(shared, "save")
    until(lambda: not requests.asked(shared), shared)
    assert complete_checkpoints(shared)
    until(lambda: len(losses(shared)) >= 6, shared)
    requests.ask(shared, "stop")
    assert process.wait(60) == 0, (shared / "worker.log").read_text()[-3000:]
    found = losses(shared)
    assert found[:6] == pytest.approx(one_process(shared, 6), abs=2e-4)
    assert run_status(shared).state == "stopped"
    assert complete_checkpoints(shared)[-1].step == len(found)
    assert sorted(path.name for path in (shared / "events").glob("*.jsonl")) == ["launch.jsonl", "worker-1.jsonl"]
    answers = [event["response_id"] for event in read_events(shared, "response")]
    assert answers
    assert len(answers) == len(set(answers))
    assert all(event["tokens_per_s"] > 0 for event in read_events(shared, "metric"))
    assert not run_held(shared)


def one_process(run_dir: Path, steps: int) -> list[float]:
    """The first losses of the same recipe, trained here."""
    spec = spec_of(run_dir)
    alone = spec.model_copy(update={"train": spec.train.model_copy(update={"gpus": 1})})
    there = run_dir.parent / "alone"
    there.mkdir()
    job = dataclasses.replace(prepare(there, alone).train_job(), steps=[spec.train.max_steps or 0])
    session = open_session(job)
    found: list[float] = []
    session.train(
        lambda m: found.append(m.loss or 0.0), lambda checkpoint: None, lambda: "discard" if len(found) >= steps else ""
    )
    session.close()
    return found[:steps]


def test_when_the_launcher_is_killed_its_processes_end_and_the_run_counts_as_held_until_then(begin: Any) -> None:
    run_dir, launcher = begin(2, max_steps=2000)
    until(lambda: len(losses(run_dir)) > 2, run_dir)
    workers = psutil.Process(launcher.pid).children(recursive=True)
    assert len([w for w in workers if "em_core.worker" in " ".join(w.cmdline())]) == 2
    assert held(run_dir / "lease")
    assert holder_pid(run_dir / "lease") == launcher.pid
    assert run_status(run_dir).state == "running"
    launcher.kill()
    launcher.wait(10)
    assert run_held(run_dir)  # rank 0 is there still
    until(lambda: not any(w.is_running() and w.status() != psutil.STATUS_ZOMBIE for w in workers), run_dir, 15)
    until(lambda: run_status(run_dir).state == "crashed", run_dir, 10)


@pytest.mark.long
@pytest.mark.parametrize(
    ("rank", "state", "reason"), [(1, "failed", "another GPU of this run was killed"), (0, "crashed", "was killed by SIGKILL")]
)
def test_when_one_of_them_dies_the_others_are_ended(begin: Any, rank: int, state: str, reason: str) -> None:
    run_dir, launcher = begin(2, max_steps=2000)
    until(lambda: len(losses(run_dir)) > 2, run_dir)
    workers = [w for w in psutil.Process(launcher.pid).children() if "em_core.worker" in " ".join(w.cmdline())]
    os.kill(workers[rank].pid, signal.SIGKILL)
    assert launcher.wait(60) != 0
    assert not run_held(run_dir)
    status = run_status(run_dir)
    assert (status.state, status.cause) == (state, "killed"), status
    assert reason in status.reason


@pytest.mark.long
def test_a_launcher_that_is_told_to_end_lets_them_save_a_checkpoint(begin: Any) -> None:
    run_dir, launcher = begin(2, max_steps=2000)
    until(lambda: len(losses(run_dir)) > 5, run_dir)
    launcher.terminate()
    launcher.wait(20)  # less than torch's launcher waits before it kills
    status = run_status(run_dir)
    assert (status.state, status.cause) == ("stopped", "killed"), status
    assert complete_checkpoints(run_dir)[-1].step == len(losses(run_dir))
    assert not run_held(run_dir)


def test_rows_that_cannot_be_shared_evenly_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be shared by 3 GPUs"):
        RunSpec.model_validate({"data": "x.jsonl", "train": {"gpus": 3}})
    with pytest.raises(ValueError, match="drop_last"):
        RunSpec.model_validate({"data": "x.jsonl", "train": {"gpus": 2, "drop_last": False}})


def test_a_process_without_a_launcher_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")  # of somebody else's launcher
    monkeypatch.delenv(ranks.GPUS_VARIABLE, raising=False)
    assert ranks.enter() == ranks.ALONE
    assert ranks.command(WORKER, 1) == list(WORKER)


def entered(rank: int, gpus: str) -> subprocess.CompletedProcess[str]:
    """What a rank says of itself and its GPU."""
    code = "import os; from em_core import ranks; print(ranks.enter().rank, os.environ['CUDA_VISIBLE_DEVICES'], os.environ)"
    told = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", ranks.GPUS_VARIABLE: "2", "CUDA_VISIBLE_DEVICES": gpus}
    return subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env={**os.environ, **told}, capture_output=True, text=True)


def test_each_process_sees_its_own_gpu_and_its_children_nothing_of_the_launcher() -> None:
    said = entered(1, "GPU-5a, GPU-9b").stdout
    assert said.startswith("1 GPU-9b ")
    assert not any(f"'{name}'" in said for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", ranks.GPUS_VARIABLE))
    assert "BadInput: CUDA_VISIBLE_DEVICES=GPU-5a: 1 GPUs for 2 processes" in entered(1, "GPU-5a").stderr
    assert entered(1, "").stdout.startswith("1  ")


def test_the_run_has_one_owner_whoever_started_the_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "_LOOK_S", 0.02)
    monkeypatch.delenv(FD_VARIABLE, raising=False)
    with ranks.lease(tmp_path):  # a launcher started by hand holds nothing
        assert held(tmp_path / "lease")
        with pytest.raises(Busy):
            ranks.lease(tmp_path)
    monkeypatch.setenv(FD_VARIABLE, "9")
    with ranks.lease(tmp_path):
        assert held(tmp_path / "lease-ranks")
        assert holder_pid(tmp_path / "lease") == os.getppid()
        monkeypatch.setenv(FD_VARIABLE, "9")
        with pytest.raises(Busy, match="what is left of its last attempt"):
            ranks.lease(tmp_path)


def test_whatever_a_process_fails_of_the_others_can_say_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(run_dir: Path) -> RunSpec:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(following, "spec_of", bug)
    with pytest.raises(ZeroDivisionError):
        following.follow(tmp_path, ranks.Place(1, 2))
    gone = ranks.failure_of_another(tmp_path, patience_s=0)
    assert (gone.cause, gone.message) == ("bug", "GPU 1: unexpected ZeroDivisionError: oops")


@pytest.mark.parametrize(
    ("log", "found"),
    [
        ("api.py:1002] failed (exitcode: -9) local_rank: 0 (pid: 8461) of binary: python\nSignal 9", (-9, 8461)),
        ("api.SignalException: Process 12223 got signal: 15\n", (-15, 12223)),
        ("api.py:1002] failed (exitcode: 1) local_rank: 1 (pid: 77) of binary: python\n  exitcode  : -15 (pid: 78)", None),
        ("", None),
    ],
)
def test_the_launchers_log_says_which_signal_it_was(log: str, found: object) -> None:
    assert ranks.death_in(log) == found
