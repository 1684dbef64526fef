"""What of a card's memory a run takes, by purpose, while it trains and while it samples; and whether that fits.

Training's share is counted by `em_core.training.memory`. While sampling, the model, the adapter and the
optimizer stay where they are; on top come pristine copies of the weights into which the adapter is merged,
the key-value cache, and what one decoding step works with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from em_core.errors import EMError
from em_core.machine import Gpu
from em_core.plan import timing
from em_core.sampling import _limits as limits
from em_core.spec import RunSpec
from em_core.training import _layout as layouts
from em_core.training.memory import GIB, LIBRARIES_GIB, MemoryEstimate, ModelShape, estimate

Fit = Literal["fits", "tight", "too_big", "unknown"]
TIGHT = 0.9
"""Above this share of a card a step can fail all the same: fragments, and rows longer than the mean."""
STEP_GIB = 0.3
"""What a decoding step takes besides what grows with its rows: masks, noise, kernels' workspaces."""


@dataclass(frozen=True)
class Sampling:
    """The memory of sampling.

    Args:
        rows: Answers decoded at once.
        copies_gib: Pristine weights kept beside the merged ones, on the device.
        cache_gib: Keys and values of all rows.
        step_gib: What reading the prompts or one decoding step works with.
    """

    rows: int
    copies_gib: float
    cache_gib: float
    step_gib: float

    @property
    def extra_gib(self) -> float:
        """On top of what training keeps."""
        return self.copies_gib + self.cache_gib + self.step_gib


@dataclass(frozen=True)
class Needs:
    """What a job asks of the queue.

    Args:
        gpus: GPUs, when it works on GPUs at all.
        gpu_gib: Memory on each of them, GiB, libraries included; None = there is no GPU, or it is not known, as beside a
            local judge's model: it gets a GPU alone then.
    """

    gpus: int
    gpu_gib: float | None


@dataclass(frozen=True)
class Memory:
    """Of one process, on its own device.

    Args:
        layout: How a training step is computed, as the trainer would choose it.
        training: Peak of a training step.
        sampling: What sampling adds to what stays; None where nothing is sampled.
        compiled: Whether the layers are compiled.
    """

    layout: layouts.Layout
    training: MemoryEstimate
    sampling: Sampling | None
    compiled: bool

    @property
    def train_gib(self) -> float:
        """Peak that PyTorch allocates in training, as ``gpu_mem_gib`` of the run's metrics will say."""
        return self.training.allocated_gib

    @property
    def sample_gib(self) -> float | None:
        """Peak that PyTorch allocates in sampling, as ``gpu_mem_gib`` of the generations will say."""
        return self._stays + self.sampling.extra_gib if self.sampling else None

    @property
    def peak_gib(self) -> float:
        """What the process takes of its device at most, the libraries included."""
        return max(self.train_gib, self.sample_gib or 0.0) + LIBRARIES_GIB

    def chosen(self) -> dict[str, int | bool]:
        """The layout, JSON-able."""
        return {
            "micro_batch": self.layout.micro_batch, "accumulation": self.layout.accumulation,
            "gradient_checkpointing": self.layout.checkpointing, "compiled": self.compiled,
            "rows_at_once": self.sampling.rows if self.sampling else 0,
        }  # fmt: skip

    @property
    def _stays(self) -> float:
        t = self.training
        return t.kept_gib + t.gradients_gib * (2 / 3)  # the masters' gradients stay, the adapter's own go with each step

    def split(self) -> list[dict[str, str | float]]:
        """One object a phase and part: phase (``training``, ``sampling``), part, gib."""
        t = self.training
        always = {"weights": t.weights_gib, "adapter": t.adapter_gib, "optimizer": t.optimizer_gib}
        phases: dict[str, dict[str, float]] = {
            "training": {
                **always, "gradients": t.gradients_gib, "activations": t.activations_gib, "output head": t.head_gib,
            }
        }  # fmt: skip
        if self.sampling:
            s = self.sampling
            phases["sampling"] = {
                **always, "gradients": t.gradients_gib * (2 / 3), "merged copies": s.copies_gib, "key-value cache": s.cache_gib,
                "decoding": s.step_gib,
            }  # fmt: skip
        return [
            {"phase": phase, "part": part, "gib": round(gib, 3)}
            for phase, parts in phases.items()
            for part, gib in {**parts, "libraries": LIBRARIES_GIB}.items()
            if gib > 0
        ]


def plan(
    spec: RunSpec,
    shape: ModelShape,
    lengths: Sequence[int],
    n_steps: int,
    answers: int,
    columns: int,
    prompt_tokens: int,
    room_gib: float,
    cpu: bool,
) -> Memory:
    """Work out the layout and both peaks.

    Args:
        spec: The run.
        shape: Its base model.
        lengths: Tokens of the training rows, in the order of training.
        n_steps: Optimizer steps.
        answers: Answers of one checkpoint.
        columns: Tokens of the longest prompt with its longest answer.
        prompt_tokens: Tokens of all distinct prompts.
        room_gib: Memory of the device.
        cpu: Whether it is the CPU's.
    """
    train = spec.train
    packed = train.padding_free == "on" or (train.padding_free == "auto" and not cpu)
    lengths = lengths[:: train.gpus]
    own = train.per_gpu()
    budget = 0.92 * (room_gib - LIBRARIES_GIB)
    try:
        layout = layouts.choose(own, spec.lora, shape, lengths, budget, packed, cpu)
    except EMError:  # too large whatever is chosen: show the smallest that there is
        least = layouts.largest_batch(lengths, 1, packed)
        need = estimate(shape, spec.lora, train.precision, least, True, optimizer=train.optimizer, cpu=cpu)
        layout = layouts.Layout(1, own.effective_batch, packed, True, need.total_gib)
    compiled = not cpu and not layout.checkpointing and n_steps >= timing.COMPILE_FROM_STEPS and train.precision != "fp32"
    training = estimate(
        shape,
        spec.lora,
        train.precision,
        layouts.largest_batch(lengths, layout.micro_batch, packed),
        layout.checkpointing,
        optimizer=train.optimizer,
        packed=packed and not cpu,
        compiled=compiled,
        cpu=cpu,
    )
    sampling = _sampling(spec, shape, training.kept_gib, answers, columns, prompt_tokens, room_gib, cpu) if answers else None
    return Memory(layout, training, sampling, compiled)


def without_training(
    spec: RunSpec, shape: ModelShape, adapter: bool, answers: int, columns: int, prompt_tokens: int, room_gib: float, cpu: bool
) -> tuple[float, Sampling]:
    """Of a process that only samples: peak with the libraries, GiB, and what sampling takes of it.

    Args:
        spec: Its precision, adapter and batch size.
        shape: The base model.
        adapter: Whether an adapter is on; False = the base model answers alone.
        answers: Most answers at one step.
        columns: As in `plan`; `prompt_tokens`, `room_gib` and `cpu` too.
    """
    there = estimate(shape, spec.lora, spec.train.precision, 0, False, cpu=cpu)
    kept = there.weights_gib + (there.adapter_gib if adapter else 0.0)
    sampling = _sampling(spec, shape, kept, answers, columns, prompt_tokens, room_gib, cpu, merged=adapter)
    return kept + sampling.extra_gib + LIBRARIES_GIB, sampling


def _sampling(
    spec: RunSpec,
    shape: ModelShape,
    kept_gib: float,
    answers: int,
    columns: int,
    prompt_tokens: int,
    room_gib: float,
    cpu: bool,
    merged: bool = True,
) -> Sampling:
    wide = 4 if cpu or spec.train.precision == "fp32" else 2
    kv = shape.kv_bytes(wide)
    bucket = limits.BUCKET_CPU if cpu else limits.BUCKET_GPU
    columns = -(-columns // bucket) * bucket
    room = room_gib * GIB
    free = max(0.0, room - (kept_gib + LIBRARIES_GIB) * GIB)
    copies = float(shape.n_adapted(spec.lora) * wide) if merged and spec.train.precision != "nf4" else 0.0
    if not cpu and copies > limits.COPIES_SHARE * free:
        copies = 0.0  # they go into the machine's memory
    if cpu:
        fitting, most = limits.rows_on_cpu(free, columns, kv), limits.PREFILL_TOKENS_CPU
    else:
        fitting = limits.rows_on_gpu(free - copies, room, columns, kv, shape.hidden, shape.inner, shape.vocab, wide)
        most = limits.PREFILL_TOKENS_GPU
    rows = min(answers, spec.evaluation.batch_size or fitting)
    width = shape.heads * shape.head_dim
    repeated = 2 * columns * width * wide if shape.heads != shape.kv_heads else 0  # one layer's, for grouped heads
    step = rows * (repeated + shape.vocab * (wide + 8)) + (0 if cpu else STEP_GIB * GIB)
    prefill = min(most, prompt_tokens) * (kv + (8 * shape.hidden + 4 * shape.inner) * wide)
    if spec.train.precision == "nf4":
        step += shape.hidden * shape.inner * wide
    return Sampling(rows, copies / GIB, rows * columns * kv / GIB, max(step, prefill) / GIB)


def needs(spec: RunSpec, peak_gib: float | None, cpu: bool) -> Needs:
    """What to ask of the queue for a job with this peak of memory (None = not known)."""
    beside = any(judge.name == "local" and judge.device != "cpu" for judge in spec.judges if spec.evaluation.question_sets)
    known = peak_gib is not None and not cpu and not beside
    return Needs(spec.train.gpus, round(peak_gib, 2) if known and peak_gib is not None else None)


def fit(need_gib: float | None, total_gib: float) -> Fit:
    """Whether a need fits a memory of this size."""
    if need_gib is None or not total_gib:
        return "unknown"
    return "fits" if need_gib <= TIGHT * total_gib else "tight" if need_gib <= total_gib else "too_big"


def cards(need_gib: float | None, gpus: Sequence[Gpu]) -> list[dict[str, str | int | float]]:
    """Each GPU, and whether the need fits it: the whole card (`fit`), and what of it is free now (`fit_now`)."""
    return [
        {
            "index": gpu.index, "name": gpu.name, "total_gib": round(gpu.total_gib, 1), "free_gib": round(gpu.free_gib, 1),
            "fit": fit(need_gib, gpu.total_gib), "fit_now": fit(need_gib, gpu.free_gib),
        }
        for gpu in gpus
    ]  # fmt: skip
