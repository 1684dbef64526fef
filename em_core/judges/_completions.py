"""A chat completion, reduced to what a judge needs of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

SIGNIFICANT_DIGITS = 9
"""Of stored probabilities; scores are made of the stored ones, so they can be made again."""


@dataclass(frozen=True)
class Reply:
    """What came back from one call.

    Args:
        text: The judge's words.
        finish_reason: ``stop``, ``length``, ``content_filter``, ...
        input_tokens: As billed; None where the server does not say.
        output_tokens: As billed, thinking included; None where the server does not say.
        model: The model that the server says answered; "" where it does not say.
        token_probs: Probability of each candidate for the first token; None without logprobs.
    """

    text: str
    finish_reason: str = "stop"
    input_tokens: int | None = None
    output_tokens: int | None = None
    model: str = ""
    token_probs: dict[str, float] | None = None


def parse(body: bytes) -> Reply:
    """Read the body of a chat completion; untrusted.

    Raises:
        ValueError: It is none.
    """
    try:
        found = json.loads(body)
        choice = found["choices"][0]
        message = choice["message"]
        text = message.get("content") or message.get("refusal") or ""
        if not isinstance(text, str):
            raise TypeError("content is not text")
        usage = found.get("usage") if isinstance(found.get("usage"), dict) else {}
        refused = not message.get("content") and message.get("refusal")
        probs = _token_probs(choice.get("logprobs"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError):
        raise ValueError("the reply is not a chat completion") from None
    model = found.get("model")
    return Reply(
        text,
        "content_filter" if refused else str(choice.get("finish_reason") or "stop"),
        _count(usage, "prompt_tokens"),
        _count(usage, "completion_tokens"),
        model if isinstance(model, str) else "",
        probs,
    )


def _count(usage: dict[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _token_probs(logprobs: Any) -> dict[str, float] | None:
    """``{token: probability}`` of the first token, likeliest first; {} when nothing was said; None when
    the server gives no alternatives."""
    if not isinstance(logprobs, dict) or not isinstance(logprobs.get("content"), list):
        return None
    if not logprobs["content"]:
        return {}
    candidates = logprobs["content"][0].get("top_logprobs")
    if not candidates:
        return None
    probs: dict[str, float] = {}
    for candidate in candidates:
        token, logprob = candidate["token"], candidate["logprob"]
        if not isinstance(token, str) or isinstance(logprob, bool) or not isinstance(logprob, int | float) or not logprob < 0.01:
            raise ValueError("not a token with its logprob")
        probs[token] = probs.get(token, 0.0) + math.exp(min(logprob, 0.0))  # halves of a character can look the same
    rounded = {token: float(f"{p:.{SIGNIFICANT_DIGITS}g}") for token, p in probs.items()}
    return dict(sorted(rounded.items(), key=lambda pair: -pair[1]))
