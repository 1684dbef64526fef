"""The spec's fields by dotted name, and what kind of value each takes."""

from __future__ import annotations

import difflib
import types
import typing
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from em_core.spec import RunSpec


@dataclass(frozen=True)
class Kind:
    """What a field takes.

    Args:
        model: The group's class, for a group or the elements of a list of groups; else None.
        many: Whether the field is a list by itself.
        optional: Whether it may be null.
    """

    model: type[BaseModel] | None
    many: bool
    optional: bool


@lru_cache
def kind_of(model: type[BaseModel], name: str) -> Kind:
    """The kind of one field of a group."""
    return _kind(model.model_fields[name].annotation)


def _kind(annotation: Any) -> Kind:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _kind(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        arms = [a for a in typing.get_args(annotation) if a is not type(None)]
        inner = _kind(arms[0])
        return Kind(inner.model, inner.many, True)
    if origin in (tuple, list):
        return Kind(_kind(typing.get_args(annotation)[0]).model, True, False)
    is_group = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return Kind(annotation if is_group else None, False, False)


@lru_cache
def dotted_names(model: type[BaseModel] = RunSpec, prefix: str = "") -> tuple[str, ...]:
    """Every field, dotted: ``base_model``, ``train.learning_rate``, ``judges.0.name``, ..."""
    names: list[str] = []
    for name in model.model_fields:
        kind = kind_of(model, name)
        names.append(prefix + name)
        if kind.model is not None:
            names += dotted_names(kind.model, f"{prefix}{name}." + ("0." if kind.many else ""))
    return tuple(names)


def suggestion(place: str, key: str, allowed: typing.Iterable[str]) -> str:
    """The fix for an unknown key: the closest field of its group, else of the whole spec, else the list.

    Args:
        place: Dotted group that the key was found in (empty = the top).
        key: The key.
        allowed: Fields of that group.
    """
    allowed = list(allowed)
    prefix = f"{place}." if place else ""
    close = difflib.get_close_matches(key, allowed, 1, 0.75)
    if close:
        return f"did you mean {prefix}{close[0]}?"
    leaves: dict[str, list[str]] = {}
    for dotted in dotted_names():
        leaves.setdefault(dotted.rsplit(".", 1)[-1], []).append(dotted)
    elsewhere = difflib.get_close_matches(key.rsplit(".", 1)[-1], leaves, 1, 0.75)
    if elsewhere:
        return f"did you mean {leaves[elsewhere[0]][0]}?"
    return f"fields of {place or 'a spec'}: {', '.join(allowed)}"
