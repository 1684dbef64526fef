"""JSON as people publish it: several documents in a row, or one that breaks off: what is whole is read."""

from __future__ import annotations

import json
import re
from typing import Any

_BLANK = re.compile(r"\s*")
_decode = json.JSONDecoder().raw_decode


def documents(text: str) -> tuple[list[Any], str]:
    """Every document of the text, and what is wrong with the rest ("" = nothing).

    A list, or an object of lists, that breaks off gives its whole members.
    """
    found: list[Any] = []
    at = _after_blank(text, 0)
    while at < len(text):
        try:
            value, at = _decode(text, at)
        except (ValueError, RecursionError) as error:
            whole = _members(text, at)
            if whole:
                found.append(whole)
            line = text.count("\n", 0, getattr(error, "pos", at)) + 1
            return found, f"line {line}: the JSON breaks here ({reason_of(error)})"
        found.append(value)
        at = _after_blank(text, at)
    return found, ""


def reason_of(error: Exception) -> str:
    """Why the decoder gave up, in a few words."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "nested too deeply" if isinstance(error, RecursionError) else "a number with more digits than anybody reads"


def _after_blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _members(text: str, at: int) -> Any:
    """The whole members of the list, or of the object of lists, that begins here; None where there are none."""
    if text[at] == "[":
        return _elements(text, at)[0] or None
    found: dict[str, Any] = {}
    try:
        at = _after_blank(text, at + 1)
        while text[at] == '"':
            key, at = _decode(text, at)
            at = _after_blank(text, at)
            if text[at] != ":":
                break
            at = _after_blank(text, at + 1)
            if text[at] == "[":
                found[key], at = _elements(text, at)
            else:
                found[key], at = _decode(text, at)
            at = _after_blank(text, at)
            if text[at] != ",":
                break
            at = _after_blank(text, at + 1)
    except (IndexError, ValueError, RecursionError):
        pass
    return {key: value for key, value in found.items() if value != []} or None


def _elements(text: str, at: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    at = _after_blank(text, at + 1)
    try:
        while text[at] != "]":
            value, at = _decode(text, at)
            found.append(value)
            at = _after_blank(text, at)
            if text[at] != ",":
                break
            at = _after_blank(text, at + 1)
    except (IndexError, ValueError, RecursionError):
        return found, len(text)
    return found, at + 1
