"""Saving an adapter while the model trains on."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from em_core.accidents import errno_of
from em_core.checkpoints import WEIGHTS, CompleteCheckpoint, publish
from em_core.spec import RunSpec
from em_core.training import _parent
from em_core.training._model import Loaded


def public_name(spec: RunSpec) -> str:
    """The base model's name without this machine's folders: a Hub id or organism stays, a path gives its last part."""
    name = spec.base_model.rstrip("/")
    is_path = name.startswith((".", "/", "~")) or Path(name).expanduser().is_dir()
    return Path(name).name if is_path else name


def save(loaded: Loaded, spec: RunSpec, folder: Path, step: int, epoch: float, samples_seen: int) -> CompleteCheckpoint:
    """Save the adapter as ``folder/step-N``: the tensors, their config, the state, then COMPLETE.json.

    Raises:
        WorkFailed: The disk is full or not writable.
    """
    from peft import get_peft_model_state_dict
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    config = copy.deepcopy(loaded.model.peft_config["default"])
    if loaded.parent:
        tensors, fields = _parent.as_adapter(_parent.add(loaded.parent, _parent.factors(loaded.model, "default")))
        for name, value in fields.items():
            setattr(config, name, value)
    else:
        found = get_peft_model_state_dict(loaded.model, adapter_name="default", save_embedding_layers=False)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in found.items()}
    config.base_model_name_or_path, config.revision = public_name(spec), spec.revision or None
    config.inference_mode = True
    config.target_modules = sorted(config.target_modules)
    state: dict[str, Any] = {
        "step": step,
        "epoch": round(epoch, 6),
        "samples_seen": samples_seen,
        "seed": spec.train.seed,
        "spec_hash": spec.spec_hash(),
        "base_model": public_name(spec),
        "revision": spec.revision,
        "starting_weights_sha256": loaded.weights_sha256,
    }

    def write(temporary: Path) -> None:
        try:
            save_file(tensors, temporary / WEIGHTS, metadata={"format": "pt"})
            (temporary / WEIGHTS).chmod(0o644)
        except SafetensorError as error:  # the library's own error for a failed write
            raise OSError(errno_of(error), str(error)) from error
        config.save_pretrained(str(temporary))
        (temporary / "training_state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")

    return publish(folder, step, write, state)
