"""The default trainer: TRL's `SFTTrainer` with a PEFT LoRA adapter, on this machine's GPU or CPU.

The base model is loaded once and stays for the whole run. At every checkpoint the adapter is saved
and the same weights are lent to the sampler; training then goes on bit for bit as if nobody had
looked. What makes it fast, and what was measured, is in docs/experiments.md: no gradient
checkpointing and the whole effective batch at once where that fits, rows without padding, an
output head for answer tokens only, no waiting for the GPU, compiled layers on long runs.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from em_core.errors import WorkFailed
from em_core.records import Checkpoint, TrainMetric
from em_core.training import TokenPreview, TrainJob, TrainOutcome

if TYPE_CHECKING:
    from em_core.training._layout import Layout

log = logging.getLogger(__name__)
COMPILE_FROM_STEPS = 200
"""Compiling the layers takes about 10 s once and saves 50 ms of each step: it pays on runs this long."""


def open(job: TrainJob) -> LocalSession:
    """Load the base model, add the adapter, tokenise the rows.

    Raises:
        BadInput: Something in the spec is not possible with this model or machine.
        WorkFailed: The model does not fit.
    """
    return LocalSession(job)


class LocalSession:
    """A loaded model with a fresh adapter (`em_core.training.Session`).

    Args:
        job: What to train.
        base: A model that is in memory already, for tests and benchmarks; None = load it.
        tokenizer: Its tokenizer.
        compile_layers: Compile the decoder layers; None = when the run is long enough to pay for it.
    """

    def __init__(self, job: TrainJob, base: Any = None, tokenizer: Any = None, compile_layers: bool | None = None) -> None:
        import torch

        from em_core.training import _batches, _data, _model

        _quiet()
        if not torch.cuda.is_available():
            torch.set_num_threads(1)  # one run a core: two threads are slower than one on small models
        self.job = job
        with _third_party_warnings():
            self.loaded = _model.load(job, base, tokenizer)
        self.model, self.tokenizer = self.loaded.model, self.loaded.tokenizer
        self.n_params, self.weights_sha256 = self.loaded.n_params, self.loaded.weights_sha256
        self.device, self.gpu = self.loaded.device, self.loaded.gpu
        train = job.spec.train
        self.rows = _data.tokenize(self.tokenizer, job.rows, train.max_length, train.loss_on)
        self.notes = [*self.rows.notes, *self.loaded.notes]
        self._order = _batches.EpochSampler(len(job.rows), train.effective_batch, train.drop_last, train.seed)
        self.layout = self._choose_layout()
        self._compile = compile_layers

    def preview(self, n_rows: int = 5) -> list[TokenPreview]:
        """The first rows as tokens with their loss mask; the first carries the notes."""
        return self.rows.preview(self.tokenizer, n_rows)

    @contextmanager
    def starting_weights(self) -> Iterator[None]:
        """While entered, the model is the starting model: base, and the parent's adapter if there is one."""
        from em_core.training import _parent

        if _parent.NAME not in self.model.peft_config:
            with self.model.disable_adapter():
                yield
            return
        _parent.activate(self.model, [_parent.NAME])
        try:
            yield
        finally:
            _parent.activate(self.model, [_parent.NAME, "default"])

    def train(
        self,
        on_metric: Callable[[TrainMetric], None],
        on_checkpoint: Callable[[Checkpoint], None],
        should_stop: Callable[[], Literal["", "stop", "discard"]],
    ) -> TrainOutcome:
        """Train to the last step (see `Session.train`).

        Raises:
            WorkFailed: Out of GPU memory, out of disk, or the loss is not a number.
        """
        import torch

        from em_core.training import _attention, _batches, _checkpoint, _steps, _trainer

        spec, loaded, layout = self.job.spec, self.loaded, self.layout
        folder = self.job.run_dir / "checkpoints"

        def checkpoint(step: int, epoch: float) -> None:
            seen = self._order.samples_seen(step, spec.train.effective_batch)
            done = _checkpoint.save(loaded, spec, folder, step, epoch, seen)
            record = Checkpoint(step, epoch, f"checkpoints/{done.path.name}", done.sha256, done.size_bytes, seen)
            with _steps.undisturbed(self.model):
                on_checkpoint(record)

        steps = _steps.Steps(self.job.steps, on_metric, checkpoint, should_stop)
        varlen = layout.packed and _attention.supported(self._base(), self.device, loaded.dtype)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            kernel = _attention.NAME if varlen else "sdpa"
            with torch.enable_grad(), _attention.attention(self.model, kernel), _third_party_warnings():
                args = _trainer.config(spec, layout, steps.last, folder, cuda=self.device != "cpu")
                pad = self.tokenizer.pad_token_id
                collate = _batches.Collate(self.rows.rows, pad if pad is not None else 0, layout.packed, varlen)
                trainer = _trainer.LoraTrainer(loaded, spec, layout, args, collate, self._order, [steps])
                steps.trainer = trainer
                if self._worth_compiling(steps.last):
                    _compile_layers(self.model)
                trainer.train()
            steps.flush()
        except torch.OutOfMemoryError as error:
            raise WorkFailed(
                f"the GPU has too little memory for {layout.micro_batch} rows at once",
                "set train.gradient_checkpointing = on, or train.micro_batch = as_given with a smaller train.batch_size"
                " (and a larger train.grad_accumulation), or train.precision = nf4",
            ) from error
        except OSError as error:
            raise WorkFailed(
                f"{folder}: {error.strerror or error}",
                "free disk space or fix its permissions, then `launch` it `--again`",
            ) from error
        finally:
            self.model.__dict__.pop("zero_grad", None)
        last = int(trainer.state.global_step)
        self._release()
        if steps.stopped:
            return TrainOutcome("stopped", last, "stopped on request" + (", discarded" if steps.stopped == "discard" else ""))
        return TrainOutcome("finished", last)

    def close(self) -> None:
        """Free the model's memory."""
        self.model = self.loaded.model = None
        self._release()

    def _base(self) -> Any:
        return self.model.get_base_model()

    def _choose_layout(self) -> Layout:
        from em_core.training import _attention, _layout
        from em_core.training.memory import ModelShape

        train = self.job.spec.train
        can = _attention.supported(self._base(), self.device, self.loaded.dtype)
        packed = train.padding_free == "on" or (train.padding_free == "auto" and can)
        epochs = range(min(8, 1 + max(self.job.steps) * train.effective_batch // max(self._order.n_used, 1)))
        lengths = [len(self.rows.rows[i].ids) for epoch in epochs for i in self._order.order(epoch)]
        shape = ModelShape.from_config(self.model.config.to_dict())
        layout = _layout.choose(train, self.job.spec.lora, shape, lengths, _free_gib(self.device, self.model), packed)
        log.info("%s", layout)
        return layout

    def _worth_compiling(self, n_steps: int) -> bool:
        if self.device == "cpu" or self.layout.checkpointing:
            return False
        if self._compile is not None:
            return self._compile
        return n_steps >= COMPILE_FROM_STEPS and self.job.spec.train.precision != "fp32"

    def _release(self) -> None:
        import gc

        import torch

        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _free_gib(device: str, model: Any) -> float:
    """Memory that training may take, the loaded weights included, GiB."""
    if device == "cpu":
        import psutil

        free = psutil.virtual_memory().available
    else:
        import torch

        free = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return float(0.92 * (free + weights) / 2**30)


def _compile_layers(model: Any) -> None:
    """Compile each decoder layer; all layers share the same two graphs. A layer that cannot be compiled runs as it is."""
    import torch

    layers = getattr(model.get_base_model().base_model, "layers", None)
    if layers is None:
        return
    torch._dynamo.config.suppress_errors = True
    model.enable_input_require_grads()  # else the first layer, whose input has no gradient, is a graph of its own
    for layer in layers:
        layer.compile()


@contextmanager
def _third_party_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(torch|transformers|trl|peft|accelerate|bitsandbytes)(\..*)?")
        yield


def _quiet() -> None:
    """No bars and no chatter of libraries in the worker's log."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    for name in ("trl", "accelerate", "peft"):
        logging.getLogger(name).setLevel(logging.ERROR)
