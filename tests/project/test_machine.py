"""The GPUs as nvidia-smi tells them, and what happens when it does not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from em_core import doctor, machine
from em_core.home import Home
from em_core.plan import hardware
from tests.nvml.driver import without_library

H200 = "0, 570.86.15, 143771, 143156, NVIDIA H200"
SHARED = "1, 580.1, [N/A], [N/A], NVIDIA GB10, integrated"


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a fake one goes; until then there is none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(hardware, "_found", None)
    without_library(monkeypatch)
    return tmp_path / "nvidia-smi"


def _install(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def _doctors_words(home: Path) -> list[tuple[str, str, str]]:
    return [(f.status, f.what, f.found) for f in doctor.check(Home(home / "home")) if f.what.startswith("gpu")]


def test_machine_without_a_driver_has_no_gpu_and_nothing_is_wrong(nvidia_smi: Path, tmp_path: Path) -> None:
    assert machine.ask_gpus() == ((), "")
    assert _doctors_words(tmp_path) == [("note", "gpu", "no NVIDIA driver; runs use the CPU")]


def test_gpu_comes_with_memory_in_gib_and_driver(nvidia_smi: Path, tmp_path: Path) -> None:
    _install(nvidia_smi, f"echo '{H200}'")
    [gpu] = machine.gpus()
    assert (gpu.index, gpu.name, gpu.driver) == (0, "NVIDIA H200", "570.86.15")
    assert (gpu.total_gib, gpu.free_gib) == (pytest.approx(140.40, abs=0.01), pytest.approx(139.80, abs=0.01))
    assert _doctors_words(tmp_path) == [("ok", "gpu 0", "NVIDIA H200, 139.8 of 140.4 GiB free, driver 570.86.15")]


def test_gpu_that_does_not_tell_its_memory_is_there_and_no_plan_counts_on_it(nvidia_smi: Path) -> None:
    _install(nvidia_smi, f"echo '{H200}'; echo '{SHARED}'")
    assert [(gpu.index, gpu.name, gpu.total_gib > 0) for gpu in machine.gpus()] == [
        (0, "NVIDIA H200", True),
        (1, "NVIDIA GB10, integrated", False),
    ]
    assert [gpu.index for gpu in hardware.gpus()] == [0]


def test_plans_are_made_for_the_gpus_that_runs_may_see(nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(
        nvidia_smi, "".join(f"echo '{n}, 580.1, {size}, {size}, NVIDIA L4'\n" for n, size in enumerate((24000, 48000, 9000)))
    )
    for visible, seen in ((None, [0, 1, 2]), ("0, 2", [0, 2]), ("-1", []), ("", []), ("GPU-1234", [0, 1, 2])):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert [gpu.index for gpu in hardware.gpus()] == seen
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    assert hardware.memory_gib() == pytest.approx(24000 / 1024)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("echo 'NVIDIA-SMI has failed because it could not talk to the driver'; exit 9", "could not talk to the driver"),
        ("echo 'No devices were found'", "No devices were found"),
        ("echo 'cannot load libnvidia-ml' >&2; exit 12", "cannot load libnvidia-ml"),
        ("exit 3", "listed no GPU (exit 3)"),
    ],
)
def test_broken_driver_means_no_gpu_and_the_doctor_says_why(nvidia_smi: Path, tmp_path: Path, body: str, problem: str) -> None:
    _install(nvidia_smi, body)
    assert machine.gpus() == hardware.gpus() == ()
    [(status, _, found)] = _doctors_words(tmp_path)
    assert status == "broken"
    assert problem in found


def test_hanging_driver_is_given_up(nvidia_smi: Path) -> None:
    _install(nvidia_smi, "exec /bin/sleep 60")
    start = time.monotonic()
    assert machine.ask_gpus(timeout_s=0.3) == ((), "nvidia-smi did not answer within 0.3 s")
    assert time.monotonic() - start < 10


def test_file_that_cannot_be_run_is_named(nvidia_smi: Path) -> None:
    nvidia_smi.write_bytes(b"\x7fELF not a program")
    nvidia_smi.chmod(0o755)
    assert "cannot be run" in machine.ask_gpus()[1]
