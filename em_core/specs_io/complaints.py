"""What is wrong with a spec, in words: field, found, allowed, fix."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError

from em_core.specs_io.fields import kind_of, suggestion

Problem = tuple[str, str, str]

_BOUNDS = {
    "greater_than": ("gt", ">"),
    "greater_than_equal": ("ge", ">="),
    "less_than": ("lt", "<"),
    "less_than_equal": ("le", "<="),
}
_EXPECTED = {
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_type": "a number", "float_parsing": "a number", "finite_number": "a finite number", "bool_type": "true or false",
    "bool_parsing": "true or false", "string_type": "text", "model_type": "a group of fields", "dict_type": "a group of fields",
    "model_attributes_type": "a group of fields", "tuple_type": "a list", "list_type": "a list",
}  # fmt: skip


def unknown_keys(value: Any, model: type[BaseModel], place: str = "") -> list[Problem]:
    """Every key of a (possibly gridded) mapping that no field has, with the closest field."""
    if isinstance(value, list):
        return [problem for each in value for problem in unknown_keys(each, model, place)]
    if not isinstance(value, dict):
        return []
    problems: list[Problem] = []
    for key, inner in value.items():
        dotted = f"{place}.{key}" if place else str(key)
        if key not in model.model_fields:
            problems.append((dotted, "is no field of a spec", suggestion(place, str(key), model.model_fields)))
            continue
        kind = kind_of(model, key)
        if kind.model is not None and kind.many and isinstance(inner, list):
            for number, each in enumerate(inner):
                problems += unknown_keys(each, kind.model, f"{dotted}.{number}")
        elif kind.model is not None:
            problems += unknown_keys(inner, kind.model, dotted)
    return list(dict.fromkeys(problems))


def in_words(error: ValidationError) -> list[Problem]:
    """Every problem that pydantic found, as (dotted field, what is wrong, fix)."""
    errors: list[dict[str, Any]] = [dict(each) for each in error.errors(include_url=False)]
    places: list[tuple[Any, ...]] = [tuple(each["loc"]) for each in errors]

    def follows(each: dict[str, Any]) -> bool:  # a list is "too short" when its only entry is wrong
        return each["type"] == "too_short" and any(
            place != each["loc"] and place[: len(each["loc"])] == each["loc"] for place in places
        )

    return [_one(each) for each in errors if not follows(each)]


def _one(error: dict[str, Any]) -> Problem:
    place = ".".join(map(str, error["loc"]))
    kind, found, context = error["type"], error.get("input"), error.get("ctx", {})
    if kind == "missing":
        return place, "is missing", "add e.g. `data: [organism-medical-misaligned]`" if place == "data" else f"add `{place}: ...`"
    if kind == "extra_forbidden":
        return place, "is no field of a spec", "remove it"
    if kind in _BOUNDS:
        bound, sign = _BOUNDS[kind]
        return place, f"found {_shown(found)}, expected {sign} {context[bound]:g}", f"use a value {sign} {context[bound]:g}"
    if kind == "literal_error":
        allowed = str(context.get("expected", "")).replace("'", "").replace(" or ", ", ")
        close = difflib.get_close_matches(str(found), allowed.split(", "), 1)
        return (
            place,
            f"found {_shown(found)}, expected one of {allowed}",
            f"did you mean {close[0]}?" if close else f"use one of: {allowed}",
        )
    if kind in ("too_short", "string_too_short"):
        return place, "is empty, expected at least one" if kind == "too_short" else "is empty, expected text", f"fill in {place}"
    if kind == "value_error":
        message = str(context.get("error", error["msg"]))
        return place, message, f"correct {place}" if place else ""
    if kind in _EXPECTED:
        fix = (
            f'put it in quotes: "{found}"'
            if kind == "string_type" and isinstance(found, (int, float))
            else f"give {_EXPECTED[kind]}"
        )
        return place, f"found {_shown(found)}, expected {_EXPECTED[kind]}", fix
    return place, f"found {_shown(found)}: {error['msg']}", f"correct {place}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
