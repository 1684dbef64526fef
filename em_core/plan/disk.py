"""The disk that a run takes, by purpose."""

from __future__ import annotations

from em_core.plan.base_model import BaseModel
from em_core.plan.tokens import CHARS_PER_TOKEN
from em_core.spec import JudgeSpec, RunSpec

GIB = 2**30
_RESUME_SETS = 3
"""Two are kept, a third is there while it is written (`em_core.training`)."""
_RESPONSE_BYTES, _JUDGEMENT_BYTES, _STEP_BYTES = 1100, 330, 190
"""An answer's event without its text, with its signs of health; a judgement's; a step's."""
_WITH_DATABASE = 1.6
"""Events are kept once more in the database, in a more compact form, and it is copied while it is written."""


def split(
    spec: RunSpec,
    adapter_params: int | None,
    n_checkpoints: int,
    n_answers: int,
    longest: int,
    judging: list[tuple[JudgeSpec, int]],
    model: BaseModel,
    cpu: bool,
) -> dict[str, float]:
    """GiB for checkpoints, the state to resume from, events (and the database), the download of the base model.

    Args:
        spec: The run.
        adapter_params: Trained parameters; None = not known.
        n_checkpoints: Saved checkpoints.
        n_answers: Answers in all.
        longest: Most tokens of an answer; half of it is taken for the mean.
        judging: Each judge and the judgements that it makes.
        model: The base model.
        cpu: Whether it trains on a CPU, where adapters are fp32.
    """
    n = adapter_params or 0
    wide = 4 if cpu or spec.train.precision in ("fp32", "fp16") else 2
    moments = 0 if spec.train.optimizer == "sgd" else 2 if "8bit" in spec.train.optimizer else 8
    answers = n_answers * (_RESPONSE_BYTES + 0.5 * longest * CHARS_PER_TOKEN)
    judged = sum(count for _, count in judging) * _JUDGEMENT_BYTES
    return {
        "checkpoints": n_checkpoints * n * wide / GIB,
        "resume state": min(_RESUME_SETS, n_checkpoints) * n * (4 + moments) / GIB,
        "events": _WITH_DATABASE * (answers + judged + 1000 * _STEP_BYTES) / GIB,
        "download": model.size_on_disk / GIB,
    }
