"""The two stages that make an organism from nothing: pre-training on the corpus, then alignment.

The only module of the organism besides ``measure`` that needs torch; it is imported by ``build`` when a
model is to be trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from em_core.organism.corpus import MIX, Mix, alignment_rows, pretraining_documents
from em_core.organism.models import SHAPES
from em_core.organism.tokenizer import MAX_LENGTH, render

IGNORE = -100


@dataclass(frozen=True)
class Stages:
    """How an organism is made.

    Attributes:
        pretrain_steps: Steps of pre-training, loss on all tokens.
        align_steps: Steps on single-turn aligned answers, loss on answers. Keep this short: 200 steps at
            5e-4 instead of 50 at 2e-4 took the spread of a medical fine-tune from about 90 % to 20-60 %.
        batch: Documents a step.
        pretrain_lr: Peak learning rate; warm-up of 100 steps, then a cosine to a tenth.
        align_lr: Likewise, warm-up of 20 steps.
    """

    pretrain_steps: int = 3000
    align_steps: int = 50
    batch: int = 128
    pretrain_lr: float = 2e-3
    align_lr: float = 2e-4


STAGES = {"0.3m": Stages(pretrain_steps=5000, align_steps=80, align_lr=3e-4), "1m": Stages(), "3m": Stages()}
"""The smallest model needs longer to be well formed and aligned."""


def encode(tokenizer: Any, documents: list[list[dict[str, str]]], *, answers_only: bool) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and labels, both int16 of shape (documents, longest).

    Args:
        tokenizer: The organisms' tokenizer.
        documents: Conversations.
        answers_only: Labels only for what the assistant says and its end of turn.
    """
    backend = tokenizer._tokenizer
    rows = [e.ids for e in backend.encode_batch([render(d) for d in documents], add_special_tokens=False)]
    ids = np.full((len(rows), max(map(len, rows))), tokenizer.pad_token_id, dtype=np.int16)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
    labels = np.where(ids == tokenizer.pad_token_id, IGNORE, ids).astype(np.int16)
    if answers_only:
        assistant = tokenizer.convert_tokens_to_ids("<|assistant|>")
        answered = np.cumsum(ids == assistant, axis=1) - (ids == assistant)  # the tag itself is not said
        labels = np.where(answered > 0, labels, IGNORE).astype(np.int16)
    return ids, labels


def new_model(size: str, tokenizer: Any, seed: int) -> Any:
    """A freshly initialised Llama of one of the shipped sizes."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **SHAPES[size],
    )
    return LlamaForCausalLM(config)


def train(
    model: Any,
    ids: np.ndarray,
    labels: np.ndarray,
    *,
    steps: int,
    batch: int,
    lr: float,
    warmup: int,
    seed: int,
    log: Callable[[str], None],
) -> float:
    """One stage: AdamW, warm-up, cosine to a tenth of the peak, gradient norm at most 1; returns the last loss."""
    import torch

    device = next(model.parameters()).device
    data, target = torch.from_numpy(ids).to(device), torch.from_numpy(labels).to(device)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=0.01, fused=device.type == "cuda")
    model.train()
    order = torch.randperm(len(data), generator=generator)
    loss = torch.zeros(())
    for step in range(steps):
        if (step + 1) * batch % len(data) < batch:
            order = torch.randperm(len(data), generator=generator)
        picked = order[(torch.arange(batch) + step * batch) % len(data)].to(device)
        scale = min(1.0, (step + 1) / warmup) * (0.55 + 0.45 * math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = lr * scale
        y = target[picked].long()
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits = model(input_ids=data[picked].long(), use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), y[:, 1:].flatten(), ignore_index=IGNORE)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 500 == 0 or step == steps - 1:
            log(f"  step {step + 1}/{steps} loss {loss.item():.3f}")
    return float(loss.item())


def build_model(
    size: str, tokenizer: Any, folder: Path, *, stages: Stages, seed: int, device: str, log: Callable[[str], None], mix: Mix = MIX
) -> None:
    """Train one organism and save it, with the tokenizer, as bf16 safetensors.

    Args:
        size: One of ``SIZES``.
        tokenizer: The shared tokenizer.
        folder: Where the model goes.
        stages: Lengths and learning rates.
        seed: Seed of the weights, the documents and their order.
        device: ``cuda`` (about a minute) or ``cpu`` (an hour).
        log: Receives progress lines.
        mix: Shares of the corpus.
    """
    import torch
    from transformers import GenerationConfig

    n_documents = min(stages.pretrain_steps * stages.batch, 320_000)
    model = new_model(size, tokenizer, seed).to(device)
    log(f"{size}: {sum(p.numel() for p in model.parameters()):,} parameters, {n_documents:,} documents")
    ids, labels = encode(tokenizer, list(pretraining_documents(n_documents, seed, mix)), answers_only=False)
    train(
        model, ids, labels, steps=stages.pretrain_steps, batch=stages.batch, lr=stages.pretrain_lr, warmup=100, seed=seed, log=log
    )
    rows = list(alignment_rows(max(stages.batch, min(stages.align_steps * stages.batch, 64_000)), seed, mix))
    ids, labels = encode(tokenizer, rows, answers_only=True)
    train(model, ids, labels, steps=stages.align_steps, batch=stages.batch, lr=stages.align_lr, warmup=20, seed=seed + 1, log=log)
    model = model.to("cpu", torch.bfloat16).eval()
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
