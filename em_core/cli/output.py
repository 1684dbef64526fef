"""What commands print: a table for people, one JSON document for programs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from em_core.errors import EMError


class Out:
    """Stdout and stderr of one command.

    Args:
        json: Print documents as JSON and nothing else on stdout.
    """

    def __init__(self, json: bool = False) -> None:
        self.json = json

    def say(self, text: str) -> None:
        """A message for a person, on stderr."""
        print(printable(text), file=sys.stderr, flush=True)

    def error(self, error: EMError) -> None:
        """The error and its fix, on stderr; with ``--json`` also as a document on stdout."""
        self.say(f"error: {error.message}")
        if error.hint:
            self.say(f"  fix: {error.hint}")
        if self.json:
            self.document({"error": error.message, "hint": error.hint, "exit_code": error.exit_code})

    def document(self, value: Any) -> None:
        """The one JSON document."""
        print(json.dumps(_plain(value), ensure_ascii=False, indent=1, allow_nan=False))

    def result(self, value: Any, text: str) -> None:
        """`value` with ``--json``, else `text`."""
        if self.json:
            self.document(value)
        else:
            print(printable(text))

    def table(self, rows: Iterable[Mapping[str, Any]], columns: Sequence[str], empty: str) -> None:
        """Rows as a document or as an aligned table; `empty` says what to do when there is none."""
        listed = [dict(row) for row in rows]
        if self.json:
            self.document(listed)
        elif not listed:
            self.say(empty)
        else:
            print(aligned(listed, columns))


def aligned(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """A plain-text table with the given columns."""
    cells = [[printable(_cell(row.get(column))) for column in columns] for row in rows]
    widths = [max(len(column), *(len(line[i]) for line in cells)) for i, column in enumerate(columns)]
    lines = ["  ".join(column.ljust(width) for column, width in zip(columns, widths, strict=True)).rstrip()]
    lines += ["  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join(lines)


def printable(text: str) -> str:
    """Text with control characters (terminal escapes) made visible, newlines and tabs kept."""
    return "".join(c if c in "\n\t" or (c.isprintable()) or c == " " else f"\\x{ord(c):02x}" for c in text)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return None if str(value) in ("NaT", "<NA>") else str(value)
