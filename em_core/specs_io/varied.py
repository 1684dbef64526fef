"""What sets the runs of a sweep apart, and the name of a sweep that was given none.

fields(dump)          a spec's knobs by dotted name, each as one plain value
varied(dumps)         only the knobs that take several values, with these values
named(specs)          the specs, a sweep without `experiment` under a name of its own
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from em_core.locate import plain_name
from em_core.spec import RunSpec

Value = str | int | float | bool | None
_LABELS = ("name", "experiment")
_FIELD = re.compile(r"[A-Za-z0-9_.]+")
_NAMED = 3
_MOST_CHARS = 44


def fields(dump: Mapping[str, Any]) -> dict[str, Value]:
    """A spec's dump with one value a knob: data and question sets are told in words, judges by number.

    Args:
        dump: A spec as JSON; an old or damaged one gives what it has, less what cannot be a field's name (those of imported
            specs become labels and headings).
    """
    found: dict[str, Value] = {}
    for name, value in dump.items():
        if name == "data":
            found[name] = _parts(value, "source")
        elif name == "parent":
            parent = value if isinstance(value, Mapping) else {}
            found |= {f"parent.{key}": parent.get(key) for key in ("run", "step")}
        elif name == "judges" and isinstance(value, Sequence) and not isinstance(value, str):
            for number, judge in enumerate(value):
                if isinstance(judge, Mapping):
                    found |= {f"judges.{number}.{key}": _plain(inner) for key, inner in judge.items()}
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                found[f"{name}.{key}"] = _parts(inner, "name") if key == "question_sets" else _plain(inner)
        else:
            found[name] = _plain(value)
    return {name: value for name, value in found.items() if _FIELD.fullmatch(name)}


def _plain(value: Any) -> Value:
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _parts(parts: Any, first: str) -> str:
    """``medical (rows 100) + finance``."""
    said = []
    for part in parts if isinstance(parts, (list, tuple)) else [parts]:
        if not isinstance(part, Mapping):
            said.append(str(part))
            continue
        more = [f"{key} {value}" for key, value in part.items() if key != first and value not in (None, "")]
        said.append(f"{part.get(first, '')}" + (f" ({', '.join(more)})" if more else ""))
    return " + ".join(said)


def varied(dumps: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Value, ...]]:
    """The knobs that these specs do not share, with their values in order of appearance.

    Labels count only where nothing else differs: copies of one run are told apart by their names.
    """
    return varied_of([fields(dump) for dump in dumps])


def varied_of(flat: Sequence[Mapping[str, Value]]) -> dict[str, tuple[Value, ...]]:
    """`varied` of what `fields` gave."""
    names = dict.fromkeys(name for each in flat for name in each)
    found: dict[str, tuple[Value, ...]] = {}
    for name in names:
        values = tuple(dict.fromkeys(_key(each.get(name)) for each in flat))
        if len(values) > 1:
            found[name] = tuple(value for _, value in values)
    return {name: values for name, values in found.items() if name not in _LABELS} or {
        name: values for name, values in found.items() if name == "name"
    }


def _key(value: Value) -> tuple[str, Value]:
    return ("" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__, value)  # 1 is 1.0


def own_name(specs: Sequence[RunSpec]) -> str:
    """A name for these runs together, the same for the same runs: ``learning_rate-seed-6-runs-1a2b3c``."""
    knobs = varied([spec.model_dump(mode="json") for spec in specs])
    said = "-".join(name.rsplit(".", 1)[-1] for name in list(knobs)[:_NAMED])
    digest = hashlib.sha256("".join(sorted(spec.spec_hash() for spec in specs)).encode()).hexdigest()
    return plain_name(f"{said[:_MOST_CHARS].strip('-_') or 'sweep'}-{len(specs)}-runs-{digest[:6]}")


def named(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """The same specs; several of which some belong to no experiment are one, and these get its name (`own_name`)."""
    nameless = [spec for spec in specs if not spec.experiment]
    if len(nameless) < 2:
        return list(specs)
    name = own_name(nameless)
    return [spec if spec.experiment else spec.model_copy(update={"experiment": name}) for spec in specs]
