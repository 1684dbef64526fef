"""What the driver's library says of its GPUs, and what happens when it says nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from em_core import machine
from em_core.home import PROJECT
from em_core.machine import GpuProcess
from tests.nvml.driver import Driver, without_library

H100 = "gpu GPU-a 81920 20480 37 52 310500 700000 0 NVIDIA H100 80GB HBM3\n"
FULL = "0, 570.86.15, 81920, 20480, GPU-a, 37, 52, 310.50, 700.00, NVIDIA H100, 80GB\n"


def test_gpu_comes_with_memory_load_heat_power_and_its_programs(driver: Driver) -> None:
    driver.says(H100 + "held GPU-a 41 1024 /usr/bin/python --key secret\nheld GPU-a 42 40960 /opt/venv/bin/vllm\n")
    [use] = machine.usage()
    assert (use.index, use.name, use.uuid, use.driver) == (0, "NVIDIA H100 80GB HBM3", "GPU-a", "570.86.15")
    assert (use.total_gib, use.free_gib, use.used_gib) == (80, 20, 60)
    assert (use.util_percent, use.temperature_c, use.power_w, use.power_limit_w) == (37, 52, 310.5, 700)
    assert use.processes == (GpuProcess(42, 40.0, "vllm"), GpuProcess(41, 1.0, "python")), "largest first, no arguments"
    [gpu] = machine.gpus()
    assert (gpu.index, gpu.name, gpu.total_gib, gpu.driver) == (0, use.name, 80, "570.86.15")


def test_program_of_another_account_is_named_though_its_memory_is_not_told(driver: Driver) -> None:
    driver.says(H100 + "held GPU-a 41 -1 /usr/bin/python\n")
    assert machine.usage()[0].processes == (GpuProcess(41, None, "python"),)


def test_older_driver_is_asked_the_older_way(driver: Driver) -> None:
    driver.says("old\n" + H100 + "held GPU-a 41 1024 /usr/bin/python\n")
    assert machine.usage()[0].processes == (GpuProcess(41, 1.0, "python"),)


def test_what_a_card_does_not_measure_is_not_known(driver: Driver) -> None:
    driver.says("gpu GPU-a -1 0 -1 -1 -1 -1 -1 NVIDIA GB10\n")
    [use] = machine.usage()
    assert (use.total_gib, use.util_percent, use.temperature_c, use.power_w, use.power_limit_w) == (0, None, None, None, None)


def test_slices_take_the_place_of_a_divided_gpu(driver: Driver) -> None:
    divided = H100.replace(" 0 NVIDIA", " 1 NVIDIA").replace("GPU-a", "GPU-b")
    driver.says(H100 + divided + "slice 1 MIG-x 20480 20000\nslice 1 MIG-y 40960 4096\nheld MIG-y 7 36864 /bin/other\n")
    whole, small, large = machine.usage()
    assert (whole.uuid, whole.mig, small.uuid, small.mig, small.index) == ("GPU-a", False, "MIG-x", True, 1)
    assert (large.total_gib, large.free_gib, large.util_percent) == (40, 4, None)
    assert large.processes == (GpuProcess(7, 36.0, "other"),)


def test_divided_gpu_without_a_slice_cannot_be_used(driver: Driver) -> None:
    driver.says(H100.replace(" 0 NVIDIA", " 1 NVIDIA"))
    [use] = machine.usage()
    assert use.problem == "it is in MIG mode and has no slice"
    assert machine.ask_gpus() == ((), "GPU 0: it is in MIG mode and has no slice")


def test_lost_gpu_is_named_and_the_others_are_fine(driver: Driver) -> None:
    driver.says("gpu GPU-z 81920 0 0 0 0 0 0 lost\n" + H100)
    lost, fine = machine.usage()
    assert "the driver has lost it" in lost.problem
    assert (fine.index, fine.uuid, fine.problem) == (1, "GPU-a", "")
    found, problem = machine.ask_gpus()
    assert ([gpu.index for gpu in found], problem) == ([1], "")


def test_library_that_does_not_fit_the_driver_is_said_and_asked_again(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    driver.says("init 18\n")
    found, problem = machine.ask_usage()
    assert found == ()
    assert "version mismatch" in problem
    assert machine.ask_gpus() == ((), problem)
    driver.says(H100)
    assert len(machine.usage()) == 1


def test_driver_that_is_not_loaded_is_no_problem(driver: Driver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    driver.says("init 9\n")
    assert machine.ask_usage() == ((), "")


def test_hanging_driver_costs_nobody_more_than_the_limit_and_the_next_one_nothing(driver: Driver) -> None:
    driver.says(H100 + "hang 4\n")
    start = time.monotonic()
    assert machine.ask_usage(0.2) == ((), machine.HANGS)
    assert machine.ask_usage(0.2) == ((), machine.HANGS)
    assert time.monotonic() - start < 1.5


def test_last_answer_stands_while_the_driver_is_slow(driver: Driver) -> None:
    driver.says(H100)
    before = machine.usage()
    driver.says("hang 4\n")
    assert machine.ask_usage(0.2) == (before, "")


def test_library_is_found_where_the_driver_put_it(driver: Driver) -> None:
    driver.says(H100)
    code = "from em_core import machine; import json; print(json.dumps([g.uuid for g in machine.usage()]))"
    environment = {**os.environ, "LD_LIBRARY_PATH": str(driver.library.parent)}
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["GPU-a"]


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    without_library(monkeypatch)
    return tmp_path / "nvidia-smi"


def _install(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_without_the_library_the_tool_is_asked(nvidia_smi: Path) -> None:
    apps = "GPU-a, 41, 1024, /usr/bin/python --key secret\nGPU-a, 42, [N/A], other\nGPU-b, 43, 5, third"
    _install(nvidia_smi, f"case $1 in *compute-apps*) echo '{apps}';; *) echo '{FULL}';; esac")
    [use] = machine.usage()
    assert (use.uuid, use.name, use.total_gib, use.free_gib) == ("GPU-a", "NVIDIA H100, 80GB", 80, 20)
    assert (use.util_percent, use.temperature_c, use.power_w, use.power_limit_w) == (37, 52, 310.5, 700)
    assert use.processes == (GpuProcess(41, 1.0, "python"), GpuProcess(42, None, "other"))


def test_old_tool_that_does_not_know_every_field_tells_what_it_knows(nvidia_smi: Path) -> None:
    body = "case $1 in *uuid*) echo 'not a valid field'; exit 2;; *) echo '0, 418.1, 15360, 15000, Tesla T4';; esac"
    _install(nvidia_smi, body)
    [use] = machine.usage()
    assert (use.name, use.total_gib, use.processes, use.power_w) == ("Tesla T4", 15, (), None)


def test_broken_tool_is_reported(nvidia_smi: Path) -> None:
    _install(nvidia_smi, "echo 'could not talk to the driver'; exit 9")
    assert machine.ask_usage() == ((), "could not talk to the driver")
