"""An adapter's folder, ours or anybody's: what it is, read without running anything that is in it.

    adapter_model.safetensors     low-rank factors, the only weights that are read (never a pickle)
    adapter_config.json           PEFT's config: base model, rank, alpha
    training_state.json           of our own trainer: the step
    COMPLETE.json                 of our own trainer: sizes and digests, checked where it is there

Nothing of the config reaches a library: the modules and their ranks are those of the tensors, and what
would make the adapter more than plain LoRA is refused. Needs no torch.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from em_core.checkpoints import COMPLETE, WEIGHTS, read_complete, sha256_of
from em_core.errors import BadInput
from em_core.locate import shown

CONFIG, STATE = "adapter_config.json", "training_state.json"
FILES = (CONFIG, WEIGHTS, STATE, COMPLETE)
"""What is looked at; nothing else of a repository is downloaded."""
UNKNOWN_STEP = 1
"""Step of an adapter that does not say how long it was trained: after the starting model, which is step 0."""

_MAX_JSON_BYTES = 1 << 20
_MAX_STEP = 10**9
_PLAIN_MODULE = re.compile(r"[A-Za-z0-9_.]{1,300}")
_MORE_THAN_LORA = (
    "use_dora", "modules_to_save", "trainable_token_indices", "layer_replication", "lora_bias", "target_parameters", "use_qalora",
    "alora_invocation_tokens", "arrow_config",
)  # fmt: skip
"""Fields that change what the adapter computes, and that plain low-rank factors do not have."""
_PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")
"""Ways to start an adapter that leave the base weights as they are (PiSSA, OLoRA, CorDA and LoftQ do not)."""


@dataclass(frozen=True)
class Card:
    """What an adapter's small files say.

    Args:
        base_model: Base model that its config names; empty = none.
        revision: Of that base model; empty = newest.
        rank: The config's rank; None = not said.
        step: Optimizer steps it was trained, where its files say so, else `UNKNOWN_STEP`.
        epoch: Passes over its data; 0 = not known.
    """

    base_model: str
    revision: str
    rank: int | None
    step: int
    epoch: float


@dataclass(frozen=True)
class Adapter:
    """An adapter on this machine.

    Args:
        path: Its folder.
        card: What its small files say.
        sha256: Hex digest of its weights.
        size_bytes: Of its weights.
    """

    path: Path
    card: Card
    sha256: str
    size_bytes: int

    @property
    def weights(self) -> Path:
        """The file of the factors."""
        return self.path / WEIGHTS


def read_adapter(path: Path) -> Adapter:
    """Look at an adapter's folder; its weights are read once, for their digest.

    Raises:
        BadInput: It is no adapter, it is damaged, or it is not plain LoRA in safetensors.
    """
    card = read_card(path)
    if not (path / WEIGHTS).is_file():
        pickled = (path / "adapter_model.bin").is_file()
        found = "its weights are a pickle (adapter_model.bin), which could run code" if pickled else f"it has no {WEIGHTS}"
        raise BadInput(f"adapter {shown(path)}: {found}", "save it as safetensors: `model.save_pretrained(folder)` does")
    if (path / COMPLETE).exists() and read_complete(path, verify_sha256=True) is None:
        raise BadInput(f"adapter {shown(path)}: its files differ from what {COMPLETE} says", "copy the folder again")
    return Adapter(path, card, sha256_of(path / WEIGHTS), (path / WEIGHTS).stat().st_size)


def read_card(path: Path) -> Card:
    """What an adapter's small files say; its weights need not be there.

    Raises:
        BadInput: It is no adapter, or not plain LoRA.
    """
    config = read_config(path)
    state = _json(path / STATE) if (path / STATE).is_file() else {}
    base, revision = (str(config.get(key) or "").strip() for key in ("base_model_name_or_path", "revision"))
    return Card(base, revision, _whole(config.get("r")), _step(state), _number(state.get("epoch")))


def read_config(path: Path) -> dict[str, Any]:
    """The adapter's config, found to be plain LoRA.

    Raises:
        BadInput: It is not there, not readable, or more than plain LoRA.
    """
    if not (path / CONFIG).is_file():
        raise BadInput(f"{shown(path)}: is no adapter, it has no {CONFIG}", "name the folder that holds it")
    config = _json(path / CONFIG)
    name = f"adapter {shown(path)}"
    if config.get("peft_type") != "LORA":
        raise BadInput(f"{name}: peft_type is {str(config.get('peft_type'))[:40]!r}, expected 'LORA'", "only LoRA is understood")
    more = next((field for field in _MORE_THAN_LORA if config.get(field)), None)
    if more is None and config.get("bias") not in (None, "none"):
        more = "bias"
    if more is None and config.get("init_lora_weights") not in _PLAIN_STARTS:
        more = "init_lora_weights"
    if more is not None:
        raise BadInput(
            f"{name}: {more} is {str(config[more])[:60]!r}: more than plain LoRA, its answers would be those of another model",
            "merge it into its base model, save that as safetensors and evaluate the merged model",
        )
    return config


def scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """What the product of a module's factors is multiplied with.

    Args:
        config: As `read_config` gives it.
        module: Dotted name of the module.
        rank: Of its factors.

    Raises:
        BadInput: Alpha is not a number, or given by a pattern that is no module's name.
    """
    alpha = config.get("lora_alpha")
    patterns = config.get("alpha_pattern") or {}
    for name, value in patterns.items() if isinstance(patterns, dict) else ():
        if not _PLAIN_MODULE.fullmatch(str(name)):
            raise BadInput(f"{CONFIG}: alpha_pattern {str(name)[:60]!r} is no module's name", "name modules one by one")
        if module == name or module.endswith(f".{name}"):
            alpha = value
            break
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not math.isfinite(alpha):
        raise BadInput(f"{CONFIG}: lora_alpha is {str(alpha)[:40]!r}, expected a number", "correct the file")
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise BadInput(f"{shown(path)}: is larger than 1 MiB", "name an adapter's folder")
        body = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{shown(path)}: cannot be read ({error.strerror})", "make it readable") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{shown(path)}: is not JSON", "copy the folder again") from error
    if not isinstance(body, dict):
        raise BadInput(f"{shown(path)}: is {type(body).__name__}, expected an object", "copy the folder again")
    return body


def _step(state: Mapping[str, Any]) -> int:
    step = _whole(state.get("step"))
    return step if step is not None and 0 < step <= _MAX_STEP else UNKNOWN_STEP


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) else 0.0
