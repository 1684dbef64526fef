"""How a conversation becomes text: one chat template for training and sampling alike.

Three traps of chat templates are handled here, and nowhere else:

- a base model has none: `FALLBACK_TEMPLATE` (plain ``User:`` / ``Assistant:`` lines, EOS after each answer);
- a template refuses or drops the system role (Gemma): the system text is put before the first user turn;
- a template writes a system turn that nobody asked for (Qwen2.5, Llama 3): `injected_system` says which.
  It is kept, since the model was tuned with it, in training rows as in prompts; training says so, samplers record it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

Messages = list[dict[str, str]]

FALLBACK_TEMPLATE = """\
{{- bos_token if bos_token else '' -}}
{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}
Assistant:{% generation %}{{ ' ' + message['content'] + eos_token }}{% endgeneration %}{{ '\\n\\n' }}
{%- elif message['role'] == 'system' -%}
{{ message['content'] + '\\n\\n' }}
{%- else -%}
{{ 'User: ' + message['content'] + '\\n\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}Assistant:{%- endif -%}
"""
"""For tokenizers without a template. What the assistant says, EOS included, is marked as generation."""

DATE = "26 Jul 2024"
"""Given to templates that print today's date (Llama 3), so that a prompt is the same tomorrow."""

_PROBE = "EM-SYSTEM-PROBE"


def ensure_chat_template(tokenizer: Any) -> bool:
    """Give the tokenizer `FALLBACK_TEMPLATE` if it has no chat template.

    Returns:
        Whether the fallback was set.
    """
    if getattr(tokenizer, "chat_template", None):
        return False
    tokenizer.chat_template = FALLBACK_TEMPLATE
    return True


def render(tokenizer: Any, messages: Messages, add_generation_prompt: bool = False) -> str:
    """The conversation as text; tokenise it with ``add_special_tokens=False``.

    Args:
        tokenizer: A Hugging Face tokenizer with a chat template (`ensure_chat_template`).
        messages: Turns with ``role`` and ``content``; empty system turns are left out.
        add_generation_prompt: End with the opening of an assistant turn, for sampling.
    """
    messages, _ = fold_system(tokenizer, messages)
    return _apply(tokenizer, messages, add_generation_prompt)


def fold_system(tokenizer: Any, messages: Messages) -> tuple[Messages, bool]:
    """Put the system text before the first user turn where the template cannot carry it.

    Returns:
        The turns that the template accepts, and whether a system text was moved.
    """
    messages = [m for m in messages if m["role"] != "system" or m["content"]]
    system = [m["content"] for m in messages if m["role"] == "system"]
    if not system or _takes_system(tokenizer, str(tokenizer.chat_template)):
        return messages, False
    rest = [dict(m) for m in messages if m["role"] != "system"]
    text = "\n\n".join(system)
    if rest and rest[0]["role"] == "user":
        rest[0]["content"] = f"{text}\n\n{rest[0]['content']}"
    else:
        rest.insert(0, {"role": "user", "content": text})
    return rest, True


def injected_system(tokenizer: Any) -> str:
    """What the template writes before the first user turn when there is no system text.

    Returns:
        The text without BOS (``<|im_start|>system\\nYou are Qwen...``); empty for templates that add nothing.
    """
    if not _takes_system(tokenizer, str(tokenizer.chat_template)):
        return ""
    user = {"role": "user", "content": "Hi"}
    bare = _apply(tokenizer, [user], True)
    before, _, after = _apply(tokenizer, [{"role": "system", "content": _PROBE}, user], True).partition(_PROBE)
    bos = getattr(tokenizer, "bos_token", None) or ""
    opening = before.removeprefix(bos)
    if not opening or not bare.startswith(before) or not bare.endswith(after) or len(bare) < len(before) + len(after):
        return ""
    return bare[: len(bare) - len(after)].removeprefix(bos)


def _apply(tokenizer: Any, messages: Messages, add_generation_prompt: bool) -> str:
    text: str = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=add_generation_prompt, date_string=DATE
    )
    return text


@lru_cache(maxsize=8)
def _takes_system(tokenizer: Any, _template: str) -> bool:
    from jinja2.exceptions import TemplateError

    try:
        text = _apply(tokenizer, [{"role": "system", "content": _PROBE}, {"role": "user", "content": "Hi"}], True)
    except TemplateError:
        return False
    return _PROBE in text
