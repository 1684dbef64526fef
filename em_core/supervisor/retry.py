"""The same spec as a new run, with a smaller micro-batch where the GPU's memory ran out."""

from __future__ import annotations

from pathlib import Path

from em_core import evaluate_job
from em_core.errors import BadInput
from em_core.home import Home
from em_core.prepared import spec_of
from em_core.spec import RunSpec
from em_core.supervisor.launch import Launched, launch


def retry(home: Home, run_dir: Path, smaller: bool, *, start: bool) -> Launched:
    """Launch the spec of `run_dir` again.

    Raises:
        BadInput: It cannot be read, is no fine-tune's, or there is no smaller micro-batch.
    """
    if evaluate_job.is_job(run_dir):
        raise BadInput(f"{run_dir.name}: is an evaluation, not a fine-tune", f"`python -m em_core resume {run_dir.name}`")
    spec = spec_of(run_dir)
    return launch(home, [smaller_batch(spec, run_dir.name) if smaller else spec], again=True, start=start)[0]


def smaller_batch(spec: RunSpec, run_id: str = "") -> RunSpec:
    """The spec with half as many rows at once and the same effective batch, so the same result but for rounding.

    Args:
        spec: What ran out of GPU memory.
        run_id: For the message.

    Raises:
        BadInput: It is one row at once already.
    """
    train, own = spec.train, spec.train.per_gpu()
    if own.batch_size == 1 and (own.micro_batch == "as_given" or own.effective_batch == 1):
        raise BadInput(
            f"{run_id or spec.label}: its micro-batch is one row already",
            "set train.gradient_checkpointing = on, train.precision = nf4 or a smaller train.max_length",
        )
    most = max(1, own.batch_size // 2)
    rows = next(n for n in range(most, 0, -1) if own.effective_batch % n == 0)
    changed = {"batch_size": rows, "grad_accumulation": train.effective_batch // rows, "micro_batch": "as_given"}
    return spec.model_copy(update={"train": train.model_copy(update=changed)})
