"""A disk that is really full (a small tmpfs): said clearly, nothing half-made, and it goes on when there is room."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from em_core.errors import BadInput
from em_core.supervisor import control
from em_core.supervisor.launch import launch
from tests.supervisor.conftest import Bench


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Bench]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(disk)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be made here: {mounted.stderr.strip()}")
    bench = Bench(disk)
    try:
        yield bench
    finally:
        bench.end()
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _fill(bench: Bench) -> Path:
    ballast = bench.home.root / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            pass
    return ballast


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
    small.until(lambda: small.status(second).state == "finished", "the next run")
    with pytest.raises(Exception, match="has ended already"):
        control.stop(small.home, first)
