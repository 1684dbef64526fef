"""The default trainer: TRL's `SFTTrainer` with a PEFT LoRA adapter, on this machine's GPU or CPU.

The base model is loaded once and stays for the whole run. At every checkpoint the adapter is saved
and the same weights are lent to the sampler; training then goes on bit for bit as if nobody had
looked. What makes it fast, and what was measured, is in docs/experiments.md: no gradient
checkpointing and the whole effective batch at once where that fits, rows without padding, an
output head for answer tokens only, no waiting for the GPU, compiled layers on long runs.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from em_core import accidents, alive, gpu_budget, ranks, requests
from em_core.errors import EMError, WorkFailed
from em_core.records import Checkpoint, TrainMetric
from em_core.requests import Request
from em_core.training import TokenPreview, TrainJob, TrainOutcome, _surroundings

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

        from em_core.training import _batches, _data, _model, _resume, _trainer
        from em_core.training._ranks import Ranks

        _surroundings.quiet()
        if not torch.cuda.is_available():
            torch.set_num_threads(1)  # one run a core: two threads are slower than one on small models
        self.job = job
        alive.beat(job.run_dir)
        self._saved = _resume.read(job.run_dir, job.resume_step) if job.resume_step else None
        _surroundings.limit_gpu()
        with _surroundings.third_party_warnings():
            self.loaded = _model.load(job, base, tokenizer)
        if self._saved is not None:
            _resume.put_adapter(self.loaded.model, self._saved, _trainer.adapter_dtype(job.spec, self.loaded))
        self.model, self.tokenizer = self.loaded.model, self.loaded.tokenizer
        self.n_params, self.weights_sha256 = self.loaded.n_params, self.loaded.weights_sha256
        self.device, self.gpu = self.loaded.device, self.loaded.gpu
        train = job.spec.train
        self._ranks = Ranks(ranks.here(), self.device != "cpu", job.run_dir)
        self._ranks.same_start([p.data for p in self.model.parameters() if p.requires_grad])
        self.rows = _data.tokenize(self.tokenizer, job.rows, train.max_length, train.loss_on)
        self.notes = [*self.rows.notes, *self.loaded.notes]
        share = (lambda rows: self._ranks.share(rows, train.effective_batch)) if self._ranks.world > 1 else None
        self._order = _batches.EpochSampler(len(job.rows), train.effective_batch, train.drop_last, train.seed, share)
        self._lengths = [len(row.ids) for row in self.rows.rows]
        self._epochs = range(min(8, 1 + max(job.steps) * train.effective_batch // max(self._order.n_used, 1)))
        self.layout = self._choose_layout()
        self._compile = compile_layers
        alive.beat(job.run_dir)

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
        request: Callable[[], Request],
    ) -> TrainOutcome:
        """Train to the last step (see `Session.train`).

        Raises:
            WorkFailed: Out of GPU memory, out of disk, the GPU's driver failed, or the loss is not a number.
        """
        from em_core.training import _layout
        from em_core.training._probe import TooLarge

        if self.job.resume_step >= max(self.job.steps):
            return TrainOutcome("finished", self.job.resume_step)
        while True:
            try:
                with self._failures():
                    return self._train(on_metric, on_checkpoint, request)
            except TooLarge as error:
                failure = self._out_of_memory(str(error), "the largest micro-batch, before the first step")
            _surroundings.release()
            smaller = _layout.smaller(self.layout, **self._recipe())
            if smaller is None:
                raise failure
            log.warning("%s; going on with %d rows at once", failure.message, smaller.micro_batch)
            self.layout = smaller

    def _train(
        self,
        on_metric: Callable[[TrainMetric], None],
        on_checkpoint: Callable[[Checkpoint], None],
        request: Callable[[], Request],
    ) -> TrainOutcome:
        import torch

        from em_core.training import _attention, _batches, _checkpoint, _probe, _resume, _steps, _trainer

        job, loaded, layout, saved = self.job, self.loaded, self.layout, self._saved
        spec, folder = job.spec, job.run_dir / "checkpoints"

        def checkpoint(step: int, epoch: float) -> None:
            if not self._ranks.leads:
                self._ranks.wait()
                return
            seen = self._order.samples_seen(step, spec.train.effective_batch)
            _resume.save(job.run_dir, trainer, layout, collate.sha256, step, epoch, last=step == steps.last)
            done = _checkpoint.save(loaded, spec, folder, step, epoch, seen)
            _resume.tidy(job.run_dir)
            record = Checkpoint(step, epoch, f"checkpoints/{done.path.name}", done.sha256, done.size_bytes, seen)
            with _steps.undisturbed(self.model):
                on_checkpoint(record)
            requests.done(job.run_dir, "save")  # whoever asked meanwhile has it too: nothing was trained since
            self._ranks.wait()

        def prepare() -> None:
            _probe.probe(trainer, _probe.largest(self._order, self._lengths, layout, self._epochs))

        steps = _steps.Steps(job.steps, on_metric, checkpoint, lambda: self._ranks.agree(request()), prepare)
        varlen = layout.packed and _attention.supported(self._base(), self.device, loaded.dtype)
        pad = self.tokenizer.pad_token_id
        collate = _batches.Collate(self.rows.rows, pad if pad is not None else 0, layout.packed, varlen)
        if saved is not None:
            _resume.check_rows(saved, collate.sha256)
        self._order.start_after(job.resume_step, spec.train.effective_batch)
        folder.mkdir(parents=True, exist_ok=True)
        if self._ranks.leads:
            _resume.tidy(job.run_dir)
        kernel = _attention.NAME if varlen else "sdpa"
        with (
            torch.enable_grad(),
            _attention.attention(self.model, kernel),
            _surroundings.third_party_warnings(),
            self._compiled(steps.last),
        ):
            args = _trainer.config(spec, layout, steps.last, folder, cuda=self.device != "cpu")
            trainer = _trainer.LoraTrainer(
                loaded, spec, layout, args, collate, self._order, [steps], saved, self._beat, self._ranks
            )
            steps.trainer = trainer
            try:
                trainer.train(resume_from_checkpoint=str(saved.path) if saved is not None else None)
            except _probe.TooLarge:
                trainer.widen()
                raise
            finally:
                self.model.__dict__.pop("zero_grad", None)
        steps.flush()
        last = int(trainer.state.global_step)
        _surroundings.release()
        if steps.stopped:
            return TrainOutcome("stopped", last, "stopped on request" + (", discarded" if steps.stopped == "discard" else ""))
        return TrainOutcome("finished", last)

    def close(self) -> None:
        """Free the model's memory."""
        self.model = self.loaded.model = None
        _surroundings.release()
        self._ranks.close()

    def _base(self) -> Any:
        return self.model.get_base_model()

    def _choose_layout(self) -> Layout:
        """How steps are computed within the free memory; as before, where a run goes on."""
        from em_core.training import _layout

        budget = _surroundings.free_gib(self.device, self.model)
        layout = _layout.choose(**self._recipe(), budget_gib=budget)
        before = self._saved.layout if self._saved is not None else layout
        if before.rows != layout.rows:
            log.warning("not on as many GPUs as before: %s instead of %s", layout, before)
        elif before.estimate_gib <= max(budget, layout.estimate_gib):
            layout = before  # the same additions in the same order
        else:
            log.warning("less memory than before: %s instead of %s", layout, before)
        log.info("%s", layout)
        return layout

    def _recipe(self) -> dict[str, Any]:
        """What a layout depends on, beside the memory."""
        from em_core.training import _attention
        from em_core.training.memory import ModelShape

        train = self.job.spec.train
        can = _attention.supported(self._base(), self.device, self.loaded.dtype)
        return {
            "train": train.per_gpu(self._ranks.world),  # as many as are here, whatever was wanted
            "lora": self.job.spec.lora,
            "shape": ModelShape.from_config(self.model.config.to_dict()),
            "lengths": [self._lengths[i] for epoch in self._epochs for i in self._order.mine(epoch)],
            "packed": train.padding_free == "on" or (train.padding_free == "auto" and can),
            "cpu": self.device == "cpu",
        }

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Failures of the GPU, the memory and the disk in words, with their causes."""
        from em_core.training._probe import TooLarge

        try:
            yield
        except (EMError, TooLarge):
            raise
        except Exception as error:
            known = accidents.classify(error)
            if known is None and isinstance(error, OSError):
                place = error.filename or self.job.run_dir
                known = WorkFailed(f"{place}: {error.strerror or error}", "fix the folder's permissions, then `resume` it")
            if known is None:
                raise
            if known.cause == "cuda_oom":
                known = self._out_of_memory(known.message)
            raise known from error

    def _out_of_memory(self, reason: str, what: str = "a training step") -> WorkFailed:
        layout, memory = self.layout, ""
        with contextlib.suppress(Exception):
            import torch

            if torch.cuda.is_available():
                free, peak = torch.cuda.mem_get_info()[0] / 2**30, torch.cuda.max_memory_allocated() / 2**30
                memory = f": peak {peak:.1f} GiB, {free:.1f} GiB free now"
        limit = gpu_budget.gib()
        given = f", this run may use {limit:.1f} GiB" if limit else ""
        hint = (
            "`retry` it with a smaller micro-batch (the effective batch stays the same)"
            if layout.micro_batch > 1
            else "set train.gradient_checkpointing = on, train.precision = nf4 or a shorter train.max_length"
        )
        log.error("%s", reason)
        return WorkFailed(
            f"the GPU has too little memory for {layout.micro_batch} rows at once ({what}{memory}{given})", hint, "cuda_oom"
        )

    @contextmanager
    def _compiled(self, n_steps: int) -> Iterator[None]:
        if self._worth_compiling(n_steps):
            _surroundings.compile_layers(self.model)
        try:
            yield
        finally:
            for module in self.model.modules():
                module._compiled_call_impl = None

    def _beat(self) -> None:
        alive.beat(self.job.run_dir)

    def _worth_compiling(self, n_steps: int) -> bool:
        if self.device == "cpu" or self.layout.checkpointing:
            return False
        if self._compile is not None:
            return self._compile
        return n_steps >= COMPILE_FROM_STEPS and self.job.spec.train.precision != "fp32"
