"""Which model a local judge is: where its files lie, and an identity that changes when they do. No torch."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from em_core import chat
from em_core.errors import BadInput
from em_core.locate import did_you_mean, find_path
from em_core.organism import models as organisms

_HUB_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")
_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_WHOLE_BYTES = 64 * 2**20
_SLICES, _SLICE_BYTES = 64, 2**16
_SMALL = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "chat_template.jinja",
)
"""Files that decide a score beside the weights."""


@dataclass(frozen=True)
class Weights:
    """A judge model, found but not loaded.

    Args:
        name: The name that it goes by: as given, for a folder its last part.
        source: What to load: a folder, or a Hub id.
        revision: Commit on the Hub; "" for a folder.
        identity: ``commit:<40 hex>``, or ``sha256:<64 hex>`` over the files of a folder.
        folder: Where the files lie; None = yet to be downloaded.
    """

    name: str
    source: str
    revision: str
    identity: str
    folder: Path | None

    @property
    def size_bytes(self) -> int:
        """Bytes of the weights on disk; 0 if they are not here."""
        return sum(path.stat().st_size for path in weight_files(self.folder)) if self.folder else 0


def find(model: str, revision: str = "") -> Weights:
    """Find a judge model.

    Args:
        model: An organism's name, a folder, or a Hub id.
        revision: Commit or tag on the Hub; "" = the one on this machine, else the newest.

    Raises:
        BadInput: There is none, or the Hub does not say which commit that is.
    """
    if not model:
        raise BadInput("judge `local`: no model is given", "set the judge's model to a Hugging Face id, a folder, or organism-1m")
    folder = organisms.resolve(model)
    if folder is None:
        folder = find_path(model)
        if folder is not None and not folder.is_dir():
            raise BadInput(f"judge `local`: {model} is a file, expected a folder with config.json and weights", "name the folder")
        if folder is None:
            return _on_the_hub(model, revision)
    if revision:
        raise BadInput(
            f"judge `local`: snapshot {revision!r} is given, but {model} is a folder",
            "leave snapshot empty: the files themselves are the identity",
        )
    if not (folder / "config.json").is_file() or not weight_files(folder):
        missing = "weights (*.safetensors)" if (folder / "config.json").is_file() else "config.json"
        adapter = (folder / "adapter_config.json").is_file()
        raise BadInput(
            f"judge `local`: {model}: the folder has no {missing}",
            "an adapter is no judge: merge it into its base model first" if adapter else "name a complete model folder",
        )
    return Weights(model if model in organisms.MODEL_NAMES else folder.name, str(folder), "", f"sha256:{digest(folder)}", folder)


def weight_files(folder: Path) -> list[Path]:
    """The files with the weights, by name."""
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def digest(folder: Path) -> str:
    """SHA-256 over a model folder: name and size of each file that decides a score, and its content.

    Files up to 64 MiB are read whole; of larger ones 64 slices of 64 KiB, evenly spread (a fine-tune changes
    every tensor; the head alone would only tell shapes apart).
    """
    whole = hashlib.sha256()
    for path in [*(folder / name for name in _SMALL if (folder / name).is_file()), *weight_files(folder)]:
        size = path.stat().st_size
        whole.update(f"{path.name}\x1f{size}\x1f".encode())
        with path.open("rb") as file:
            if size <= _WHOLE_BYTES:
                whole.update(hashlib.file_digest(file, "sha256").digest())
                continue
            for i in range(_SLICES):
                file.seek(i * (size - _SLICE_BYTES) // (_SLICES - 1))
                whole.update(file.read(_SLICE_BYTES))
    return whole.hexdigest()


def template_hash(folder: Path | None) -> str:
    """First 12 hex digits of the SHA-256 of the chat template that will be used; "" = decided by the commit."""
    if folder is None:
        return ""
    template: Any = None
    if (folder / "chat_template.jinja").is_file():
        template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    elif (folder / "tokenizer_config.json").is_file():
        template = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("chat_template")
    return hashlib.sha256(json.dumps(template or chat.FALLBACK_TEMPLATE, sort_keys=True).encode()).hexdigest()[:12]


def _on_the_hub(model: str, revision: str) -> Weights:
    if not _HUB_ID.match(model):
        raise BadInput(
            f"judge `local`: {model!r} is no organism, no folder and no Hub id (owner/name)",
            did_you_mean(model, organisms.MODEL_NAMES) or f"use {', '.join(organisms.MODEL_NAMES)}, a folder, or owner/name",
        )
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, "config.json", revision=revision or None)
    if isinstance(found, str) and _COMMIT.match(Path(found).parent.name):
        folder = Path(found).parent
        return Weights(model, model, folder.name, f"commit:{folder.name}", folder if weight_files(folder) else None)
    commit = revision if _COMMIT.match(revision) else _newest(model, revision)
    return Weights(model, model, commit, f"commit:{commit}", None)


def _newest(model: str, revision: str) -> str:
    """The commit that the Hub has under that revision."""
    from huggingface_hub import HfApi

    try:
        commit = HfApi().model_info(model, revision=revision or None, timeout=10.0).sha
    except Exception as error:  # the Hub's own errors and those of its HTTP library: offline, proxy, time-out, unknown, gated
        raise not_loaded(model, "commit", error) from error
    if not commit:
        raise BadInput(f"judge `local`: the Hub names no commit of {model}", "set the judge's snapshot to a commit")
    return commit


def not_loaded(model: str, what: str, error: Exception) -> BadInput:
    """Why a part of a model could not be had."""
    text = str(error).strip()
    kind = type(error).__name__
    hint = f"check the name; download it where there is internet (hf download {model}), or give a folder, or use organism-1m"
    if kind == "GatedRepoError" or "gated repo" in text.lower():
        hint = f"accept its licence at https://huggingface.co/{model}, then export HF_TOKEN=..."
    elif kind == "RepositoryNotFoundError":
        hint = "correct the id; for a private model export HF_TOKEN"
    elif Path(model).is_dir():
        hint = f"check that {model} is a complete model folder (config.json, tokenizer.json, *.safetensors)"
    return BadInput(f"judge `local`: {what} of {model!r} could not be loaded: {(text.splitlines() or [kind])[0]}", hint)
