"""What training needs to go on from a checkpoint as if it had never stopped.

    <run>/resume/step-N/state.safetensors    adapter in fp32, optimizer moments, states of the random generators
    <run>/resume/step-N/state.json           everything that is no tensor, and where the tensors belong
    <run>/resume/step-N/trainer_state.json   where transformers' trainer finds its place in the data
    <run>/resume/step-N/COMPLETE.json        sizes and digests, written last

Written before the checkpoint of the same step, so that a complete checkpoint never lacks it. The last step's
holds the adapter only: nothing is trained after it. The newest `KEEP` are kept, in case one is damaged.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from em_core.accidents import errno_of
from em_core.checkpoints import RESUME, complete_checkpoints, publish, read_complete
from em_core.errors import BadInput
from em_core.training import _random
from em_core.training._layout import Layout
from em_core.training._packing import pack, unpack

if TYPE_CHECKING:
    from em_core.training._trainer import LoraTrainer

log = logging.getLogger(__name__)
KEEP = 2
TENSORS, BODY, PLACE = "state.safetensors", "state.json", "trainer_state.json"


@dataclass(frozen=True)
class Saved:
    """A resume state that was read.

    Args:
        path: Its folder.
        step: Optimizer steps done.
        adapter: The adapter by parameter name, fp32.
        layout: How a step was computed.
        rows_sha256: Identity of the training rows as tokens.
        training: Optimizer, scheduler, scaler and random states; None at the last step.
    """

    path: Path
    step: int
    adapter: Mapping[str, Tensor]
    layout: Layout
    rows_sha256: str
    training: Mapping[str, Any] | None


def save(run_dir: Path, trainer: LoraTrainer, layout: Layout, rows_sha256: str, step: int, epoch: float, last: bool) -> None:
    """Save ``resume/step-N``.

    Args:
        run_dir: The run's folder.
        trainer: After its optimizer step N.
        layout: How a step is computed.
        rows_sha256: Identity of the training rows as tokens.
        step: N.
        epoch: Passes over the data done.
        last: Nothing is trained after it.

    Raises:
        WorkFailed: The disk is full or not writable; the earlier states are as they were.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    body: dict[str, Any] = {"layout": asdict(layout), "rows_sha256": rows_sha256}
    body["adapter"] = pack(trainer.masters(), tensors, "adapter")
    body["training"] = None if last else pack(_training(trainer), tensors, "training")

    def write(temporary: Path) -> None:
        try:
            save_file(tensors, temporary / TENSORS)
            (temporary / TENSORS).chmod(0o644)
        except SafetensorError as error:  # the library's own error for a failed write
            raise OSError(errno_of(error), str(error)) from error
        (temporary / BODY).write_text(json.dumps(body), encoding="utf-8")
        place = {"global_step": step, "epoch": epoch, "train_batch_size": layout.micro_batch}
        (temporary / PLACE).write_text(json.dumps(place), encoding="utf-8")

    publish(run_dir / RESUME, step, write, {})


def _training(trainer: LoraTrainer) -> dict[str, Any]:
    scaler = trainer.accelerator.scaler
    scheduler: Any = trainer.lr_scheduler
    return {
        "optimizer": trainer.ours.state_dict(),
        "scheduler": scheduler.state_dict(),
        "scaler": scaler.state_dict() if scaler is not None else None,
        "random": _random.take(),
    }


def read(run_dir: Path, step: int) -> Saved:
    """The resume state of a step.

    Raises:
        BadInput: It is not there, damaged, or not one of this program's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = run_dir / RESUME / f"step-{step}"
    try:
        if read_complete(path) is None:
            raise ValueError("not complete")
        tensors = load_file(path / TENSORS)
        body = json.loads((path / BODY).read_text(encoding="utf-8"))
        training = unpack(body["training"], tensors)
        return Saved(path, step, unpack(body["adapter"], tensors), Layout(**body["layout"]), body["rows_sha256"], training)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BadInput(f"{path}: not a resume state ({error})", f"remove {path}, then `resume` the run") from error


def put_adapter(model: Any, saved: Saved, dtype: torch.dtype) -> None:
    """Give the model the adapter of the saved step, in the type that it trains in.

    Raises:
        BadInput: It is another adapter's.
    """
    adapter = {name: p for name, p in model.named_parameters() if p.requires_grad}
    shapes = {name: tuple(p.shape) for name, p in adapter.items()}
    if shapes != {name: tuple(tensor.shape) for name, tensor in saved.adapter.items()}:
        raise BadInput(f"{saved.path}: the state of another adapter", "launch the run again instead of resuming it")
    for name, p in adapter.items():
        p.data = saved.adapter[name].to(p.device, dtype, copy=True)


def tidy(run_dir: Path) -> None:
    """Remove what a later resume does not need: all but the newest states with a checkpoint, and what a killed worker left."""
    folder = run_dir / RESUME
    wanted = [found.path.name for found in complete_checkpoints(run_dir) if read_complete(folder / found.path.name)]
    for path in (*folder.glob("step-*"), *folder.glob(".step-*.tmp"), *(run_dir / "checkpoints").glob(".step-*.tmp")):
        if path.name not in wanted[-KEEP:]:
            shutil.rmtree(path, ignore_errors=True)


def check_rows(saved: Saved, rows_sha256: str) -> None:
    """That the data is what it was: a place in it means nothing else.

    Raises:
        BadInput: It is not.
    """
    if saved.rows_sha256 != rows_sha256:
        raise BadInput(
            f"the training data is not what it was at step {saved.step}: training cannot go on from there",
            "put the data back as it was, then `resume` it; or launch it as a new run",
        )
