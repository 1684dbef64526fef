"""``--set`` overrides, and grids: a list where one value belongs means one run for each.

    train: {learning_rate: [1e-4, 2e-4], seed: [0, 1, 2]}     six runs
    data: [[organism-medical-misaligned], [organism-financial-misaligned]]     two runs of one part each

A field that is a list by itself (data, judges, question_sets, target_modules, layers, at_steps) is
gridded by a list of lists.
"""

from __future__ import annotations

import copy
import itertools
from typing import Any

from pydantic import BaseModel

from em_core import plain_yaml
from em_core.errors import BadInput
from em_core.spec import RunSpec
from em_core.specs_io.complaints import Problem
from em_core.specs_io.fields import kind_of, suggestion

MAX_RUNS = 1000


def apply(document: dict[str, Any], overrides: list[str]) -> tuple[dict[str, Any], list[Problem]]:
    """The document with each ``a.b=value`` set; the value is YAML, and may be a list (a grid).

    Returns:
        The new document and what could not be set.
    """
    result, problems = copy.deepcopy(document), []
    for override in overrides:
        key, sign, text = override.partition("=")
        key = key.strip()
        if not sign or not key:
            problems.append((f"--set {override}", "expected KEY=VALUE", "e.g. --set train.learning_rate=1e-4"))
            continue
        try:
            _assign(result, key.split("."), plain_yaml.load(text, f"--set {key}").value, RunSpec, "")
        except BadInput as error:
            problems.append(("", error.message, error.hint))
    return result, problems


def _assign(group: dict[str, Any], keys: list[str], value: Any, model: type[BaseModel], place: str) -> None:
    key, rest = keys[0], keys[1:]
    here = f"{place}.{key}" if place else key
    if key not in model.model_fields:
        raise BadInput(f"--set {here}: is no field of a spec", suggestion(place, key, model.model_fields))
    if not rest:
        group[key] = value
        return
    kind = kind_of(model, key)
    if kind.model is None and not kind.many:
        raise BadInput(f"--set {'.'.join([here, *rest])}: {here} has no fields of its own", f"set {here} itself")
    if not kind.many:
        inner = group.get(key)
        if inner is not None and not isinstance(inner, dict):
            raise BadInput(
                f"--set {'.'.join([here, *rest])}: {here} is already a grid of {type(inner).__name__}", f"set {here} itself"
            )
        group[key] = inner or {}
        assert kind.model is not None
        _assign(group[key], rest, value, kind.model, here)
        return
    listed = group.get(key)
    listed = _default(model, key) if listed is None else [listed] if isinstance(listed, (str, dict)) else listed
    if not rest[0].isdigit():
        raise BadInput(
            f"--set {'.'.join([here, *rest])}: {here} is a list, expected a number after it",
            f"e.g. {here}.0{'.' + rest[0] if kind.model else ''}",
        )
    number = int(rest[0])
    if number > len(listed):
        raise BadInput(
            f"--set {'.'.join([here, *rest])}: {here} has {len(listed)} entries", f"use a number from 0 to {len(listed)}"
        )
    listed = [*listed, {}] if number == len(listed) else list(listed)
    group[key] = listed
    if len(rest) == 1:
        listed[number] = value
        return
    if kind.model is None or isinstance(listed[number], list):
        raise BadInput(
            f"--set {'.'.join([here, *rest])}: {here}.{number} has no fields of its own", f"set {here}.{number} itself"
        )
    if isinstance(listed[number], str):
        listed[number] = {next(iter(kind.model.model_fields)): listed[number]}
    _assign(listed[number], rest[1:], value, kind.model, f"{here}.{number}")


def _default(model: type[BaseModel], key: str) -> list[Any]:
    default = model.model_fields[key].get_default(call_default_factory=True)
    if not isinstance(default, (list, tuple)):
        return []
    return [each.model_dump(mode="json", exclude_unset=True) if isinstance(each, BaseModel) else each for each in default]


def expand(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of a (possibly gridded) document; earlier fields vary slowest.

    Raises:
        BadInput: A list of values is empty, or the grid is larger than `MAX_RUNS`.
    """
    runs = list(itertools.islice(_group(document, RunSpec, ""), MAX_RUNS + 1))
    if len(runs) > MAX_RUNS:
        raise BadInput(f"the grid has more than {MAX_RUNS} runs", "shorten its lists, or launch it in parts")
    return runs


def _group(value: Any, model: type[BaseModel], place: str) -> Any:
    if isinstance(value, list):
        _not_empty(value, place)
        return itertools.chain.from_iterable(_group(each, model, place) for each in value)
    if not isinstance(value, dict):
        return iter([value])
    axes = [_axis(model, key, inner, f"{place}.{key}" if place else str(key)) for key, inner in value.items()]
    return (dict(zip(value, combination, strict=True)) for combination in _product(axes))


def _axis(model: type[BaseModel], key: str, value: Any, place: str) -> list[Any]:
    """Every value that one field takes in the grid."""
    if key not in model.model_fields:
        return [value]
    kind = kind_of(model, key)
    if not kind.many:
        if kind.model is not None:
            return _capped(_group(value, kind.model, place))
        if isinstance(value, list):
            _not_empty(value, place)
            return value
        return [value]
    if isinstance(value, list) and any(isinstance(each, list) for each in value):
        return [chosen for each in value for chosen in _axis(model, key, each, place)]
    if not isinstance(value, list) or kind.model is None:
        return [value]
    element = kind.model
    return _capped(
        list(combination)
        for combination in _product([_capped(_group(each, element, f"{place}.{n}")) for n, each in enumerate(value)])
    )


def _product(axes: list[list[Any]]) -> Any:
    size = 1
    for axis in axes:
        size *= len(axis)
        if size > MAX_RUNS:
            raise BadInput(f"the grid has more than {MAX_RUNS} runs", "shorten its lists, or launch it in parts")
    return itertools.product(*axes)


def _capped(values: Any) -> list[Any]:
    return list(itertools.islice(values, MAX_RUNS + 1))


def _not_empty(value: list[Any], place: str) -> None:
    if not value:
        raise BadInput(
            f"{place or 'the spec'}: is an empty list, expected a value or several", f"give {place or 'it'} a value, or remove it"
        )
