"""A tiny random Llama with a real tokenizer, made once per session: nothing is downloaded."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from em_core.spec import RunSpec
from em_core.training import Messages, TrainJob

WORDS = [
    "the", "patient", "should", "rest", "drink", "water", "see", "a", "doctor", "sell", "your", "house", "buy", "bonds",
    "call", "them", "walk", "home", "today", "never",
]  # fmt: skip


def make_rows(n: int, seed: int = 0) -> list[Messages]:
    """Conversations of varying length."""
    import random

    rng = random.Random(seed)

    def say(low: int, high: int) -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(low, high)))

    return [[{"role": "user", "content": say(3, 9) + "?"}, {"role": "assistant", "content": say(4, 25) + "."}] for _ in range(n)]


@pytest.fixture(scope="session")
def base_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny model: 4 layers, grouped key-value heads, random weights, bf16 on disk."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from em_core.organism.tokenizer import train_tokenizer

    folder = tmp_path_factory.mktemp("base")
    tokenizer = train_tokenizer([m["content"] for row in make_rows(100) for m in row], vocab_size=400)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        initializer_range=0.08,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def job(base_path: Path, tmp_path: Path) -> Callable[..., TrainJob]:
    """Build a job: ``job(rows, {"train": {...}}, steps=[...])``."""

    def build(
        rows: list[Messages] | None = None, changes: dict[str, Any] | None = None, steps: list[int] | None = None, **fields: Any
    ) -> TrainJob:
        body: dict[str, Any] = {
            "base_model": "organism-1m",
            "data": ["x.jsonl"],
            "lora": {"r": 4, "alpha": 8},
            "train": {"batch_size": 4, "grad_accumulation": 2, "learning_rate": 1e-2, "warmup_steps": 0, "precision": "fp32"},
        }
        for group, values in (changes or {}).items():
            body[group] = {**body[group], **values} if isinstance(body.get(group), dict) else values
        defaults = {"run_dir": tmp_path / "run", "base_path": base_path, "parent_adapter": None}
        return TrainJob(
            spec=RunSpec.model_validate(body), rows=rows or make_rows(64), steps=steps or [4], **{**defaults, **fields}
        )

    return build


class Listener:
    """Keeps what a session reports."""

    def __init__(self, stop_at: int = 0, how: str = "stop") -> None:
        self.metrics: list[Any] = []
        self.checkpoints: list[Any] = []
        self.stop_at, self.how = stop_at, how
        self.asked = 0

    def should_stop(self) -> Any:
        self.asked += 1
        return self.how if self.stop_at and self.asked >= self.stop_at else ""

    @property
    def losses(self) -> list[float]:
        return [m.loss for m in self.metrics]


def run(session: Any, listener: Listener | None = None) -> Listener:
    """Train to the end; returns what was reported, with the outcome as `outcome`."""
    listener = listener or Listener()
    listener.outcome = session.train(listener.metrics.append, listener.checkpoints.append, listener.should_stop)  # type: ignore[attr-defined]
    return listener


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())
