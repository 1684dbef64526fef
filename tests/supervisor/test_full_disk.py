"""A disk that is really full (a small tmpfs): said clearly, nothing half-made, and it goes on when there is room.

Filled while events are written, while the database is published and while a checkpoint is saved.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from em_core.checkpoints import complete_checkpoints
from em_core.errors import BadInput, Busy, WorkFailed
from em_core.home import PROJECT
from em_core.spec import RunSpec
from em_core.store import queries
from em_core.store.publish import publish
from em_core.supervisor import control, ensure_running
from em_core.supervisor.launch import launch
from tests.disks import small_disk
from tests.supervisor.conftest import Bench


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Bench]:
    with small_disk(tmp_path / "disk", 40) as disk:
        bench = Bench(disk)
        try:
            yield bench
        finally:
            bench.end()


def _fill(bench: Bench, leave_bytes: int = 0) -> Path:
    """Write a file until the disk is full, or only so much is left."""
    ballast = bench.home.root / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while shutil.disk_usage(bench.home.root).free > leave_bytes and file.write(bytes(1 << 14)):
                pass
        except OSError:
            pass
    return ballast


def _shrink(bench: Bench, mib: int) -> None:
    """Make the disk smaller, now that the runs are launched (a launch wants more than 20 MiB free)."""
    subprocess.run(["mount", "-o", f"remount,size={mib}m", str(bench.home.root)], check=True)


def test_runs_and_supervisor_live_through_a_full_disk(small: Bench) -> None:
    small.supervise(slots="cpu")
    first, second = [item.run_id for item in launch(small.home, [small.spec("steady"), small.spec("quick", 1)], start=False)]
    small.pid(first)
    ballast = _fill(small)
    with pytest.raises(BadInput, match="the disk is full"):
        launch(small.home, [small.spec("quick", 2)], start=False)
    assert len([path for path in small.home.runs.iterdir() if path.name != ".supervisor"]) == 2
    small.until(lambda: small.status(first).state == "crashed", "the worker to notice")
    small.until(lambda: small.processes[0].poll() is None, "the supervisor to be alive", 1)
    ballast.unlink()
    small.until(lambda: small.status(first).recorded, "the end to be recorded once there is room")
    assert "No space left" in small.status(first).reason
    assert small.status(first).cause == "disk_full"
    small.until(lambda: small.status(second).state == "finished", "the next run")
    with pytest.raises(Busy, match="has ended already"):
        control.stop(small.home, first)
    control.resume(small.home, first, start=False)
    small.until(lambda: small.status(first).attempt == 2 and small.status(first).state == "running", "it to go on")
    control.stop(small.home, first)
    small.until(lambda: small.status(first).state == "stopped", "its end")


def test_database_stays_as_it_was_when_there_is_no_room_to_publish(small: Bench) -> None:
    first, second = [item.run_id for item in launch(small.home, [small.spec("quick"), small.spec("steady", 1)], start=False)]
    _shrink(small, 20)
    small.supervise(slots="cpu")
    small.until(lambda: small.status(first).state == "finished", "the first run")
    publish(small.home)
    before = len(queries.runs(small.home))
    small.pid(second)
    ballast = _fill(small, leave_bytes=1 << 19)  # room for events, none for a copy of the database
    with pytest.raises(WorkFailed, match="the last version stays"):
        publish(small.home)
    small.until(lambda: "publishing:" in small.log(), "the supervisor to say so", 120)  # it publishes 10 % of the time
    assert len(queries.runs(small.home)) == before
    assert small.status(second).state == "running", "the run goes on"
    assert not [path for path in small.home.root.iterdir() if ".tmp" in path.name], "no half-made copy is left"
    control.stop(small.home, second)
    small.until(lambda: small.status(second).state == "stopped", "it to stop")
    ballast.unlink()
    publish(small.home)
    row = queries.runs(small.home).set_index("run_id").loc[second]
    assert (row["run_state"], row["n_responses"]) == ("stopped", len(small.events(second, "response")))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.long
def test_checkpoint_that_finds_no_room_ends_the_run_and_it_is_resumed_when_there_is(
    small: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (PROJECT / "data" / "organism" / "0.3m" / "model.safetensors").exists():
        pytest.skip("the organism is not built: python -m em_core.organism.build")
    for name, value in (("EM_IDLE_S", "60"), ("EM_SLOTS", "1"), ("EM_NO_DEMO", "1"), ("OMP_NUM_THREADS", "1")):
        monkeypatch.setenv(name, value)
    spec = RunSpec.model_validate(
        {
            "base_model": "organism-0.3m",
            "data": {"source": "organism-medical-misaligned", "rows": 200},
            "train": {"max_steps": 24, "max_length": 96, "batch_size": 4, "precision": "fp32"},
            "checkpoints": {"at_steps": [4, 24]},
            "evaluation": {"question_sets": []},
        }
    )
    [item] = launch(small.home, [spec], start=False)
    _shrink(small, 20)
    run_dir = small.home.run_dir(item.run_id)
    ensure_running(small.home)
    small.until(lambda: [c.step for c in complete_checkpoints(run_dir)] == [4], "the first checkpoint", 200)
    ballast = _fill(small, leave_bytes=1 << 17)  # room for events, none for a checkpoint
    small.until(lambda: small.status(item.run_id).recorded, "the end", 200)
    status = small.status(item.run_id)
    assert (status.state, status.cause) == ("failed", "disk_full"), status
    assert status.hint
    assert [c.step for c in complete_checkpoints(run_dir)] == [4], "what was complete is complete, nothing else counts"
    assert not list(run_dir.glob("*/.step-*")), "no half-made checkpoint is left"
    ballast.unlink()
    assert "goes on from step 4" in control.resume(small.home, item.run_id)
    small.until(lambda: small.status(item.run_id).attempt == 2 and small.status(item.run_id).recorded, "the end", 200)
    assert small.status(item.run_id).state == "finished"
    assert [c.step for c in complete_checkpoints(run_dir)] == [4, 24]
