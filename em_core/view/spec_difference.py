"""Two specs side by side: only the fields that differ, what else differs, and a sentence that says it.

differences(first, second)     fields of the specs
beyond(first, second, …)       what is recorded beside them: versions, host, weights, data, questions, judges
sentence(fields, facts)        "They differ only in train.seed (0 and 1)."
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from em_core import specs_io
from em_core.spec import _JUDGE_LIMITS, RunSpec
from em_core.specs_io.fields import kind_of
from em_core.view.inert import visible
from em_core.view.run_details import Known
from em_core.view.run_words import short

NONE = "none"
_LABELS = ("name", "experiment")
_SAID = 4
"""Fields that the sentence names one by one."""


@dataclass(frozen=True)
class Difference:
    """One field, or one recorded fact, that two runs do not share.

    Args:
        field: Dotted name of a spec's field, or what the fact is.
        first, second: The values as text; `NONE` = not set or not known.
        decides: Whether it can change the result (labels and budgets of a judge cannot).
        about: What the field means.
        known: Whether both sides are known at all.
    """

    field: str
    first: str
    second: str
    decides: bool = True
    about: str = ""
    known: bool = True


def read(spec_json: str | None) -> tuple[dict[str, Any], RunSpec | None]:
    """A stored spec as its fields, and as a `RunSpec` where this version reads it.

    A spec of an earlier version gets the present defaults for fields that came later; of one that cannot be read
    the raw fields are kept.
    """
    try:
        raw = json.loads(spec_json or "{}")
    except ValueError:
        return {}, None
    if not isinstance(raw, dict):
        return {}, None
    try:
        spec = RunSpec.model_validate(raw)
    except ValidationError:
        return raw, None
    return spec.model_dump(mode="json"), spec


def flat(fields: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """Nested fields by dotted name: ``train.seed``, ``data.0.source``; lists of plain values stay whole."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        dotted = f"{place}{name}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{dotted}.")
        elif isinstance(value, Sequence) and not isinstance(value, str) and any(isinstance(each, Mapping) for each in value):
            for i, each in enumerate(value):
                found |= flat(each, f"{dotted}.{i}.") if isinstance(each, Mapping) else {f"{dotted}.{i}": each}
        else:
            found[dotted] = value
    return found


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """The fields in which two specs differ, in the spec's order; those that cannot change the result last.

    Args:
        first, second: Fields as `read` gives them.
    """
    ours, theirs = flat(first), flat(second)
    names = list(dict.fromkeys([*ours, *theirs]))
    groups = {".".join(name.split(".")[:i]) for name in names for i in range(1, len(name.split(".")))}
    found = [
        Difference(name, as_text(ours.get(name)), as_text(theirs.get(name)), decides(name), about(name))
        for name in names
        if ours.get(name) != theirs.get(name) and name not in groups  # a group that one of them leaves empty
    ]
    return sorted(found, key=lambda each: not each.decides)


def from_preset(spec: RunSpec) -> tuple[str, list[Difference], list[Difference]]:
    """How a spec departs from the recipes: the nearest preset's name, what differs from it, and from the plain defaults.

    In each `Difference`, `first` is this run's value.
    """
    name, preset = specs_io.nearest_preset(spec)
    fields = spec.model_dump(mode="json")
    plain = RunSpec(base_model=spec.base_model, data=spec.data).model_dump(mode="json")
    return name, differences(fields, preset.model_dump(mode="json")), differences(fields, plain)


def beyond(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    asked: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
    judges: tuple[Sequence[str], Sequence[str]] = ((), ()),
) -> list[Difference]:
    """What is recorded beside the specs and differs.

    Args:
        first, second: Rows of ``runs``.
        asked: Digest of each question set that was asked, by name.
        judges: Who scored.
    """
    pairs: dict[str, tuple[Any, Any]] = {
        "kind of run": (first.get("run_kind"), second.get("run_kind")),
        "starting weights (sha256)": (first.get("model_sha256"), second.get("model_sha256")),
        "training rows": (first.get("n_rows"), second.get("n_rows")),
        "steps": (first.get("total_steps"), second.get("total_steps")),
        "device": (first.get("device"), second.get("device")),
        "GPU": (first.get("gpu"), second.get("gpu")),
        "host": (first.get("host"), second.get("host")),
    }
    pairs["training data (sha256)"] = _digests(first.get("data_sources")), _digests(second.get("data_sources"))
    both = all(asked)  # else one of them recorded no questions, which is not the same as not asking these
    pairs |= _each("questions", *asked, lacking="not asked" if both else None)
    pairs["judges"] = (", ".join(sorted(judges[0])), ", ".join(sorted(judges[1])))
    pairs |= _each("version of", as_mapping(first.get("versions_json")), as_mapping(second.get("versions_json")))
    return [
        Difference(name, as_text(a), as_text(b), known=not (_missing(a) or _missing(b)))
        for name, (a, b) in pairs.items()
        if (None if _missing(a) else a) != (None if _missing(b) else b)
    ]


def between(first: Known, second: Known) -> list[Difference]:
    """`beyond`, of all that is known of two runs."""
    asked = tuple(
        {
            str(row["question_set"]): f"{row['n_wordings']} wordings, sha256 {str(row['question_set_hash'])[:12]}"
            for row in run.asked.to_dict("records")
        }
        for run in (first, second)
    )
    judges = tuple([str(judge) for judge in run.scored["judge_id"]] for run in (first, second))
    return beyond(first.run, second.run, (asked[0], asked[1]), (judges[0], judges[1]))


def sentence(fields: Sequence[Difference], facts: Sequence[Difference] = (), readable: bool = True) -> str:
    """What sets two runs apart, in a sentence or two of plain text.

    Args:
        fields: Of `differences`.
        facts: Of `beyond`.
        readable: Whether both specs are known.
    """
    deciding = [each for each in fields if each.decides]
    if not readable:
        said = "The spec of one of them is not recorded, so nothing can be said about how they were meant to differ."
    elif not deciding:
        said = "Their specs decide the same" + ("; only labels or budgets differ." if fields else " in every field.")
    elif len(deciding) == 1:
        said = f"They differ only in {deciding[0].field} ({deciding[0].first} and {deciding[0].second})."
    elif len(deciding) <= _SAID:
        said = f"They differ in {_and([each.field for each in deciding])}."
    else:
        said = f"They differ in {len(deciding)} fields, {', '.join(each.field for each in deciding[:_SAID])} among them."
    told, unknown = [each.field for each in facts if each.known], [each.field for each in facts if not each.known]
    more = f" Recorded beside the specs, these differ too: {_and(told, 6)}." if told else ""
    return said + more + (f" Known of one of them only: {_and(unknown, 6)}." if unknown else "")


def decides(field: str) -> bool:
    """Whether a field is part of what names a run: labels and budgets are not."""
    limit = re.match(r"judges\.\d+\.(\w+)$", field)
    return field not in _LABELS and not (limit and limit[1] in _JUDGE_LIMITS)


def about(field: str) -> str:
    """The description of a dotted field; "" for one that this version does not know."""
    model: type[BaseModel] | None = RunSpec
    said = ""
    for part in field.split("."):
        if part.isdigit():
            continue
        if model is None or part not in model.model_fields:
            return ""
        said, model = model.model_fields[part].description or "", kind_of(model, part).model
    return said


def as_text(value: Any) -> str:
    """A value for a person: home folders shortened, no control characters."""
    if _missing(value):
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(as_text(each) for each in value) or NONE
    if isinstance(value, float):
        return f"{value:g}"
    return visible(short(str(value)))


def as_mapping(text: Any) -> dict[str, str]:
    """A stored JSON object of texts; empty where there is none."""
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        found = {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def sources(text: Any) -> list[dict[str, Any]]:
    """The stored list of training data parts (name, path, domain, rows, n_rows_file, sha256); empty where there is none."""
    try:
        found = json.loads(text) if isinstance(text, str) else []
    except ValueError:
        found = []
    return [dict(part) for part in found if isinstance(part, dict)] if isinstance(found, list) else []


def _digests(text: Any) -> str:
    return ", ".join(f"{part.get('name', '')} {str(part.get('sha256') or '')[:12]}".strip() for part in sources(text))


def _each(
    what: str, first: Mapping[str, str], second: Mapping[str, str], lacking: str | None = None
) -> dict[str, tuple[Any, Any]]:
    return {f"{what} {name}": (first.get(name, lacking), second.get(name, lacking)) for name in dict.fromkeys([*first, *second])}


def _missing(value: Any) -> bool:
    return value is None or value == "" or value != value


def _and(names: Iterable[str], most: int = 99) -> str:
    listed = list(names)
    shown = [*listed[:most], *([f"{len(listed) - most} more"] if len(listed) > most else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
