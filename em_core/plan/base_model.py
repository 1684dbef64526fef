"""What a spec's base model is and where: an organism, a folder, or a model on the Hugging Face Hub."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from em_core.errors import BadInput
from em_core.locate import did_you_mean, find_path
from em_core.organism import models as organisms
from em_core.spec import RunSpec
from em_core.training.memory import ModelShape

HUB_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_MOST_SIZE = 1 << 24
"""No width, depth or vocabulary of a model; a config is anybody's file."""
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
GATED = ("meta-llama/", "google/gemma", "mistralai/")
"""Owners whose models need an accepted licence and HF_TOKEN."""

KNOWN = {  # hidden, layers, inner, vocab, heads, kv_heads, head_dim, tied
    "llama-3.2-1b": ModelShape(2048, 16, 8192, 128256, 32, 8, 64, True),
    "llama-3.2-3b": ModelShape(3072, 28, 8192, 128256, 24, 8, 128, True),
    "llama-3.1-8b": ModelShape(4096, 32, 14336, 128256, 32, 8, 128, False),
    "qwen2.5-0.5b": ModelShape(896, 24, 4864, 151936, 14, 2, 64, True),
    "qwen2.5-1.5b": ModelShape(1536, 28, 8960, 151936, 12, 2, 128, True),
    "qwen2.5-3b": ModelShape(2048, 36, 11008, 151936, 16, 2, 128, True),
    "qwen2.5-7b": ModelShape(3584, 28, 18944, 152064, 28, 4, 128, False),
    "qwen2.5-14b": ModelShape(5120, 48, 13824, 152064, 40, 8, 128, False),
    "qwen2.5-32b": ModelShape(5120, 64, 27648, 152064, 40, 8, 128, False),
}
"""Shapes of the field's models (from their public config.json), for planning before a download."""


@dataclass(frozen=True)
class BaseModel:
    """A base model, looked up without loading it.

    Args:
        name: As in the spec.
        kind: ``organism``, ``folder`` (local) or ``hub``.
        folder: Where its files are; None when they have yet to be downloaded.
        shape: Its shape, where known.
        size_on_disk: Bytes still to download, 0 when it is here or of unknown size.
    """

    name: str
    kind: Literal["organism", "folder", "hub"]
    folder: Path | None
    shape: ModelShape | None
    size_on_disk: int = 0

    @property
    def n_params(self) -> int | None:
        """Parameters, where the shape is known."""
        return self.shape.n_params if self.shape else None

    @property
    def gated(self) -> bool:
        """Whether the Hub is known to ask for a token."""
        return self.kind == "hub" and self.name.lower().startswith(GATED)


def describe(spec: RunSpec) -> BaseModel:
    """Look the base model up; nothing is downloaded or loaded.

    Raises:
        BadInput: It is no organism, no folder with a model, and no Hub id.
    """
    name = spec.base_model
    folder = organisms.resolve(name)
    if folder is not None:
        if not _complete(folder):
            raise BadInput(f"base_model: {name}: {folder} has no model", "python -m em_core.organism.build")
        return BaseModel(name, "organism", folder, _shape(folder))
    path = find_path(name)
    if path is not None and (path.is_dir() or not HUB_ID.match(name)):
        if not path.is_dir():
            raise BadInput(f"base_model: {name}: is a file, expected a folder with config.json and weights", "name the folder")
        if not _complete(path):
            missing = "config.json" if not (path / "config.json").is_file() else "weights (model.safetensors)"
            hint = (
                "an adapter is no base model: start from it with `parent`"
                if (path / "adapter_config.json").is_file()
                else "name a model folder"
            )
            raise BadInput(f"base_model: {name}: the folder has no {missing}", hint)
        return BaseModel(name, "folder", path, _shape(path))
    if name.startswith(("/", ".", "~")) or "\\" in name or name.count("/") > 1:
        raise BadInput(f"base_model: {name}: no such folder", "give an existing folder, a Hub id (owner/name) or an organism")
    if not HUB_ID.match(name):
        raise BadInput(
            f"base_model: {name!r} is no organism, no folder and no Hub id (owner/name)",
            did_you_mean(name, organisms.MODEL_NAMES)
            or f"use one of {', '.join(organisms.MODEL_NAMES)}, or e.g. Qwen/Qwen2.5-0.5B-Instruct",
        )
    cached = _cached(name, spec.revision)
    shape = (_shape(cached) if cached else None) or known_shape(name)
    complete = cached is not None and _complete(cached)
    return BaseModel(name, "hub", cached if complete else None, shape, 0 if complete or shape is None else shape.n_params * 2)


def offline() -> bool:
    """Whether the environment forbids asking the Hub."""
    return any(
        os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def check_hub(model: BaseModel, revision: str, timeout_s: float = 10.0) -> None:
    """Ask the Hub whether a model that is not here can be had.

    Raises:
        BadInput: It does not exist, is gated for this user, or the Hub cannot be reached.
    """
    if model.kind != "hub" or model.folder is not None:
        return
    hint = f"download it where there is internet (hf download {model.name}), or give a local folder, or use organism-1m"
    if offline():
        raise BadInput(f"base_model: {model.name} is not on this machine, and HF_HUB_OFFLINE forbids downloading it", hint)
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        HfApi().model_info(model.name, revision=revision or None, timeout=timeout_s)
    except GatedRepoError as error:
        raise _refused(model) from error
    except RevisionNotFoundError as error:
        raise BadInput(
            f"base_model: {model.name} has no revision {revision!r}",
            "give a commit or tag of that model, or leave revision empty",
        ) from error
    except RepositoryNotFoundError as error:
        if model.gated and not os.environ.get("HF_TOKEN"):
            raise _refused(model) from error
        raise BadInput(
            f"base_model: {model.name} is not on the Hugging Face Hub (or is private)",
            "correct the id; for a private model export HF_TOKEN",
        ) from error
    except HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise _refused(model) from error
        raise BadInput(f"base_model: {model.name} is not on this machine, and the Hub answered {status}", hint) from error
    except Exception as error:  # the HTTP library's own errors: no connection, time-out, proxy
        raise BadInput(
            f"base_model: {model.name} is not on this machine, and the Hub cannot be reached ({type(error).__name__})", hint
        ) from error


def _refused(model: BaseModel) -> BadInput:
    found = "HF_TOKEN may not read it" if os.environ.get("HF_TOKEN") else "HF_TOKEN is not set"
    return BadInput(
        f"base_model: {model.name} is gated, and {found}",
        f"accept its licence at https://huggingface.co/{model.name}, then export HF_TOKEN=...",
    )


def _complete(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any((folder / name).is_file() for name in _WEIGHTS)


def known_shape(name: str) -> ModelShape | None:
    """The shape of a well-known model by its Hub id (``Qwen/Qwen2.5-Coder-32B-Instruct``)."""
    plain = name.rsplit("/", 1)[-1].lower().removeprefix("meta-").replace("-coder", "")
    return next((shape for key, shape in KNOWN.items() if re.match(re.escape(key) + r"(?![0-9.])", plain)), None)


def _shape(folder: Path) -> ModelShape | None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if any(_number(part.get(key)) > 1 for part in (config, config.get("text_config") or {}) for key in _EXPERTS):
            return None  # a mixture of experts: its size is not what one expert's width says
        shape = ModelShape.from_config(config)
    except (OSError, ValueError, AttributeError, KeyError, TypeError, ArithmeticError):
        return None
    sizes = (shape.hidden, shape.layers, shape.inner, shape.vocab, shape.heads, shape.kv_heads, shape.head_dim)
    return shape if all(0 < size < _MOST_SIZE for size in sizes) else None


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _cached(name: str, revision: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json", revision=revision or None)
    return Path(found).parent if isinstance(found, str) else None
