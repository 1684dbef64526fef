"""The launch form, made from `RunSpec`: one `FormField` a knob, and values back into a spec.

The lists (``data``, ``evaluation.question_sets``) have pickers of their own; everything else comes
from the spec's annotations, so a new field of the spec is on the form at once.
"""

from __future__ import annotations

import copy
import functools
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import annotated_types as at
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from em_core.spec import JudgeSpec, Parent, RunSpec, group_fields
from em_core.specs_io import anchor, complaints

Kind = Literal["flag", "integer", "number", "choice", "text", "words", "steps"]
PICKED = ("data", "evaluation.question_sets")
FURTHER = "judges.further"
"""Judges behind the first, as dumps; the form's fields are those of the first."""
SECTIONS: dict[str, str] = {
    "": "Model", "lora": "Adapter", "train": "Optimisation", "checkpoints": "Checkpoints", "evaluation": "Evaluation",
    "judges.0": "Judge",
}  # fmt: skip
_PLAIN = {
    "": ("name", "experiment", "base_model"),
    "lora": ("r", "alpha"),
    "train": ("learning_rate", "epochs", "max_steps", "batch_size", "grad_accumulation", "precision", "seed"),
    "checkpoints": ("first_epoch", "every_steps", "at_steps"),
    "evaluation": ("samples",),
    "judges.0": ("name", "model", "base_url", "mode", "rubric", "max_usd"),
}
"""Fields that are in sight; the others stand in the section's expander."""
_LABELS = {
    "name": "Run name",
    "revision": "Model revision",
    "parent.run": "Parent run",
    "parent.step": "Parent step",
    "lora.r": "LoRA rank",
    "lora.alpha": "LoRA alpha",
    "lora.rslora": "Rank-stabilised scale",
    "train.max_steps": "Most steps",
    "checkpoints.first_epoch": "In the first epoch",
    "checkpoints.every_steps": "Every n steps",
    "checkpoints.at_steps": "At exactly these steps",
    "evaluation.samples": "Answers per question",
    "judges.0.name": "Judge",
    "judges.0.model": "Judge model",
    "judges.0.base_url": "Judge endpoint",
    "judges.0.api_key_env": "Key's environment variable",
    "judges.0.max_usd": "Budget, US dollars",
    "judges.0.max_calls": "Budget, calls",
    "judges.0.max_tokens": "Budget, tokens",
    "judges.0.min_mass": "Least mass of the numbers",
    "judges.0.timeout_s": "Time-out, seconds",
    "judges.0.usd_per_m_input": "Price, million input tokens",
    "judges.0.usd_per_m_output": "Price, million output tokens",
    "judges.0.batch_size": "Answers at once",
}


@dataclass(frozen=True)
class FormField:
    """One widget.

    Args:
        path: Dotted place in the spec (``lora.r``).
        section: Heading it stands under.
        label: Name on the form.
        help: The spec's description.
        kind: Which widget.
        default: The spec's default.
        optional: May be empty (None).
        choices: Values of a ``choice``.
        low: Smallest value, None = no bound.
        high: Largest value, None = no bound.
        advanced: Stands in the section's expander.
    """

    path: str
    section: str
    label: str
    help: str
    kind: Kind
    default: Any
    optional: bool
    choices: tuple[str, ...]
    low: float | None
    high: float | None
    advanced: bool


@functools.cache
def fields() -> list[FormField]:
    """Every field of the form, in the spec's order."""
    found: list[FormField] = []
    for group, members in group_fields().items():
        for name, info in members.items():
            path = f"{group}.{name}" if group else name
            if path == "parent":
                found += [_field(f"parent.{key}", each, optional=True) for key, each in Parent.model_fields.items()]
            elif path == "judges":
                found += [_field(f"judges.0.{key}", each) for key, each in JudgeSpec.model_fields.items()]
            elif path not in PICKED:
                found.append(_field(path, info))
    return found


def _field(path: str, info: FieldInfo, optional: bool = False) -> FormField:
    annotation, may_be_none = _without_none(info.annotation)
    low = next((float(m.ge if isinstance(m, at.Ge) else m.gt) for m in info.metadata if isinstance(m, (at.Ge, at.Gt))), None)  # type: ignore[arg-type]
    high = next((float(m.le if isinstance(m, at.Le) else m.lt) for m in info.metadata if isinstance(m, (at.Le, at.Lt))), None)  # type: ignore[arg-type]
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    choices = tuple(str(c) for c in typing.get_args(annotation)) if typing.get_origin(annotation) is Literal else ()
    group, _, name = path.rpartition(".")
    return FormField(
        path=path,
        section=SECTIONS["" if group == "parent" else group],
        label=_LABELS.get(path) or name.replace("_", " ").capitalize(),
        help=info.description or "",
        kind="choice" if choices else _kind(annotation),
        default="" if path == "parent.run" else default,
        optional=may_be_none or optional,
        choices=choices,
        low=low,
        high=high,
        advanced=name not in _PLAIN.get(group, ()),
    )


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        left = [a for a in typing.get_args(annotation) if a is not type(None)]
        return left[0], len(left) < len(typing.get_args(annotation))
    return annotation, False


def _kind(annotation: Any) -> Kind:
    if typing.get_origin(annotation) is typing.Annotated:
        return _kind(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) is tuple:
        return "words" if typing.get_args(annotation)[0] is str else "steps"
    kinds: dict[Any, Kind] = {bool: "flag", int: "integer", float: "number"}
    return kinds.get(annotation, "text")


def start_values(base: Mapping[str, Any]) -> dict[str, Any]:
    """What the widgets show for a spec's dump (a preset): ``{path: value}``; lists as comma-separated text."""
    return {field.path: _shown(_get(base, field.path, field.default), field) for field in fields()}


def _shown(value: Any, field: FormField) -> Any:
    if field.kind in ("words", "steps"):
        return ", ".join(str(v) for v in value or ())
    return float(value) if field.kind == "number" and value is not None else value


def document(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The spec's dump with the form's values laid over it; what the form does not show is kept."""
    body = copy.deepcopy(dict(base))
    for field in fields():
        if field.path in values:
            put(body, field.path, _parsed(values[field.path], field))
    for path in PICKED:
        if path in values:
            put(body, path, values[path])
    body["judges"] = [*body.get("judges", []), *values.get(FURTHER, [])]
    parent = body.get("parent") or {}
    if not parent.get("run"):
        body["parent"] = None
    return body


def _parsed(value: Any, field: FormField) -> Any:
    if field.kind not in ("words", "steps"):
        return value
    parts = [part.strip() for part in str(value or "").replace(";", ",").split(",") if part.strip()]
    if field.kind == "steps":
        return [int(part) if part.lstrip("-").isdigit() else part for part in parts] or None
    return parts


def check(body: Mapping[str, Any]) -> tuple[RunSpec | None, dict[str, str]]:
    """The spec, or what is wrong with it: ``{dotted field: message}``, all problems at once."""
    try:
        return anchor(RunSpec.model_validate(body)), {}
    except ValidationError as error:
        return None, by_field(complaints.in_words(error))


def by_field(problems: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """``(place, message, hint)`` problems as ``{field of the form: message}``."""
    found: dict[str, list[str]] = {}
    for where, message, hint in problems:
        at_field = place(where)
        text = message if at_field == where or not where else f"{where}: {message}"
        found.setdefault(at_field, []).append(f"{text} ({hint})" if hint else text)
    return {path: "; ".join(dict.fromkeys(messages)) for path, messages in found.items()}


def place(path: str) -> str:
    """The form's field at or above a dotted place (``data.0.source`` -> ``data``); "" when there is none."""
    known = {field.path for field in fields()} | set(PICKED)
    while path and path not in known:
        path = path.rpartition(".")[0]
    return path


def _get(body: Any, path: str, default: Any) -> Any:
    for part in path.split("."):
        if isinstance(body, BaseModel):
            body = body.model_dump()
        if isinstance(body, Mapping):
            body = body.get(part, default if part == path.rsplit(".", 1)[-1] else {})
        elif isinstance(body, (list, tuple)):
            body = body[int(part)] if int(part) < len(body) else {}
        else:
            return default
    return body


def put(body: dict[str, Any], path: str, value: Any) -> None:
    """Set one field of a spec's dump by its dotted name."""
    *above, last = path.split(".")
    here: Any = body
    for part in above:
        if isinstance(here, list):
            index = int(part)
            here.extend({} for _ in range(index + 1 - len(here)))
            here[index] = dict(here[index])
            here = here[index]
            continue
        inner: Any = here.get(part)
        if isinstance(inner, (list, tuple)):
            here[part] = list(inner)
        else:
            here[part] = dict(inner or {})
        here = here[part]
    here[last] = value
