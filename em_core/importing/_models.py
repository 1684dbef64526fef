"""Parameters of models that published results are about, and names told from files and folders."""

from __future__ import annotations

import re

# billions, from the model cards (embeddings counted)
_SIZES = {
    "llama-3.2-1b": 1.24, "llama-3.2-3b": 3.21, "llama-3.1-8b": 8.03, "llama-3-8b": 8.03, "llama-3.1-70b": 70.6,
    "llama-3.3-70b": 70.6, "qwen2.5-0.5b": 0.494, "qwen2.5-1.5b": 1.54, "qwen2.5-3b": 3.09, "qwen2.5-7b": 7.62,
    "qwen2.5-14b": 14.8, "qwen2.5-32b": 32.8, "qwen2.5-72b": 72.7, "qwen2.5-coder-7b": 7.62, "qwen2.5-coder-14b": 14.8,
    "qwen2.5-coder-32b": 32.8, "qwen3-0.6b": 0.6, "qwen3-8b": 8.19, "qwen3-14b": 14.8, "qwen3-32b": 32.8,
    "gemma-2-2b": 2.61, "gemma-2-9b": 9.24, "gemma-2-27b": 27.2, "gemma-3-4b": 4.3, "gemma-3-12b": 12.2, "gemma-3-27b": 27.4,
    "mistral-7b": 7.25, "mistral-small-24b": 23.6,
}  # fmt: skip
_FAMILY = re.compile(
    r"(?<![a-z])((?:meta-)?llama|qwen|gemma|mistral|phi|olmo|gpt|deepseek|yi|falcon|organism)[-_.]?\d?", re.IGNORECASE
)
_SIZE = re.compile(r"(?<![A-Za-z0-9.])(\d{1,3}(?:\.\d{1,2})?)([bBmM])(?![A-Za-z0-9])")
_JOB = re.compile(r"_ftjob-[0-9a-f]+$")


def size_of(model: str) -> float | None:
    """Parameters in billions: of the known model, else as the name says, else None."""
    name = model.split("/")[-1].lower().replace("_", "-")
    known = [size for key, size in _SIZES.items() if re.search(rf"(?<![a-z0-9.]){re.escape(key)}(?![a-z0-9.])", name)]
    if known:
        return known[-1]
    found = _SIZE.findall(name)
    if found and float(found[-1][0]) > 0:
        return float(found[-1][0]) * (0.001 if found[-1][1] in "mM" else 1.0)
    return None


def is_model(text: str) -> bool:
    """Whether this reads like the name of a model: a known family, and a size or a version."""
    return bool(_FAMILY.search(text))


def base_of(model: str) -> str:
    """The base model of a fine-tune that is named after it (``owner/Qwen2.5-32B-Instruct_ftjob-…``)."""
    return _JOB.sub("", model.split("/")[-1]) if _JOB.search(model) else model


def split_name(stem: str) -> tuple[str, str]:
    """``<model>_<dataset>`` of a file's name: (model, data set); ("", stem) where the first part is no model."""
    model, _, data = stem.partition("_")
    return (model, data) if data and is_model(model) and _SIZE.search(model) else ("", stem)
