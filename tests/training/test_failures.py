"""What befalls training is said with its cause: out of memory before the first step, in a step, a broken driver, a full disk."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest
import torch

from em_core import gpu_budget
from em_core.accidents import classify, errno_of
from em_core.checkpoints import complete_checkpoints
from em_core.errors import BadInput, WorkFailed
from em_core.training import TrainJob, _probe, open_session
from em_core.training._trainer import LoraTrainer
from tests.training.conftest import run

Build = Callable[..., TrainJob]
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
GPU_FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nSee documentation")


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any, int], Exception | None]], list[int]]:
    """Let micro-batches fail: ``step(lambda trainer, n: error or None)``; the list gets the rows of each micro-batch."""

    def change(fails: Callable[[Any, int], Exception | None]) -> list[int]:
        real, sizes = LoraTrainer.training_step, []

        def training_step(self: Any, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
            sizes.append(len(inputs["input_ids"]))
            if error := fails(self, len(sizes)):
                raise error
            return real(self, model, inputs, num_items_in_batch)

        monkeypatch.setattr(LoraTrainer, "training_step", training_step)
        return sizes

    return change


def test_the_largest_micro_batch_comes_first_and_leaves_nothing(
    job: Build, step: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    changes = {"lora": {"dropout": 0.3}, "train": {"micro_batch": "as_given"}}
    session: Any = open_session(job(changes=changes, steps=[3]))
    lengths = [len(row.ids) for row in session.rows.rows]
    asked: list[list[int]] = []
    real = _probe.probe

    def watch(trainer: Any, rows: list[int]) -> None:
        asked.append(rows)
        real(trainer, rows)

    monkeypatch.setattr(_probe, "probe", watch)
    with caplog.at_level("INFO"):
        probed = run(session)
    ((rows,),) = [asked]
    order = session._order.order(0)
    batches = [order[i : i + 4] for i in range(0, 64, 4)]
    assert rows in batches
    assert max(lengths[i] for i in rows) == max(max(lengths[i] for i in batch) for batch in batches)
    assert "largest micro-batch first: 4 rows" in caplog.text
    monkeypatch.setattr(_probe, "probe", lambda trainer, rows: None)
    assert run(open_session(job(changes=changes, steps=[3]))).losses == probed.losses


def test_what_does_not_fit_is_halved_before_the_first_step(job: Build, step: Any) -> None:
    expected = run(open_session(job(changes={"train": {"micro_batch": "as_given", "batch_size": 4}}, steps=[3])))
    sizes = step(lambda trainer, n: GPU_FULL if trainer.args.per_device_train_batch_size > 4 else None)
    session: Any = open_session(job(changes={"train": {"gradient_checkpointing": "off"}}, steps=[3]))
    assert session.layout.micro_batch == 8
    found = run(session)
    assert (sizes[0], set(sizes[1:])) == (8, {4})
    assert (session.layout.micro_batch, session.layout.accumulation) == (4, 2)
    assert found.losses == expected.losses
    assert found.checkpoints[-1].sha256 == expected.checkpoints[-1].sha256


def test_a_micro_batch_that_the_person_gave_is_not_changed(job: Build, step: Any) -> None:
    step(lambda trainer, n: GPU_FULL)
    work = job(changes={"train": {"micro_batch": "as_given", "gradient_checkpointing": "off"}}, steps=[3])
    with pytest.raises(WorkFailed, match=r"too little memory for 4 rows at once .the largest micro-batch, before the") as caught:
        run(open_session(work))
    assert caught.value.cause == "cuda_oom"
    assert "smaller micro-batch" in caught.value.hint
    assert complete_checkpoints(work.run_dir) == []


@pytest.mark.parametrize(
    ("error", "cause", "message"),
    [
        (GPU_FULL, "cuda_oom", "too little memory for 8 rows at once"),
        (RuntimeError("CUDA error: unspecified launch failure\nCompile with"), "driver", "unspecified launch failure"),
        (MemoryError(), "host_oom", "main memory is full"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "disk_full", "/x/y: the disk is full"),
    ],
)
def test_a_failure_in_a_later_step_has_its_cause(job: Build, step: Any, error: Exception, cause: str, message: str) -> None:
    step(lambda trainer, n: error if n == 4 else None)
    work = job(steps=[1, 5])
    with pytest.raises(WorkFailed, match=message) as caught:
        run(open_session(work))
    assert caught.value.cause == cause
    assert caught.value.hint
    assert [c.step for c in complete_checkpoints(work.run_dir)] == [1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU of this machine can be used")
def test_a_gpu_that_was_given_and_cannot_be_used_is_no_reason_to_crawl_on_the_cpu(
    job: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8a1c")
    with pytest.raises(WorkFailed, match="CUDA_VISIBLE_DEVICES=GPU-8a1c: PyTorch finds no GPU") as caught:
        open_session(job())
    assert caught.value.cause == "driver"


def test_a_bug_stays_a_bug(job: Build, step: Any) -> None:
    step(lambda trainer, n: ZeroDivisionError("oops"))
    with pytest.raises(ZeroDivisionError):
        run(open_session(job(steps=[2])))


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (GPU_FULL, "cuda_oom"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "cuda_oom"),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), "driver"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "driver"),
        (RuntimeError("NCCL error in: ProcessGroupNCCL.cpp:1275, remote process exited"), "driver"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"), "host_oom"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "disk_full"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_failures_of_libraries_are_known_by_their_text(error: Exception, cause: str) -> None:
    known = classify(error)
    assert known is not None
    assert known.cause == cause
    outer = ValueError("something around it")
    outer.__cause__ = error
    again = classify(outer)
    assert again is not None
    assert again.cause == cause


@pytest.mark.parametrize(
    "error",
    [RuntimeError("CUDA error: device-side assert triggered"), RuntimeError("shape mismatch"), OSError(errno.EACCES, "denied")],
    ids=str,
)
def test_what_would_come_back_is_no_failure_of_the_driver(error: Exception) -> None:
    assert classify(error) is None


def test_the_systems_number_is_found_in_the_text_of_libraries_too() -> None:
    assert errno_of(RuntimeError("I/O error: No space left on device (os error 28)")) == errno.ENOSPC
    assert errno_of(OSError(13, "x")) == 13
    assert errno_of(ValueError("x")) is None


def test_a_share_of_the_gpu_is_a_number_of_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(gpu_budget.VARIABLE, raising=False)
    assert gpu_budget.gib() is None
    monkeypatch.setenv(gpu_budget.VARIABLE, "24.5")
    assert gpu_budget.gib() == 24.5
    for wrong in ("all", "-1", "inf", "nan"):
        monkeypatch.setenv(gpu_budget.VARIABLE, wrong)
        with pytest.raises(BadInput, match="no number of GiB"):
            gpu_budget.gib()
