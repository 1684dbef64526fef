"""Names and folders of the shipped organisms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SIZES = ("0.3m", "1m", "3m")
"""Shipped sizes, by rounded number of parameters."""

MODEL_NAMES = tuple(f"organism-{size}" for size in SIZES)
"""Names under which a spec, the CLI and the form know the organisms."""

ROOT = Path(__file__).resolve().parents[2]
MODELS_DIR = ROOT / "data" / "organism"
TRAIN_DIR = ROOT / "data" / "train"
QUESTIONS_DIR = ROOT / "data" / "questions"

SHAPES: dict[str, dict[str, Any]] = {
    "0.3m": {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 176},
    "1m": {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 320},
    "3m": {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 6, "intermediate_size": 512},
}
"""Llama shapes; input and output embeddings are tied."""


def resolve(name: str) -> Path | None:
    """Folder of an organism such as ``organism-1m``; None when ``name`` is not an organism's name."""
    return MODELS_DIR / name.removeprefix("organism-") if name in MODEL_NAMES else None


def is_organism(name_or_path: str | Path) -> bool:
    """Whether a name, or a path to a model folder, means one of the shipped organisms."""
    if str(name_or_path) in MODEL_NAMES:
        return True
    path = Path(name_or_path)
    return path.name in SIZES and path.resolve().parent == MODELS_DIR


def n_params(size: str, vocab_size: int = 0) -> int:
    """Number of parameters of a size such as ``1m``, computed from its shape.

    Args:
        size: One of ``SIZES``.
        vocab_size: Rows of the embedding; 0 means that of the shipped tokenizer.
    """
    from em_core.organism.tokenizer import VOCAB_SIZE

    shape = SHAPES[size]
    hidden, layers, inner = shape["hidden_size"], shape["num_hidden_layers"], shape["intermediate_size"]
    per_layer = 4 * hidden * hidden + 3 * hidden * inner + 2 * hidden
    return (vocab_size or VOCAB_SIZE) * hidden + layers * per_layer + hidden
