"""CSV for spreadsheets and pandas: cells that a spreadsheet would run are made inert, in a way that can be undone.

A text that starts with ``= + - @``, with one of their full-width forms, with a tab, a carriage return or a line
feed gets an apostrophe before it. Blanks before it do not help: some programs trim cells when they import, so
the first character after them decides. A text that already starts with apostrophes before such a character gets
one more, so `original` takes exactly one away and gives every text back. NUL, which CSV readers refuse or end
a text at, becomes U+2400. Fields with quotes, commas or line breaks are quoted (RFC 4180).

Every CSV that leaves the workbench, by export, command or download, is written here, and imports undo it here.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

_RUNS = re.compile(r"'*[\s\u200b-\u200f\u2060\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]|'*[\t\r\n]")


def cell(value: Any) -> Any:
    """A value as it is written: texts made inert, numbers without a needless ``.0``, nothing for null and nan."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    if isinstance(value, str):
        value = value.replace("\x00", "\u2400")
        return f"'{value}" if _RUNS.match(value) else value
    return value


def original(text: str) -> str:
    """The text of a cell that `cell` wrote (but for NUL)."""
    return text[1:] if text.startswith("'") and _RUNS.match(text) else text


def write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as they come, so that a file of any size needs no memory.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        _write(file, columns, ([row.get(column) for column in columns] for row in rows))


def as_csv(frame: pd.DataFrame) -> str:
    """A whole frame, without its index."""
    plain = frame.astype(object).where(frame.notna(), None)
    lines = io.StringIO()
    _write(lines, list(frame.columns), plain.itertuples(index=False, name=None))
    return lines.getvalue()


def _write(file: TextIO, columns: Sequence[Any], rows: Iterable[Sequence[Any]]) -> None:
    out = csv.writer(file, lineterminator="\r\n")  # else a lone carriage return in a cell is not quoted (RFC 4180)
    out.writerow([cell(str(column)) for column in columns])
    out.writerows([cell(value) for value in row] for row in rows)
