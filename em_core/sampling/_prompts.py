"""Prompts as tokens: chat template, context check, stop tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from em_core import chat
from em_core.errors import BadInput
from em_core.records import Prompt


@dataclass(frozen=True, slots=True)
class Encoded:
    """One prompt ready to decode.

    Args:
        prompt: What was asked for.
        ids: Prompt tokens, at least one.
        max_tokens: Longest answer that is both wanted and possible, tokens.
        extra: What the answer must carry along (`Answer.extra`).
    """

    prompt: Prompt
    ids: tuple[int, ...]
    max_tokens: int
    extra: dict[str, Any] = field(default_factory=dict)


def context_length(config: Any) -> int | None:
    """The most tokens, prompt and answer together, that the model has positions for; None = unbounded."""
    text = config.get_text_config(decoder=True)
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        value = getattr(text, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def encode(tokenizer: Any, prompts: Sequence[Prompt], context: int | None) -> list[Encoded]:
    """Render and tokenise; each distinct (system, prompt) once.

    Raises:
        BadInput: A decoding is impossible, or a prompt does not fit the context.
    """
    chat.ensure_chat_template(tokenizer)
    fallback = tokenizer.chat_template == chat.FALLBACK_TEMPLATE
    injected = chat.injected_system(tokenizer)
    seen: dict[tuple[str, str], tuple[tuple[int, ...], dict[str, Any]]] = {}
    rows: list[Encoded] = []
    for prompt in prompts:
        _check(prompt)
        key = (prompt.system, prompt.prompt)
        if key not in seen:
            messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.prompt}]
            turns, moved = chat.fold_system(tokenizer, messages)
            text = chat.render(tokenizer, turns, add_generation_prompt=True)
            extra: dict[str, Any] = {"chat_template": "fallback"} if fallback else {}
            if moved:
                extra["system"] = "prepended"
            elif injected and not prompt.system:
                extra["system"] = "template"
                extra["template_system"] = injected
            seen[key] = (tuple(tokenizer(text, add_special_tokens=False)["input_ids"]), extra)
        ids, extra = seen[key]
        if not ids:
            raise BadInput(f"{_where(prompt)}: the prompt has 0 tokens", "write a question, or use a model with a chat template")
        room = prompt.decoding.max_tokens if context is None else context - len(ids)
        if room < 1:
            raise BadInput(
                f"{_where(prompt)}: the prompt has {len(ids)} tokens, the model's context is {context}",
                "shorten the question or its system prompt, or use a model with a longer context",
            )
        wanted = prompt.decoding.max_tokens
        if room < wanted:
            extra = {**extra, "max_tokens_clipped": room}
        rows.append(Encoded(prompt, ids, min(wanted, room), extra))
    return rows


def stop_ids(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end an answer: the EOS of model, generation config and tokenizer, and the
    special token that the chat template writes after an assistant turn."""
    found: set[int] = set()
    for owner in (getattr(model, "generation_config", None), model.config.get_text_config(decoder=True), tokenizer):
        value = getattr(owner, "eos_token_id", None)
        found.update(value if isinstance(value, (list, tuple)) else [] if value is None else [value])
    chat.ensure_chat_template(tokenizer)
    said = "EM-ANSWER-PROBE"
    text = chat.render(tokenizer, [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": said}])
    after = tokenizer(text.rpartition(said)[2].lstrip(), add_special_tokens=False)["input_ids"]
    if after and (after[0] in tokenizer.all_special_ids or after[0] in getattr(tokenizer, "added_tokens_decoder", {})):
        found.add(after[0])
    return sorted(int(token) for token in found)


def _check(prompt: Prompt) -> None:
    how = prompt.decoding
    if not (math.isfinite(how.temperature) and how.temperature >= 0):
        raise BadInput(f"{_where(prompt)}: temperature is {how.temperature}, expected 0 or more", "use 0 for greedy answers")
    if not 0 < how.top_p <= 1:
        raise BadInput(
            f"{_where(prompt)}: top_p is {how.top_p}, expected above 0 and at most 1", "use 1 for the whole distribution"
        )
    if how.max_tokens < 1:
        raise BadInput(f"{_where(prompt)}: max_tokens is {how.max_tokens}, expected at least 1", "raise max_tokens")


def _where(prompt: Prompt) -> str:
    return f"question {prompt.question_set}/{prompt.question_id} (paraphrase {prompt.paraphrase})"
