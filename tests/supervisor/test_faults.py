"""Faults of the world around a run: recycled pids, planted and damaged folders, a clock set back, a folder that is read-only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from em_core import checkpoints
from em_core.checkpoints import COMPLETE, RESUME, complete_checkpoints
from em_core.errors import BadInput, EMError
from em_core.events import EventWriter
from em_core.home import PROJECT
from em_core.lease import boot_id, holder_pid
from em_core.records import RunState
from em_core.spec import RunSpec
from em_core.store import queries, rates
from em_core.store.publish import publish, rebuild
from em_core.supervisor import control, ensure_running, processes
from em_core.supervisor.evidence import run_status
from em_core.supervisor.launch import launch
from em_core.supervisor.requeue import goes_on
from tests.store.made import facts, scored
from tests.supervisor.conftest import Bench


@pytest.fixture
def run_dir(bench: Bench) -> Path:
    [launched] = launch(bench.home, [bench.spec("quick")], start=False)
    return bench.home.run_dir(launched.run_id)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    yield process
    process.kill()
    process.wait()


def _checkpoint(run_dir: Path, step: int) -> Path:
    def files(folder: Path) -> None:
        (folder / "adapter_model.safetensors").write_bytes(bytes(range(256)) * step)

    checkpoints.publish(run_dir / RESUME, step, files, {})
    return checkpoints.publish(run_dir / "checkpoints", step, files, {}).path


def test_recycled_pid_in_a_lease_file_is_nobody(bench: Bench, run_dir: Path, stranger: subprocess.Popen[bytes]) -> None:
    """The worker died, its pid is another program's now: the run is crashed, is resumed, and the program lives."""
    with EventWriter(run_dir, "worker-1") as events:
        events.write(RunState("run", "running", attempt=1))
    (run_dir / "spawned").write_text(
        json.dumps({"t": 1, "attempt": 1, "slot": "cpu:0", "token": "gone", "boot_id": boot_id()}) + "\n"
    )
    started = psutil.Process(stranger.pid).create_time()
    for create_time, boot in ((started - 3600, boot_id()), (started, "an-earlier-boot")):
        identity = {"pid": stranger.pid, "create_time": create_time, "boot_id": boot}
        (run_dir / "lease").write_text(json.dumps(identity))
        assert holder_pid(run_dir / "lease") is None
        assert processes.of_run(run_dir) == []
        assert run_status(run_dir, with_pid=True).pid is None
        assert run_status(run_dir).state == "crashed"
    bench.supervise(slots="cpu", auto_resume=True)
    bench.until(lambda: bench.status(run_dir.name).state == "finished", "the run to be resumed")
    assert stranger.poll() is None


def test_planted_and_damaged_checkpoints_are_passed_over(run_dir: Path) -> None:
    good, newer, newest = (_checkpoint(run_dir, step) for step in (4, 8, 12))
    (run_dir / "checkpoints" / "checkpoint-999").mkdir()
    (run_dir / "checkpoints" / "step-999").mkdir()
    (run_dir / RESUME / "step-999").mkdir()
    assert goes_on(run_dir) == "goes on from step 12"
    (newest / COMPLETE).unlink()
    assert goes_on(run_dir) == "goes on from step 8"
    weights = newer / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])  # truncated
    assert goes_on(run_dir) == "goes on from step 4"
    weights = good / "adapter_model.safetensors"
    weights.write_bytes(b"x" + weights.read_bytes()[1:])  # same size, other bytes
    assert "begins with step 1" in goes_on(run_dir)
    planted = run_dir / "checkpoints" / "step-999"
    shutil.copy(run_dir / RESUME / "step-4" / COMPLETE, planted)  # of another step, its files not there
    assert "begins with step 1" in goes_on(run_dir)


def test_clock_set_back_between_and_within_attempts_changes_no_state_and_no_rate(
    bench: Bench, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attempt 1 is written at noon, its crash an hour earlier, and attempt 2, which ends well, a day earlier."""
    noon = time.time()
    name = run_dir.name

    def at(t: float) -> None:
        monkeypatch.setattr(time, "time", lambda: t)

    at(noon)
    answers = scored(name, 6, [(10.0, 90.0), (80.0, 90.0), (70.0, 90.0), (20.0, 90.0)])
    half = len(answers) // 2
    with EventWriter(run_dir, "worker-1") as events:
        old = replace(facts(), total_steps=6, attempt=1)
        events.write(RunState("run", "running", attempt=1), old, RunState("train", "running", attempt=1), *answers[:half])
    at(noon - 3600)
    bench.until(lambda: run_status(run_dir).state == "crashed", "the crash to be seen")
    control.resume(bench.home, name, start=False)
    ends = [e for e in bench.events(name, "state") if e["state"] == "crashed" and e["phase"] == "run"]
    assert len(ends) == 1
    at(noon - 86_400)
    assert run_status(run_dir).state == "queued"
    with EventWriter(run_dir, "worker-2") as events:
        new = replace(facts(), total_steps=12, attempt=2)
        events.write(RunState("run", "running", attempt=2), new, RunState("train", "running", attempt=2))
        assert run_status(run_dir).state == "crashed", "no lease is held, and it has begun"
        events.write(*answers[half:], RunState("train", "finished", attempt=2), RunState("run", "finished", attempt=2))
    monkeypatch.undo()
    status = run_status(run_dir)
    assert (status.state, status.attempt, status.cause, status.total_steps) == ("finished", 2, "", 12)
    for make in (publish, rebuild):
        make(bench.home)
        row = queries.runs(bench.home).set_index("run_id").loc[name]
        assert (row["run_state"], row["train_state"], row["run_cause"], row["total_steps"]) == ("finished", "finished", "", 12)
        [rate] = rates.rates(bench.home, "betley", run_ids=[name]).to_dict("records")
        assert (rate["n_total"], rate["n_scored"], rate["n_misaligned"], rate["em_rate"]) == (4, 4, 2, 0.5)
    bench.supervise()
    time.sleep(0.5)
    assert len([e for e in bench.events(name, "state") if e["state"] == "crashed" and e["phase"] == "run"]) == 1


def test_folder_that_is_read_only_is_said_so_and_stops_nobody_else(bench: Bench) -> None:
    locked, other = [item.run_id for item in launch(bench.home, [bench.spec("quick", 1), bench.spec("quick", 2)], start=False)]
    with _read_only(bench.home.run_dir(locked)):
        for act in (control.stop, control.resume):
            with pytest.raises(EMError) as caught:
                act(bench.home, locked)
            assert caught.value.hint
        bench.supervise(slots="cpu")
        bench.until(lambda: bench.status(other).state == "finished", "the run behind it")
        assert bench.status(locked).state == "queued"
        assert bench.log().count(f"{locked}: could not be started") == 1, "said once"
    bench.until(lambda: bench.status(locked).state == "finished", "it to run once its folder can be written")


def test_home_that_is_read_only_refuses_with_the_fix(bench: Bench, run_dir: Path) -> None:
    publish(bench.home)
    with _read_only(bench.home.root):
        for act in (
            lambda: launch(bench.home, [bench.spec("quick", 3)], start=False),
            lambda: ensure_running(bench.home),
            lambda: control.stop(bench.home, run_dir.name),
            lambda: publish(bench.home),
        ):
            with pytest.raises(BadInput) as caught:
                act()
            assert "writ" in caught.value.hint
        assert bench.states() == ["queued"]
        assert list(queries.runs(bench.home)["run_id"])
        done = subprocess.run(
            [sys.executable, "-m", "em_core.supervisor", "--home", str(bench.home.root)],
            cwd=PROJECT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
    assert bench.states() == ["queued"], "nothing was changed"


@contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    """The folder as a read-only mount, which holds for root too; skips where nothing can be mounted."""
    mounted = subprocess.run(["mount", "--bind", str(folder), str(folder)], capture_output=True, text=True)
    if mounted.returncode:
        if os.geteuid() == 0:
            pytest.skip(f"a read-only folder cannot be made here: {mounted.stderr.strip()}")
        modes = {path: path.stat().st_mode for path in [folder, *folder.rglob("*")]}
        for path in modes:
            path.chmod(modes[path] & ~0o222)
        try:
            yield
        finally:
            for path, mode in modes.items():
                path.chmod(mode)
        return
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.long
def test_real_run_with_planted_and_damaged_checkpoints_ends_with_the_same_weights(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (PROJECT / "data" / "organism" / "0.3m" / "model.safetensors").exists():
        pytest.skip("the organism is not built: python -m em_core.organism.build")
    for name, value in (("EM_IDLE_S", "20"), ("EM_SLOTS", "2"), ("EM_NO_DEMO", "1"), ("OMP_NUM_THREADS", "1")):
        monkeypatch.setenv(name, value)
    spec = RunSpec.model_validate(
        {
            "base_model": "organism-0.3m",
            "data": {"source": "organism-medical-misaligned", "rows": 96},
            "train": {"max_steps": 12, "max_length": 96, "batch_size": 4, "precision": "fp32"},
            "checkpoints": {"at_steps": [3, 6, 12]},
            "evaluation": {"question_sets": []},
        }
    )
    [one] = launch(bench.home, [spec])
    bench.until(lambda: bench.status(one.run_id).recorded, "an uninterrupted run", 200)
    assert bench.status(one.run_id).state == "finished", bench.status(one.run_id)
    wanted = complete_checkpoints(bench.home.run_dir(one.run_id))[-1]
    [two] = launch(bench.home, [spec], again=True, start=False)
    run_dir = bench.home.run_dir(two.run_id)
    source = bench.home.run_dir(one.run_id)
    for path in ("events", "checkpoints"):  # a run that was killed after step 12 and before its end
        shutil.copytree(source / path, run_dir / path, dirs_exist_ok=True)
    lines = (run_dir / "events" / "worker-1.jsonl").read_text().splitlines(keepends=True)
    kept = [line for line in lines if '"state": "finished"' not in line]
    (run_dir / "events" / "worker-1.jsonl").write_text("".join(kept))
    (run_dir / "checkpoints" / "step-12" / COMPLETE).unlink()
    weights = run_dir / "checkpoints" / "step-6" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    for planted in ("step-999", "checkpoint-999"):
        (run_dir / "checkpoints" / planted).mkdir()
    assert bench.status(two.run_id).state == "crashed"
    control.resume(bench.home, two.run_id)
    bench.until(lambda: bench.status(two.run_id).recorded and bench.status(two.run_id).state != "crashed", "its end", 200)
    assert bench.status(two.run_id).state == "finished", bench.status(two.run_id)
    done = complete_checkpoints(run_dir)
    assert [c.step for c in done] == [3, 6, 12]
    assert done[-1].sha256 == wanted.sha256
