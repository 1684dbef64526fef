"""What happens after each optimizer step: metrics, checkpoints, and what a person asks for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from em_core.errors import WorkFailed
from em_core.records import TrainMetric
from em_core.requests import Request
from em_core.training import _random
from em_core.training._attention import attention


@dataclass(frozen=True)
class _Pending:
    """A step's numbers, perhaps still on their way from the GPU."""

    step: int
    epoch: float
    learning_rate: float
    tokens_per_s: float
    gpu_mem_gib: float | None
    numbers: Tensor  # loss, gradient norm
    ready: Any


class Steps(TrainerCallback):
    """Reports a step's numbers while the next one is being computed, so nothing waits for the GPU.

    Args:
        steps: Checkpoint steps, ascending.
        on_metric: Gets each step's numbers, in order.
        checkpoint: Saves and announces a checkpoint of (step, epoch).
        request: Asked after each step: what a person wants.
        prepare: Called with everything ready for the first step.
    """

    def __init__(
        self,
        steps: Sequence[int],
        on_metric: Callable[[TrainMetric], None],
        checkpoint: Callable[[int, float], None],
        request: Callable[[], Request],
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self.scheduled, self.last = frozenset(steps), max(steps)
        self.on_metric, self.checkpoint, self.request, self.prepare = on_metric, checkpoint, request, prepare
        self.trainer: Any = None
        self.stopped: Request = ""
        self._pending: _Pending | None = None
        self._learning_rate = 0.0
        self._since = time.perf_counter()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.prepare()
        self._since = time.perf_counter()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.add_up_gradients()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._learning_rate = float(self.trainer.optimizer.param_groups[0]["lr"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step, epoch = int(state.global_step), float(state.epoch)
        before, self._pending = self._pending, self._measure(step, epoch)
        self._report(before)
        request = self.request()
        if request == "discard":
            self.flush()
        elif request or step in self.scheduled:
            self.flush()
            self.checkpoint(step, epoch)
            request = request if request == "stop" else self.request()  # an evaluation can take minutes
            self._since = time.perf_counter()
        if request in ("stop", "discard") and step < self.last:
            self.stopped = request
            control.should_training_stop = True

    def flush(self) -> None:
        """Report what is still pending."""
        pending, self._pending = self._pending, None
        self._report(pending)

    def _measure(self, step: int, epoch: float) -> _Pending:
        trainer = self.trainer
        now = time.perf_counter()
        speed = trainer.step_tokens / max(now - self._since, 1e-9)
        self._since = now
        optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
        norm = optimizer.grad_norm
        loss = trainer.step_loss.float()
        numbers = torch.stack([loss, norm.float() if norm is not None else torch.full_like(loss, math.nan)])
        if not numbers.is_cuda:
            return _Pending(step, epoch, self._learning_rate, speed, None, numbers.clone(), None)
        host = torch.empty(2, dtype=torch.float32, pin_memory=True)
        host.copy_(numbers, non_blocking=True)
        ready = torch.cuda.Event()
        ready.record()
        memory = torch.cuda.max_memory_allocated() / 2**30
        return _Pending(step, epoch, self._learning_rate, speed, memory, host, ready)

    def _report(self, pending: _Pending | None) -> None:
        if pending is None:
            return
        if pending.ready is not None:
            pending.ready.synchronize()
        loss, norm = pending.numbers.tolist()
        finite = math.isfinite(loss)
        self.on_metric(
            TrainMetric(
                step=pending.step,
                epoch=pending.epoch,
                loss=loss if finite else None,
                learning_rate=pending.learning_rate,
                grad_norm=norm if math.isfinite(norm) else None,
                tokens_per_s=pending.tokens_per_s,
                gpu_mem_gib=pending.gpu_mem_gib,
            )
        )
        if not finite:
            raise WorkFailed(
                f"training diverged: the loss at step {pending.step} is not a number",
                "lower train.learning_rate, or use train.precision = bf16 instead of fp16",
                "not_a_number",
            )


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Lend the model out in the middle of training; afterwards training goes on as if nothing had happened.

    Random states (torch on CPU and GPU, numpy, Python), train mode, the attention function and
    compiled layers are put aside and restored.
    """
    training = model.training
    compiled = {m: m._compiled_call_impl for m in model.modules() if getattr(m, "_compiled_call_impl", None) is not None}
    for module in compiled:
        module._compiled_call_impl = None
    try:
        with _random.kept(), attention(model, "sdpa"):
            yield
    finally:
        for module, call in compiled.items():
            module._compiled_call_impl = call
        model.train(training)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
