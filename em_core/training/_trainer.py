"""TRL's trainer with our batches, our loss and our optimizer; everything else is as TRL has it.

The loss is the mean over the answer tokens of the whole effective batch, whatever the micro-batches
are. Only positions that carry loss go through the output head. Nothing in a step waits for the GPU.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor
from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]

from em_core.spec import RunSpec
from em_core.training import _random
from em_core.training._batches import Collate, EpochSampler
from em_core.training._layout import Layout
from em_core.training._model import Loaded
from em_core.training._optimizer import LoraOptimizer
from em_core.training._ranks import Ranks
from em_core.training._resume import Saved

_HEAD_EXTRAS = ("final_logit_softcapping", "logit_scale", "logits_scaling", "output_multiplier", "lm_head_multiplier")
_CHUNK = 2048


def config(spec: RunSpec, layout: Layout, n_steps: int, folder: Path, cuda: bool) -> SFTConfig:
    """TRL's settings for a run; logging, saving and evaluating are ours."""
    train = spec.train
    args = SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=layout.micro_batch,
        gradient_accumulation_steps=layout.accumulation,
        max_steps=n_steps,
        learning_rate=train.learning_rate,
        lr_scheduler_type=train.schedule,
        warmup_steps=train.warmup_steps,
        max_grad_norm=0.0,  # LoraOptimizer clips
        bf16=False,  # the weights are in the arithmetic's type: no autocast, no casts
        fp16=cuda and train.precision == "fp16",
        gradient_checkpointing=layout.checkpointing,
        logging_strategy="no",
        logging_nan_inf_filter=False,
        save_strategy="no",
        eval_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=train.seed,
        dataloader_num_workers=0,
        dataloader_pin_memory=cuda,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        use_cpu=not cuda,
    )
    if cuda:
        args._n_gpu = 1  # one GPU per run: the supervisor gives it
    return args


def adapter_dtype(spec: RunSpec, loaded: Loaded) -> torch.dtype:
    """The type in which the adapter takes part in matrix products: the arithmetic's, but fp32 under fp16's autocast."""
    half = spec.train.precision == "fp16" and loaded.device != "cpu"
    return torch.float32 if half else loaded.dtype


class LoraTrainer(SFTTrainer):
    """TRL's `SFTTrainer` over ready-made token rows.

    Args:
        loaded: The model with its adapter.
        spec: The run.
        layout: How a step is computed.
        args: `config`.
        collate: Rows to tensors.
        sampler: The order of the rows.
        callbacks: Of the session.
        saved: Where to go on, for ``train(resume_from_checkpoint=saved.path)``; None = at the beginning.
        beat: Called before each micro-batch: training is alive.
        ranks: The processes that share every batch, on several GPUs.
    """

    loss_is_scaled_for_ga = True  # type: ignore[assignment]  # the loss is divided by the answer tokens of the whole effective batch

    def __init__(
        self,
        loaded: Loaded,
        spec: RunSpec,
        layout: Layout,
        args: SFTConfig,
        collate: Collate,
        sampler: EpochSampler,
        callbacks: list[Any],
        saved: Saved | None,
        beat: Callable[[], None],
        ranks: Ranks,
    ) -> None:
        self._order, self._spec, self._saved, self._beat, self._ranks = sampler, spec, saved, beat, ranks
        self._dtype = adapter_dtype(spec, loaded)
        super().__init__(
            model=loaded.model,
            args=args,
            data_collator=collate,
            train_dataset=Dataset.from_dict({"row": list(range(sampler.n_rows))}),
            processing_class=loaded.tokenizer,
            callbacks=callbacks,
        )
        from transformers.trainer_callback import PrinterCallback

        self.remove_callback(PrinterCallback)
        self.step_loss: Tensor | None = None
        self.step_tokens = 0
        head_config = loaded.model.config.get_text_config()
        self._plain_head = not any(getattr(head_config, name, None) for name in _HEAD_EXTRAS)

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        return self._order

    def create_optimizer(self, model: Any = None) -> LoraOptimizer:
        """Ours, over the adapter in the arithmetic's type."""
        if self.optimizer is None:
            causal: Any = self.model
            adapter = [p for p in causal.parameters() if p.requires_grad]
            masters = [p.detach().float() for p in adapter]
            for p in adapter:
                p.data = p.data.to(self._dtype)
            self.optimizer = LoraOptimizer(adapter, self._spec.train, masters)
            causal.zero_grad = self.optimizer.zero_grad  # the adapter's gradients are all there are; no walk over modules
        optimizer: Any = self.optimizer
        return optimizer  # type: ignore[no-any-return]

    @property
    def ours(self) -> LoraOptimizer:
        """The optimizer without what accelerate wraps around it."""
        optimizer: Any = self.optimizer
        found: LoraOptimizer = getattr(optimizer, "optimizer", optimizer)
        return found

    def masters(self) -> dict[str, Tensor]:
        """The adapter in fp32, by parameter name."""
        causal: Any = self.model
        names = [name for name, p in causal.named_parameters() if p.requires_grad]
        return dict(zip(names, self.ours.masters, strict=True))

    def widen(self) -> None:
        """Leave the adapter in fp32, for another trainer to begin with."""
        causal: Any = self.model
        values = self.masters()
        for name, p in causal.named_parameters():
            if name in values:
                p.data = values[name].detach().clone()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Nothing: the session has put the adapter in already."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if self._saved is not None and self._saved.training is not None:
            self.ours.load_state_dict(self._saved.training["optimizer"])
            self.ours.put_masters([self._saved.adapter[name] for name in self.masters()])
            scheduler: Any = self.lr_scheduler
            scheduler.load_state_dict(self._saved.training["scheduler"])

    def _load_scaler(self, checkpoint: str | None) -> None:
        scaler = self.accelerator.scaler
        if scaler is not None and self._saved is not None and self._saved.training is not None:
            scaler.load_state_dict(self._saved.training["scaler"])

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if self._saved is not None and self._saved.training is not None:
            _random.put(self._saved.training["random"])

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> tuple[list[Any], int]:
        """One effective batch, and the number of tokens its loss is the mean of."""
        batches = []
        for _ in range(num_batches):
            batch = next(epoch_iterator, None)
            if batch is None:
                break
            batches.append(batch)
        n_targets = sum(batch["loss_targets"].numel() for batch in batches)
        self.step_tokens, n_targets = self._ranks.total(sum(batch["n_tokens"] for batch in batches), n_targets)
        self.step_loss = None
        return batches, max(1, n_targets)

    def add_up_gradients(self) -> None:
        """Gradients and loss of the whole effective batch, on every GPU of the run; called before the optimizer's step."""
        if self._ranks.world > 1 and self.step_loss is not None:
            for p in self.ours.live:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            self._ranks.add_up([*(p.grad for p in self.ours.live), self.step_loss])

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward of one micro-batch."""
        self._beat()
        if not model.training:
            model.train()  # it walks all modules: only when something has changed it
        inputs = self._prepare_inputs(inputs)
        loss = self.compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        self.accelerator.backward(loss)
        loss = loss.detach()
        self.step_loss = loss if self.step_loss is None else self.step_loss + loss
        return loss

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """Negative log-likelihood of the answer tokens, over their number in the effective batch."""
        inputs = dict(inputs)
        positions, targets = inputs.pop("loss_positions"), inputs.pop("loss_targets")
        inputs.pop("n_tokens")
        peft_model: Any = self.model
        causal = peft_model.get_base_model()
        with torch.autocast("cuda", torch.float16, enabled=bool(self.args.fp16)):
            if self._plain_head:
                hidden = causal.base_model(**inputs, use_cache=False).last_hidden_state
                nll = head_nll(hidden.flatten(0, 1).index_select(0, positions), causal.get_output_embeddings(), targets)
            else:
                logits = causal(**inputs, use_cache=False).logits
                nll = F.cross_entropy(logits.flatten(0, 1).index_select(0, positions).float(), targets, reduction="sum")
        return nll / num_items_in_batch

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: walking all parameters at each step costs more than it tells."""
        return 0

    def _clip_grad_norm(self, model: Any) -> None:
        return None

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> None:
        return None


def head_nll(hidden: Tensor, head: Any, targets: Tensor) -> Tensor:
    """Summed negative log-likelihood.

    Args:
        hidden: (n, hidden size), only positions that carry loss.
        head: The output embedding.
        targets: (n,) token ids.
    """
    fused = _fused() if hidden.is_cuda else None
    if fused is not None:
        log_probs = fused.apply(hidden, head.weight, head.bias, targets, 1.0, 32768, None, 1.0, ())[0]
        return -log_probs.sum()
    total = hidden.new_zeros((), dtype=torch.float32)
    for start in range(0, hidden.shape[0], _CHUNK):
        logits = head(hidden[start : start + _CHUNK]).float()
        total = total + F.cross_entropy(logits, targets[start : start + _CHUNK], reduction="sum")
    return total + 0.0 * hidden.sum().float() if hidden.shape[0] == 0 else total


@functools.cache
def _fused() -> Any:
    """TRL's projection and log-softmax in tiles, which never holds all logits."""
    try:
        from trl.kernels import ChunkedLogProbFunction
    except ImportError:
        return None
    return ChunkedLogProbFunction
