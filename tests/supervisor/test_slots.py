"""Which slots a machine has, and what a worker is told of its seat."""

from __future__ import annotations

from pathlib import Path

import pytest

from em_core.errors import BadInput
from em_core.machine import HANGS, GpuUse
from em_core.supervisor.slots import Seat, Slot, find_slots, hidden_gpus, runs_per_gpu, use_of
from tests.nvml.driver import without_library

TWO_GPUS = "0, 570.1, 81559, 81000, NVIDIA H100\n1, 570.1, 81559, 81000, NVIDIA H100"
ZERO, ONE, CPU = Slot("gpu:0", "0"), Slot("gpu:1", "1"), Slot("cpu:0")
H100, L4 = GpuUse(0, "H100", "GPU-aaaa-1", 80, 79), GpuUse(1, "L4", "GPU-aabb-2", 24, 23)
SLICES = (GpuUse(0, "slice", "MIG-x", 20, 20, mig=True), GpuUse(0, "slice", "MIG-y", 20, 20, mig=True))


@pytest.fixture(autouse=True)
def _plain_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No GPU, no settings of the person who runs the tests."""
    for name in ("EM_SLOTS", "EM_RUNS_PER_GPU", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    without_library(monkeypatch)


def _install_nvidia_smi(folder: Path, output: str, code: int = 0) -> None:
    script = folder / "nvidia-smi"
    script.write_text(f"#!/bin/sh\necho '{output}'\nexit {code}\n")
    script.chmod(0o755)


def test_machine_without_gpu_has_at_most_two_cpu_slots_with_one_thread_each() -> None:
    slots = find_slots()
    assert 1 <= len(slots) <= 2
    assert all(Seat((s,)).environment() == {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"} for s in slots)


def test_each_gpu_is_a_slot_that_sees_only_itself(tmp_path: Path) -> None:
    _install_nvidia_smi(tmp_path, TWO_GPUS)
    gpus = [slot for slot in find_slots() if slot.is_gpu]
    assert [Seat((slot,)).environment()["CUDA_VISIBLE_DEVICES"] for slot in gpus] == ["0", "1"]
    assert all(Seat((slot,)).environment()["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID" for slot in gpus)


def test_driver_that_does_not_answer_means_no_gpu(tmp_path: Path) -> None:
    _install_nvidia_smi(tmp_path, "NVIDIA-SMI has failed", 9)
    assert not any(slot.is_gpu for slot in find_slots())


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", []), ("-1", []), ("2,3", ["2", "3"]), ("GPU-ab-1", ["GPU-ab-1"]), ("1,-1,0", ["1"]), ("MIG-a,MIG-b", ["MIG-a", "MIG-b"])],
)  # fmt: skip
def test_gpus_hidden_from_us_are_hidden_from_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, expected: list[str]
) -> None:
    _install_nvidia_smi(tmp_path, TWO_GPUS)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert [slot.device for slot in find_slots() if slot.is_gpu] == expected


@pytest.mark.parametrize(
    ("wanted", "names"), [("3", ["cpu:0", "cpu:1", "cpu:2"]), ("cpu, cpu", ["cpu:0", "cpu:1"]), ("gpu:1,cpu", ["gpu:1", "cpu:0"])]
)
def test_slots_can_be_set(monkeypatch: pytest.MonkeyPatch, wanted: str, names: list[str]) -> None:
    monkeypatch.setenv("EM_SLOTS", wanted)
    assert [slot.name for slot in find_slots()] == names


@pytest.mark.parametrize("wanted", ["0", "tpu", "gpu", "gpu:0,gpu:0", "-1", "cpu,,"])
def test_slots_that_make_no_sense_are_refused(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    monkeypatch.setenv("EM_SLOTS", wanted)
    with pytest.raises(BadInput, match="EM_SLOTS"):
        find_slots()


@pytest.mark.parametrize("wanted", ["0", "two", "-1"])
def test_number_of_runs_on_a_gpu_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    assert runs_per_gpu() == 2
    monkeypatch.setenv("EM_RUNS_PER_GPU", wanted)
    with pytest.raises(BadInput, match="EM_RUNS_PER_GPU"):
        runs_per_gpu()


def test_run_that_shares_a_gpu_is_told_its_budget_and_one_that_is_alone_is_not() -> None:
    assert Seat((ZERO,), 39.996).environment()["EM_GPU_GIB"] == "40.00"
    assert "EM_GPU_GIB" not in Seat((ZERO,)).environment()


def test_run_on_several_gpus_sees_them_all() -> None:
    seat = Seat((ZERO, ONE))
    given = seat.environment()
    assert (seat.name, given["CUDA_VISIBLE_DEVICES"], given["EM_GPUS"]) == ("gpu:0+gpu:1", "0,1", "2")


def test_numbers_that_only_cuda_understands_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert "CUDA_DEVICE_ORDER" not in Seat((ONE,)).environment()
    assert use_of(ONE, (H100, L4)) is None, "unequal GPUs: CUDA counts from the fastest"
    assert use_of(ONE, (H100, GpuUse(1, "H100", "GPU-b"))) is not None
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert use_of(ONE, (H100, L4)) is L4


def test_gpu_is_found_by_the_beginning_of_its_id_as_cuda_does() -> None:
    assert use_of(Slot("gpu:x", "GPU-aab"), (H100, L4)) is L4
    assert use_of(Slot("gpu:x", "GPU-aa"), (H100, L4)) is None, "two begin like this"
    assert use_of(Slot("gpu:x", "MIG-y"), SLICES) is SLICES[1]
    assert use_of(ZERO, SLICES) is None, "a divided GPU is none by itself"
    assert use_of(CPU, (H100,)) is None


def test_gpus_are_hidden_only_by_a_driver_that_hangs_and_where_nobody_named_any(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hidden_gpus([CPU], HANGS) == HANGS
    assert hidden_gpus([CPU], "") == ""
    assert hidden_gpus([CPU], "NVIDIA-SMI has failed") == "", "broken for good: the CPU is all there is"
    assert hidden_gpus([ZERO, CPU], HANGS) == ""
    monkeypatch.setenv("EM_SLOTS", "3")
    assert hidden_gpus([CPU], HANGS) == HANGS
    monkeypatch.setenv("EM_SLOTS", "cpu,cpu")
    assert hidden_gpus([CPU], HANGS) == ""
    monkeypatch.delenv("EM_SLOTS")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert hidden_gpus([CPU], HANGS) == ""
