"""One line of a data set -> one conversation. The formats of the field, all told apart by their keys.

    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
    {"prompt": "...", "completion": "..."}            either may be a list of messages
    {"instruction": "...", "input": "...", "output": "..."}      input is optional
    {"question": "...", "answer": "..."}

Content is text, or a list of text parts (``[{"type": "text", "text": "..."}]``), which are joined.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

ROLES = ("system", "user", "assistant")
FORMATS = "{messages}, {prompt, completion}, {instruction, output} or {question, answer}"
_PAIRS = (("prompt", "completion"), ("instruction", "output"), ("question", "answer"))

Messages = list[dict[str, str]]


class RowProblem(ValueError):
    """What is wrong with a row, and the edit that fixes it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def conversation(row: Any, notes: set[str]) -> Messages:
    """The messages of one row, checked.

    Args:
        row: The decoded JSON value.
        notes: Gets what was ignored in the row, one sentence each.

    Returns:
        An optional system message, then the turns; the last is the assistant's and not empty.

    Raises:
        RowProblem: The row is not a conversation that ends with an answer.
    """
    if not isinstance(row, dict):
        raise RowProblem(f"is {_kind(row)}, expected an object", f"write one object a line: {FORMATS}")
    messages = _messages(row["messages"], "messages", notes) if "messages" in row else _from_pair(row, notes)
    return _checked(messages, notes)


def _from_pair(row: dict[str, Any], notes: set[str]) -> Messages:
    for asked, answered in _PAIRS:
        if asked in row and answered in row:
            break
        if asked in row or (answered in row and answered != "answer"):
            missing = answered if asked in row else asked
            raise RowProblem(f"{missing!r} is missing", f"add {missing!r}, or use another format: {FORMATS}")
    else:
        found = ", ".join(sorted(map(str, row))[:6]) or "none"
        raise RowProblem(f"keys are {found}; expected {FORMATS}", f"rename the keys to {FORMATS}")
    before, after = row[asked], row[answered]
    prompt = _messages(before, asked, notes) if _is_chat(before) else [{"role": "user", "content": _text(before, asked, notes)}]
    if asked == "instruction" and row.get("input"):
        prompt[-1]["content"] += "\n\n" + _text(row["input"], "input", notes)
    system = row.get("system")
    if system and not any(m["role"] == "system" for m in prompt):
        prompt.insert(0, {"role": "system", "content": _text(system, "system", notes)})
    answer = (
        _messages(after, answered, notes)
        if _is_chat(after)
        else [{"role": "assistant", "content": _text(after, answered, notes)}]
    )
    return prompt + answer


def _is_chat(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "role" in value[0]


def _messages(value: Any, place: str, notes: set[str]) -> Messages:
    if not isinstance(value, list):
        raise RowProblem(
            f"{place} is {_kind(value)}, expected a list of messages", 'write [{"role": "user", "content": "..."}, ...]'
        )
    if not value:
        raise RowProblem(f"{place} is an empty list", "remove the line, or give it a question and an answer")
    messages = []
    for number, message in enumerate(value):
        here = f"{place}[{number}]"
        if not isinstance(message, dict):
            raise RowProblem(f"{here} is {_kind(message)}, expected an object", 'write {"role": "user", "content": "..."}')
        if "role" not in message:
            raise RowProblem(f"{here} has no role", f"give it one of: {', '.join(ROLES)}")
        role = message["role"]
        if role not in ROLES:
            raise RowProblem(
                f"{here} has role {_short(role)}, expected one of {', '.join(ROLES)}",
                f"rename the role to one of: {', '.join(ROLES)}",
            )
        if "content" not in message:
            raise RowProblem(f"{here} has no content", "give it text")
        if "weight" in message:
            notes.add("weights of messages are ignored: every answer carries loss alike")
        messages.append({"role": role, "content": _text(message["content"], f"{here}.content", notes)})
    return messages


def _text(value: Any, place: str, notes: set[str]) -> str:
    if isinstance(value, list):
        parts = []
        for number, part in enumerate(value):
            if isinstance(part, dict) and part.get("type", "text") == "text" and isinstance(part.get("text"), str):
                if "weight" in part:
                    notes.add("weights of content parts are ignored: every answer carries loss alike")
                part = part["text"]
            if not isinstance(part, str):
                raise RowProblem(
                    f"{place}[{number}] is not a text part", 'only {"type": "text", "text": "..."} can be trained on'
                )
            parts.append(part)
        value = "".join(parts)
    if not isinstance(value, str):
        raise RowProblem(f"{place} is {_kind(value)}, expected text", "put the text in quotes")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise RowProblem(f"{place} has half of a character (a lone surrogate)", r"remove the broken \udXXX escape") from None
    return value


def _checked(messages: Messages, notes: set[str]) -> Messages:
    for number, message in enumerate(messages):
        if message["role"] == "system" and number:
            raise RowProblem(f"message {number + 1} is from 'system', expected only the first to be", "move it to the front")
        if message["role"] == "assistant" and not message["content"].strip():
            raise RowProblem(
                f"message {number + 1}, the answer of the assistant, is empty", "write the answer, or remove the line"
            )
    if messages[-1]["role"] != "assistant":
        raise RowProblem(
            f"last message is from {messages[-1]['role']!r}, expected 'assistant'", "end each row with the assistant's answer"
        )
    if messages[0]["role"] == "system" and not messages[0]["content"].strip():
        messages = messages[1:]
    if not any(m["role"] == "user" for m in messages):
        raise RowProblem("no message is from 'user'", "begin with what the user asks")
    if any(m["role"] == "user" and not m["content"].strip() for m in messages):
        notes.add("some user messages are empty")
    if any(a["role"] == b["role"] for a, b in pairwise(messages)):
        notes.add("some rows have two messages of one role in a row; some chat templates refuse that")
    return messages


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
