"""How long a run takes, phase by phase: arithmetic, corrected by what past runs of this machine really took.

Measured on one H200 (docs/experiments.md): with a few thousand tokens a step, a GPU waits for Python, about 6 ms a
decoder layer forwards and backwards (half of it compiled), 0.8 ms a layer and decoded token; only large batches are
bound by arithmetic. A past run gives a ratio, measured to expected; the median ratio corrects the estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

from em_core.spec import Precision

TFLOPS = {
    "B200": 2000, "GH200": 800, "H200": 790, "H100": 700, "A100": 280, "L40": 180, "4090": 160, "A6000": 140, "L4": 60,
    "A10": 70, "T4": 40,
}  # fmt: skip
_REACHED, _REACHED_COMPILED = 0.53, 0.62
"""Share of a GPU's rate that training reaches at 8B."""
_LAYER_S = {"nf4": 0.0089}
_LAYER_ELSE_S = 0.0068
"""Between two machines of one kind it differed by a quarter: it is the CPU's time."""
_COMPILED = {"nf4": 0.7}
_COMPILED_ELSE = 0.46
COMPILE_S = 12.0
COMPILE_FROM_STEPS = 200
"""As the trainer: shorter runs are not compiled."""
_TAIL = 2.5
_DECODE_LAYER_S = {"nf4": 0.0023}
_DECODE_LAYER_ELSE_S = 0.0008
FIRST_SAMPLING_S = 2.5
"""A process's first sampling on a GPU loads kernels."""
_CPU_FLOPS = 30e9
_SIZES = ((0.5e9, 24), (1.3e9, 16), (3.3e9, 28), (9e9, 32), (15e9, 48), (40e9, 64))


@dataclass(frozen=True)
class Work:
    """What the time of a step depends on.

    Args:
        n_params: Parameters of the base model.
        layers: Its decoder layers.
        precision: Of weights and arithmetic.
        gpu: Name of the GPU; empty = a CPU.
        compiled: Whether the layers are compiled.
        checkpointing: Gradient checkpointing.
        accumulation: Micro-batches a step.
    """

    n_params: int
    layers: int
    precision: Precision
    gpu: str
    compiled: bool = False
    checkpointing: bool = False
    accumulation: int = 1


def layers_of(n_params: int) -> int:
    """Decoder layers of a model of this size, about."""
    if n_params < 50e6:
        return 4
    return next((layers for most, layers in _SIZES if n_params <= most), 80)


def gpu_flops(name: str) -> float:
    """Arithmetic of a GPU in bf16, FLOP/s; a middling one when its name is not known."""
    return next((t for known, t in TFLOPS.items() if known in name), 100) * 1e12


def step_s(work: Work, tokens: float) -> float:
    """Seconds of one optimizer step of so many tokens."""
    flops = (6.0 if work.checkpointing else 4.0) * work.n_params * tokens
    if not work.gpu:
        return flops / _CPU_FLOPS + 0.03
    python = work.layers * _LAYER_S.get(work.precision, _LAYER_ELSE_S) * work.accumulation
    if work.compiled:
        python *= _COMPILED.get(work.precision, _COMPILED_ELSE)
    if work.checkpointing:
        python *= 1.4
    reached = _REACHED_COMPILED if work.compiled else _REACHED
    return max(python, flops / (reached * gpu_flops(work.gpu))) + 0.004


def decode_step_s(work: Work, rows: float) -> float:
    """Seconds of decoding one more token of so many answers."""
    if not work.gpu:
        return 0.004 + 2.0 * work.n_params * rows / _CPU_FLOPS
    slower = 790e12 / gpu_flops(work.gpu)
    bandwidth = 4.25e12 / slower
    weights = work.n_params * (0.55 if work.precision == "nf4" else 2)
    python = work.layers * _DECODE_LAYER_S.get(work.precision, _DECODE_LAYER_ELSE_S) + 0.002
    return max(python, weights / bandwidth) + max(0.0, rows - 64) * (0.005 + 0.08 * work.n_params / 8e9) * 1e-3 * slower


def around_s(work: Work, n_checkpoints: int) -> float:
    """Seconds of training that are no steps: what comes before the first one, and saving so many checkpoints."""
    begin = (5.0 + COMPILE_S * work.compiled) if work.gpu else 0.5
    return begin + n_checkpoints * (0.3 + work.n_params / 2e10)


def sample_s(work: Work, answers: float, rows: int, mean_tokens: float, longest: float | None = None) -> float:
    """Seconds of sampling at one checkpoint.

    Args:
        work: The model on its device.
        answers: How many.
        rows: Decoded at once.
        mean_tokens: Of an answer.
        longest: Most tokens of an answer; None = not known.
    """
    if not answers:
        return 0.0
    tail = min(_TAIL * mean_tokens, longest or _TAIL * mean_tokens)  # the last answers are long ones
    steps = max(tail, answers * mean_tokens / max(1, rows))
    return 0.3 + steps * decode_step_s(work, min(answers, rows))


def load_s(n_params: int, gpu: str) -> float:
    """Seconds from a worker's start to a model that is ready to train."""
    return 20 + 2 * n_params / 1.2e9 if gpu else 8 + 2 * n_params / 0.5e9
