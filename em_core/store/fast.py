"""The quick way to read a block of events, for blocks that are exactly as `EventWriter` writes them.

Arrow's JSON reader takes a third of the CPU time of Python's. It is used where it gives the same
result as `parse.py`, line by line: any block with something unusual in it (an unknown field, a
missing one, another order of the first key, a damaged line, an escape of a lone surrogate) is left
to `parse.py` as a whole, which accepts or names each line. A test holds the two against each other.
"""

from __future__ import annotations

from functools import cache

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from em_core.records import RECORDS
from em_core.store.parse import arrow_schema, plan

LEAST_BYTES = 64 << 10
"""Below this a block is read the plain way: the set-up costs more than it saves."""
_START = len(b'{"kind": "') + 7
_KINDS = {f'{{"kind": "{kind}", '.encode()[:_START]: kind for kind in RECORDS}
if len(_KINDS) != len(RECORDS):
    raise AssertionError("two kinds begin alike: look at more characters in _START")


@cache
def _json_schema(kind: str) -> pa.Schema:
    return pa.schema([("kind", pa.string()), *list(arrow_schema(kind))[1:]])


def read_tables(data: bytes) -> dict[str, pa.Table] | None:
    """Tables by kind (columns of `arrow_schema` without run_id), or None: read it the plain way.

    Args:
        data: Whole lines, the last byte a newline.
    """
    if len(data) < LEAST_BYTES:
        return None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    groups: dict[bytes, list[bytes]] = {}
    lines = data.split(b"\n")
    lines.pop()
    for line in lines:
        start = line[:_START]
        try:
            groups[start].append(line)
        except KeyError:
            if start not in _KINDS:
                return None
            groups[start] = [line]
    tables = {}
    for start, mine in groups.items():
        kind = _KINDS[start]
        table = _table(kind, mine)
        if table is None:
            return None
        tables[kind] = table
    return tables


def _table(kind: str, lines: list[bytes]) -> pa.Table | None:
    blob = b"\n".join(lines)
    try:
        table = pj.read_json(
            pa.BufferReader(blob),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(blob) + 1),
            parse_options=pj.ParseOptions(explicit_schema=_json_schema(kind), unexpected_field_behavior="error"),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != len(lines) or not pc.all(pc.equal(table["kind"], kind)).as_py():
        return None
    for item in plan(kind):
        column = table[item.name]
        if column.null_count and (type(None) not in item.accepted or item.default is not None):
            return None  # null or missing: the plain way tells which
        if item.python is float and column.null_count < len(column) and not pc.all(pc.is_finite(column)).as_py():
            return None
    return table.drop_columns(["kind"])
