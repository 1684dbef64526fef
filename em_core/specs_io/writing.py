"""A spec as YAML and as a command: only what differs from the defaults, or from the nearest preset."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from em_core import plain_yaml
from em_core.errors import BadInput
from em_core.spec import RunSpec
from em_core.specs_io.fields import kind_of


def minimal(spec: RunSpec) -> dict[str, Any]:
    """The spec's fields that differ from their defaults, ready for YAML or JSON."""
    return _minimal(spec)


def _minimal(group: BaseModel) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name, info in type(group).model_fields.items():
        value = getattr(group, name)
        if not info.is_required() and value == info.get_default(call_default_factory=True):
            continue
        kind = kind_of(type(group), name)
        if kind.many and kind.model is not None and value is not None:
            body[name] = [_element(each) for each in value]
        elif isinstance(value, BaseModel):
            body[name] = _minimal(value)
        else:
            body[name] = list(value) if isinstance(value, tuple) else value
    return body


def _element(group: BaseModel) -> Any:
    """An entry of a list: just its first field's value where nothing else is set."""
    body = _minimal(group)
    first = next(iter(type(group).model_fields))
    takes_text = "_from_string" in type(group).__pydantic_decorators__.model_validators
    return body[first] if takes_text and list(body) == [first] else body


def to_yaml(spec: RunSpec) -> str:
    """The shortest YAML that reads back as the same spec."""
    return plain_yaml.dump(minimal(spec))


def differences(spec: RunSpec, other: RunSpec) -> list[str]:
    """``key=value`` overrides that turn `other` into `spec`."""
    return _differences(spec, other, "")


def _differences(spec: BaseModel, other: BaseModel, place: str) -> list[str]:
    found = []
    for name in type(spec).model_fields:
        new, old = getattr(spec, name), getattr(other, name)
        if new == old:
            continue
        if isinstance(new, BaseModel) and isinstance(old, BaseModel):
            found += _differences(new, old, f"{place}{name}.")
        else:
            kind = kind_of(type(spec), name)
            if isinstance(new, BaseModel):
                value: Any = _minimal(new)
            elif kind.many and kind.model is not None:
                value = [_element(each) for each in new]
            else:
                value = new
            found.append(f"{place}{name}={_flow(value)}")
    return found


def _flow(value: Any) -> str:
    """A value on one line, bare where that reads back as the same text."""
    if isinstance(value, str) and value and value == value.strip() and value.isprintable():
        try:
            if plain_yaml.load(value, "").value == value:
                return value
        except BadInput:  # not readable when bare
            return json.dumps(value)
    return json.dumps(value)


def to_command(spec: RunSpec, presets: dict[str, RunSpec], more: Sequence[str] = ()) -> str:
    """The command that launches this spec: the preset that needs the fewest overrides, these, and `more`.

    An override of a field that `more` sets too is left out.
    """
    name, overrides = min(((name, differences(spec, preset)) for name, preset in presets.items()), key=lambda pair: len(pair[1]))
    later = {each.partition("=")[0] for each in more}
    kept = [each for each in overrides if each.partition("=")[0] not in later]
    return " ".join(["python -m em_core launch", shlex.quote(name), *(f"--set {shlex.quote(each)}" for each in (*kept, *more))])
