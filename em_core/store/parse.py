"""Lines of an event file -> columns, strictly typed; what cannot be read is named, never guessed.

A line is kept when it is valid UTF-8, one JSON object, of a known kind, and every field of that
kind's record has its type. Missing nullable fields are null, missing fields with a default take it,
unknown fields are ignored. The quick path checks whole columns; a column that fails is checked
event by event with the same rules, so both paths accept exactly the same lines.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from operator import itemgetter
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.compute as pc

from em_core.records import RECORDS

Event = dict[str, Any]
_HEAD = 200
_NULL = type(None)
_INT64 = range(-(2**63), 2**63)
_ARROW = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_WORDS = {
    str: "text",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    _NULL: "null",
    list: "a list",
    dict: "an object",
}
_ABSENT = object()


@dataclass(frozen=True)
class Damage:
    """A line that was not kept: where it starts (bytes), why, and its first characters."""

    byte_offset: int
    reason: str
    line_head: str


@dataclass(frozen=True)
class _Field:
    name: str
    python: type
    accepted: frozenset[type]
    default: Any  # _ABSENT when the field is required


@dataclass
class Block:
    """Whole lines of one file, parsed.

    Args:
        file: Key of the file.
        run_id: The run it belongs to.
        offset: Where the block starts in the file, bytes.
        data: The raw lines; the last byte is a newline.
        events: One per line, None where the line was damaged or blank.
        damages: The lines that were not kept.
        tables: The events by kind instead, where the block was read the quick way (`fast.py`).
    """

    file: str
    run_id: str
    offset: int
    data: bytes
    events: list[Event | None] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    tables: dict[str, pa.Table] | None = None

    def damage(self, line: int, reason: str) -> None:
        """Put line number `line` (from 0) of this block aside."""
        lines = self.data.split(b"\n", line + 1)
        start = sum(len(text) + 1 for text in lines[:line])
        head = lines[line][: _HEAD * 4].decode("utf-8", "replace")[:_HEAD].replace("\x00", "\u2400")
        self.damages.append(Damage(self.offset + start, reason, head))
        self.events[line] = None


@cache
def plan(kind: str) -> tuple[_Field, ...]:
    """The fields of one kind, ``t`` first: type, accepted Python types of the JSON value, default."""
    record = RECORDS[kind]
    hints = get_type_hints(record)
    planned = [_Field("t", float, frozenset({float, int}), _ABSENT)]
    for item in fields(record):
        hint = hints[item.name]
        options = get_args(hint) if get_origin(hint) is Union or type(hint).__name__ == "UnionType" else (hint,)
        plain = [str if get_origin(o) is Literal else o for o in options if o is not _NULL]
        if len(plain) != 1 or plain[0] not in _ARROW:
            raise TypeError(f"{record.__name__}.{item.name}: no column type for {hint!r}")
        accepted = {plain[0]} | ({int} if plain[0] is float else set()) | ({_NULL} if _NULL in options else set())
        default = item.default if item.default is not MISSING else None if _NULL in options else _ABSENT
        planned.append(_Field(item.name, plain[0], frozenset(accepted), default))
    return tuple(planned)


def arrow_schema(kind: str) -> pa.Schema:
    """Columns of the kind's table, as inserted: run_id, t, then the record's fields."""
    return pa.schema([("run_id", pa.string()), *((f.name, _ARROW[f.python]) for f in plan(kind))])


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder(parse_constant=_no_constant).scan_once  # type: ignore[attr-defined]


def _object(line: str) -> Event | None:
    """The event of one line, None for a blank line.

    Raises:
        ValueError: The line is damaged; the message is the reason.
    """
    text = line.strip(" \t\r\n")
    if not text:
        return None
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        raise ValueError("not JSON") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None
    if end != len(text):
        raise ValueError(f"more than one JSON value: extra text at character {end}")
    if type(value) is not dict:
        raise ValueError(f"expected an object, found {_WORDS.get(type(value), 'something else')}")
    kind = value.get("kind", _ABSENT)
    if kind is _ABSENT:
        raise ValueError("field 'kind' is missing")
    if type(kind) is not str or kind not in RECORDS:
        raise ValueError(f"unknown kind {str(kind)[:40]!r}")
    return value


def parse_block(block: Block) -> Block:
    """Fill `block.events` and `block.damages`; the field types are checked later, by `columns`."""
    bad: list[tuple[int, str]] = []
    try:
        lines: Sequence[str | bytes] = block.data.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        lines = block.data.split(b"\n")
    events = block.events
    known = RECORDS
    for line in lines[:-1]:
        try:
            if type(line) is bytes:
                line = line.decode("utf-8")
            value, end = _scan(line, 0)  # type: ignore[arg-type]
            if end == len(line) and type(value) is dict and value["kind"] in known:
                events.append(value)
                continue
        except (StopIteration, ValueError, KeyError, TypeError, RecursionError):
            pass
        try:
            events.append(_object(line if type(line) is str else bytes(line).decode("utf-8")))  # type: ignore[arg-type]
        except UnicodeDecodeError as error:
            bad.append((len(events), f"not UTF-8: {error.reason} at byte {error.start}"))
            events.append(None)
        except ValueError as error:
            bad.append((len(events), str(error)))
            events.append(None)
    for line_number, reason in bad:
        block.damage(line_number, reason)
    return block


def problem(kind: str, event: Event) -> str | None:
    """Why this event does not fit its record; None when it fits."""
    for item in plan(kind):
        value = event.get(item.name, item.default)
        if value is _ABSENT:
            return f"{kind}: field {item.name!r} is missing"
        if type(value) not in item.accepted:
            found = _WORDS.get(type(value), type(value).__name__)
            return f"{kind}: field {item.name!r}: expected {_WORDS[item.python]}, found {found}"
        if item.python is int and value is not None and value not in _INT64:
            return f"{kind}: field {item.name!r}: expected a 64-bit integer, found a larger one"
        if item.python is float and value is not None and not _finite(value):
            return f"{kind}: field {item.name!r}: expected a finite number"
    return None


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


class Misfit(ValueError):
    """Some event of the batch does not fit its record; `problem` says which."""


def columns(kind: str, events: Sequence[Event]) -> list[pa.Array]:
    """Arrow columns of events of one kind, in the order of `plan(kind)`.

    Raises:
        Misfit: At least one event does not fit.
    """
    planned = plan(kind)
    try:
        values = list(zip(*map(itemgetter(*(f.name for f in planned)), events), strict=True))
    except KeyError:
        values = [tuple(event.get(f.name, f.default) for event in events) for f in planned]
    out = []
    for item, column in zip(planned, values, strict=True):
        types = set(map(type, column))
        if not types <= item.accepted:
            raise Misfit(item.name)
        try:
            if item.python is float and int in types:
                column = tuple(v if v is None else float(v) for v in column)
            array = pa.array(column, _ARROW[item.python])
        except UnicodeEncodeError:  # lone surrogates, legal in JSON but not in UTF-8
            clean = [v if v is None else v.encode("utf-8", "replace").decode("utf-8") for v in column]
            array = pa.array(clean, pa.string())
        except (OverflowError, pa.ArrowInvalid) as error:
            raise Misfit(item.name) from error
        if item.python is float and len(array) > array.null_count and not pc.all(pc.is_finite(array)).as_py():
            raise Misfit(item.name)
        out.append(array)
    return out
