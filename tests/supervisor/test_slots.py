"""Which run gets which slot."""

from __future__ import annotations

from pathlib import Path

import pytest

from em_core.errors import BadInput
from em_core.supervisor.slots import Slot, choose, find_slots, visible_gpus

TWO_GPUS = "0, 570.1, 81559, 81000, NVIDIA H100\n1, 570.1, 81559, 81000, NVIDIA H100"
GPU, CPU = Slot("gpu:0", "0"), Slot("cpu:0")


@pytest.fixture(autouse=True)
def _plain_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No GPU, no settings of the person who runs the tests."""
    for name in ("EM_SLOTS", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def _install_nvidia_smi(folder: Path, output: str, code: int = 0) -> None:
    script = folder / "nvidia-smi"
    script.write_text(f"#!/bin/sh\necho '{output}'\nexit {code}\n")
    script.chmod(0o755)


def test_machine_without_gpu_has_at_most_two_cpu_slots_with_one_thread_each() -> None:
    slots = find_slots()
    assert 1 <= len(slots) <= 2
    assert all(slot.environment() == {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"} for slot in slots)


def test_each_gpu_is_a_slot_that_sees_only_itself(tmp_path: Path) -> None:
    _install_nvidia_smi(tmp_path, TWO_GPUS)
    gpus = [slot for slot in find_slots() if slot.is_gpu]
    assert [slot.environment()["CUDA_VISIBLE_DEVICES"] for slot in gpus] == ["0", "1"]
    assert all(slot.environment()["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID" for slot in gpus)


def test_driver_that_does_not_answer_means_no_gpu(tmp_path: Path) -> None:
    _install_nvidia_smi(tmp_path, "NVIDIA-SMI has failed", 9)
    assert visible_gpus() == []


@pytest.mark.parametrize(("value", "expected"), [("", []), ("-1", []), ("2,3", ["2", "3"]), ("GPU-ab-1", ["GPU-ab-1"])])
def test_gpus_hidden_from_us_are_hidden_from_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, expected: list[str]
) -> None:
    _install_nvidia_smi(tmp_path, TWO_GPUS)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == expected


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


def test_toys_leave_the_gpu_free_where_they_can_and_real_models_wait_for_it() -> None:
    assert choose([GPU, CPU], [], toy=True) == CPU
    assert choose([GPU, CPU], ["cpu:0"], toy=True) == GPU
    assert choose([GPU, CPU], [], toy=False) == GPU
    assert choose([GPU, CPU], ["gpu:0"], toy=False) is None
    assert choose([CPU], [], toy=False) == CPU
    assert choose([CPU], ["cpu:0"], toy=True) is None
