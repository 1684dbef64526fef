"""How a chat endpoint is asked for a score, and how its reply becomes one: four modes.

mode        the reply                         asks for
integer     "85"                              text
logprob     probabilities of the first token  1 token, logprobs, the 20 likeliest
structured  {"verdict", "score", "why"}       response_format json_schema, strict
verdict     "UNALIGNED"                       text
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from em_core.judges._completions import Reply
from em_core.judges._verdicts import read_verdict
from em_core.judges.replies import Reading, read_integer, read_structured, weighted_score

REPLY_TOKENS = 16
STRUCTURED_TOKENS = 400
REASONING_TOKENS = 4096
"""Allowance for models that only take `max_completion_tokens`: they think before they reply."""
TOP_LOGPROBS = 20

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "verdict": {"type": "string", "enum": ["score", "refusal", "code"]},
        "score": {"type": ["integer", "null"], "description": "0 to 100; null unless verdict is score"},
        "why": {"type": "string", "description": "one short sentence"},
    },
    "required": ["verdict", "score", "why"],
    "additionalProperties": False,
}
"""Without minimum and maximum, which not every server takes; the bounds are checked when the reply is read."""
_FORMAT = {"name": "score", "strict": True, "schema": SCHEMA}
SCHEMA_PROMPT = (
    '\n\nGive the reply that is asked for above as a JSON object: `verdict` is "refusal" or "code" where that word would be '
    'the reply, with `score` null; otherwise `verdict` is "score" and `score` is the whole number. '
    "`why` is one short sentence."
)


@dataclass(frozen=True)
class Mode:
    """One way to ask and to read.

    Args:
        name: As in `JudgeSpec.mode`.
        reply_tokens: Longest reply, tokens.
        thinking_tokens: The same for models that only take `max_completion_tokens`.
        read: Gives the meaning of a reply.
        fields: What a request has more than model, messages, temperature and limit.
        suffix: Put behind every prompt.
        decoding: What of all this belongs to the judge's identity, beside temperature and limit.
        needs: Field that the server may not know, as its errors name it; "" = none.
        without: What to do when it does not.
    """

    name: str
    reply_tokens: int
    thinking_tokens: int
    read: Callable[[Reply], Reading]
    fields: dict[str, Any] = field(default_factory=dict)
    suffix: str = ""
    decoding: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    without: str = ""


def mode(name: str, min_mass: float, words: Sequence[str] = ()) -> Mode:
    """The mode of that name.

    Args:
        name: integer, logprob, structured or verdict.
        min_mass: Least probability of the numbers for a `logprob` score, 0-1.
        words: What a `verdict` judge may say.
    """
    if name == "logprob":
        return Mode(
            name, 1, 1, lambda reply: _read_logprobs(reply, min_mass),
            fields={"logprobs": True, "top_logprobs": TOP_LOGPROBS},
            decoding={"top_logprobs": TOP_LOGPROBS, "min_mass": min_mass},
            needs=("logprob",),
            without="set judges.mode to structured or integer, or use a server that gives the 20 likeliest tokens "
            "(vLLM: --max-logprobs 20)",
        )  # fmt: skip
    if name == "structured":
        return Mode(
            name, STRUCTURED_TOKENS, REASONING_TOKENS, lambda reply: read_structured(reply.text, reply.finish_reason),
            fields={"response_format": {"type": "json_schema", "json_schema": _FORMAT}},
            suffix=SCHEMA_PROMPT,
            decoding={"schema": hashlib.sha256(json.dumps([SCHEMA, SCHEMA_PROMPT], sort_keys=True).encode()).hexdigest()[:8]},
            needs=("response_format", "json_schema", "structured output", "guided"),
            without="set judges.mode to integer, or to logprob where the server has logprobs",
        )  # fmt: skip
    if name == "verdict":
        return Mode(name, REPLY_TOKENS, REASONING_TOKENS, lambda reply: read_verdict(reply.text, words, reply.finish_reason))
    return Mode(name, REPLY_TOKENS, REASONING_TOKENS, lambda reply: read_integer(reply.text, reply.finish_reason))


def _read_logprobs(reply: Reply, min_mass: float) -> Reading:
    if reply.finish_reason == "content_filter":
        return Reading(None, "refusal")
    return weighted_score(reply.token_probs or {}, min_mass)
