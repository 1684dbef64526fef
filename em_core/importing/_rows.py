"""Rows of a CSV or of JSON lines, one at a time: a file of any size never sits in memory whole."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from em_core import spreadsheet
from em_core.importing._files import File
from em_core.importing._items import Skip
from em_core.importing._json import reason_of

MAX_CELL = 32 << 20
"""Longest cell, characters: more is a quotation mark that is never closed."""


@dataclass(slots=True)
class Row:
    """One row: its place for people, and its cells by the column's name in lower case."""

    where: str
    cells: dict[str, Any]

    def get(self, *names: str) -> Any:
        """The first of these columns that the file has; None where it has none of them."""
        return next((self.cells[name] for name in names if name in self.cells), None)


def rows(file: File) -> Iterator[Row | Skip]:
    """Every row of a file of kind ``csv`` or ``jsonl``; what is damaged comes as a `Skip` and the next row follows."""
    return _csv(file) if file.kind == "csv" else _jsonl(file) if file.kind == "jsonl" else iter(())


def _csv(file: File) -> Iterator[Row | Skip]:
    csv.field_size_limit(MAX_CELL)
    names = [name.lower() for name in file.columns]
    twice = sorted({name for name in names if names.count(name) > 1 and name})
    if twice:
        yield Skip("header", f"column {', '.join(twice)!s} stands twice: the first one is read", 0)
    keep = [(name, place) for place, name in enumerate(names) if name not in names[:place]]
    with file.open_text("") as stream:
        reader = csv.reader(stream, delimiter=file.delimiter)
        line = 0
        while True:
            where = f"line {line + 1}"
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "field limit" in str(error):
                    yield Skip(
                        f"{where} to the end",
                        "a cell of more than 32 million characters, or a quotation mark that is not closed: "
                        "nothing behind it can be told apart",
                    )
                    return
                yield Skip(where, f"no CSV row ({error})")
                line = reader.line_num
                continue
            first, line = line == 0, reader.line_num
            if first or not cells:
                continue
            if len(cells) != len(names):
                if any(cell.strip() for cell in cells):
                    yield Skip(where, f"{len(cells)} cell{'s' * (len(cells) != 1)}, the header names {len(names)}")
                continue
            if file.apostrophes:
                cells = [spreadsheet.original(cell) for cell in cells]
            if any(cells):
                yield Row(where, {name: cells[place] for name, place in keep})
            else:
                yield Skip(where, "an empty row")


def _jsonl(file: File) -> Iterator[Row | Skip]:
    with file.open_text("\n") as stream:
        number = 0
        while line := stream.readline(2 * MAX_CELL):
            number += 1
            where = f"line {number}"
            if len(line) >= 2 * MAX_CELL:
                yield Skip(where, "a line of more than 64 million characters")
                while line and not line.endswith("\n"):
                    line = stream.readline(2 * MAX_CELL)
                continue
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield Skip(where, f"not JSON ({reason_of(error)})")
                continue
            if isinstance(value, dict):
                yield Row(where, {str(key).lower(): cell for key, cell in value.items()})
            else:
                yield Skip(where, "no JSON object")
