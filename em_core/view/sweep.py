"""A sweep on the launch form: fields that take several values, read as they are typed, and the runs that come out.

axis(field, "1e-4, 2e-4")         the values of one field, or what is wrong with them
runs(body, axes)                  one checked spec a combination, earlier fields vary slowest
overrides(axes)                   the same grid for the command line
"""

from __future__ import annotations

import copy
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from em_core.spec import RunSpec
from em_core.specs_io.grid import MAX_RUNS
from em_core.view import form
from em_core.view.form import FormField

EMPTY = ("none", "empty", "null")
"""Words for "no value" in a list."""
_RANGE = re.compile(r"^(\d+)-(\d+)$")
_LABELS = ("name", "experiment")
_PICKED = {"data": ("Data", "Data sets"), "evaluation.question_sets": ("Evaluation", "Question sets")}
_MOST_SHOWN = 3


@dataclass(frozen=True)
class Axis:
    """One field of a sweep.

    Args:
        path: Dotted place in the spec.
        values: What it takes, in order, each once; as the spec's JSON has them.
        problem: What is wrong with what was typed; empty = nothing.
    """

    path: str
    values: tuple[Any, ...]
    problem: str = ""


def choices() -> dict[str, str]:
    """Fields that can vary: what they are called on the form, by dotted name; the most usual first."""
    known = {path: f"{section}: {label}" for path, (section, label) in _PICKED.items()}
    known |= {field.path: f"{field.section}: {field.label}" for field in form.fields() if field.path not in _LABELS}
    first = [
        "base_model", "data", "train.seed", "lora.r", "lora.alpha", "train.learning_rate", "train.epochs", "train.batch_size",
    ]  # fmt: skip
    return {path: known[path] for path in [*first, *(path for path in known if path not in first)]}


def axis(field: FormField, text: str) -> Axis:
    """The values in a line: separated by commas (fields that are lists themselves: by semicolons).

    Whole numbers may be a range, ``0-4``; ``none`` leaves an optional field empty.
    """
    many = field.kind in ("words", "steps")
    parts = [part.strip() for part in re.split(r";" if many else r"[,;]", text) if part.strip()]
    values: list[Any] = []
    for part in parts:
        try:
            values += _values(field, part)
        except ValueError as error:
            return Axis(field.path, (), str(error))
    found = tuple({json.dumps(value): value for value in values}.values())
    return Axis(field.path, found, "" if found else "give one value or several")


def _values(field: FormField, part: str) -> list[Any]:
    if part.lower() in EMPTY:
        if not field.optional:
            raise ValueError(f"{part!r}: this field cannot be empty")
        return [None]
    if field.kind == "integer":
        if between := _RANGE.match(part):
            low, high = int(between[1]), int(between[2])
            if not low <= high < low + MAX_RUNS:
                raise ValueError(f"{part!r} is no range of at most {MAX_RUNS} numbers, expected for example 0-4")
            return [_within(field, number, part) for number in range(low, high + 1)]
        try:
            return [_within(field, int(part), part)]
        except ValueError as error:
            raise ValueError(str(error) if "expected" in str(error) else f"{part!r} is not a whole number") from None
    if field.kind == "number":
        try:
            number = float(part)
        except ValueError:
            raise ValueError(f"{part!r} is not a number") from None
        if not math.isfinite(number):
            raise ValueError(f"{part!r} is not a finite number")
        return [_within(field, number, part)]
    if field.kind in ("words", "steps"):
        words = [word.strip() for word in part.split(",") if word.strip()]
        return [[int(word) if field.kind == "steps" and word.isdecimal() else word for word in words]]
    return [part]


def _within(field: FormField, number: Any, part: str) -> Any:
    if (field.low is not None and number < field.low) or (field.high is not None and number > field.high):
        bounds = f"{field.low:g} to {field.high:g}" if field.low is not None and field.high is not None else (
            f"at least {field.low:g}" if field.low is not None else f"at most {field.high:g}"
        )  # fmt: skip
        raise ValueError(f"{part!r}: expected {bounds}")
    return number


def size(axes: Sequence[Axis]) -> int:
    """Combinations; 0 while some field has no value."""
    return math.prod(len(each.values) for each in axes)


def runs(body: Mapping[str, Any], axes: Sequence[Axis]) -> tuple[list[RunSpec], dict[str, str]]:
    """One spec a combination, identical ones once, or what is wrong by field.

    Args:
        body: The form's spec, dumped (`em_core.view.form.document`).
        axes: The fields that vary.
    """
    wrong = {each.path: each.problem for each in axes if each.problem}
    if wrong:
        return [], wrong
    if size(axes) > MAX_RUNS:
        return [], {"": f"{size(axes):,} combinations, more than {MAX_RUNS:,}: give fewer values, or launch it in parts"}
    found: dict[str, RunSpec] = {}
    problems: dict[str, list[str]] = {}
    for combination in itertools.product(*(each.values for each in axes)):
        document = copy.deepcopy(dict(body))
        for each, value in zip(axes, combination, strict=True):
            form.put(document, each.path, value)
        if isinstance(document.get("parent"), dict) and not document["parent"].get("run"):
            document["parent"] = None
        spec, said = form.check(document)
        if spec is not None:
            found.setdefault(spec.model_dump_json(), spec)
        for path, message in said.items():
            problems.setdefault(path, []).append(message)
    return ([], {path: _joined(messages) for path, messages in problems.items()}) if problems else (list(found.values()), {})


def _joined(messages: Sequence[str]) -> str:
    different = list(dict.fromkeys(messages))
    more = f"; and {len(different) - _MOST_SHOWN} more" if len(different) > _MOST_SHOWN else ""
    return "; ".join(different[:_MOST_SHOWN]) + more


def overrides(axes: Sequence[Axis]) -> list[str]:
    """``KEY=[…]`` for ``--set``, as `em_core.specs_io.grid` reads them."""
    return [f"{each.path}={json.dumps([_short(value) for value in each.values], ensure_ascii=False)}" for each in axes]


def _short(value: Any) -> Any:
    """A data part or question set as its name alone, where nothing else of it is set."""
    if isinstance(value, list):
        return [_short(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {name: inner for name, inner in value.items() if inner not in (None, "")}
    return next(iter(kept.values())) if len(kept) == 1 else kept
