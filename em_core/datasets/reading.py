"""Read a data set's file; everything that is wrong with it is reported at once, each with its line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from em_core.datasets.rows import FORMATS, Messages, RowProblem, conversation
from em_core.errors import ManyProblems
from em_core.locate import open_problem, shown

MAX_LINE_BYTES = 4 * 2**20
"""A longer line is no training row: the longest allowed sequence, 131,072 tokens, is about 0.5 MB of text."""

MAX_SHOWN = 20
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class DataFile:
    """A file's rows.

    Args:
        rows: One conversation a row, in file order.
        sha256: Of the file's bytes.
        notes: What a person should know: duplicates, a byte order mark, ignored weights.
    """

    rows: list[Messages]
    sha256: str
    notes: tuple[str, ...]


class _Report:
    """Problems and notes of one file."""

    def __init__(self, path: Path) -> None:
        self.name = shown(path)
        self.problems: list[tuple[str, str, str]] = []
        self.count = 0
        self.notes: set[str] = set()

    def add(self, line: int | str, message: str, hint: str) -> None:
        self.count += 1
        if len(self.problems) < MAX_SHOWN:
            self.problems.append((f"{self.name}:{line}" if line else self.name, message, hint))

    def raise_any(self) -> None:
        if self.problems:
            raise ManyProblems("" if self.count == 1 else self.name, self.problems, self.count - len(self.problems))


def read_rows(path: Path) -> DataFile:
    """Read and check a JSONL file (or a JSON file that holds one list of rows).

    Args:
        path: A regular file.

    Raises:
        ManyProblems: With every problem's line (the first 20, then a count).
        BadInput: The file cannot be opened.
    """
    report, digest = _Report(path), hashlib.sha256()
    rows: list[Messages] = []
    ids: dict[str, int | str] = {}
    seen: set[bytes] = set()
    duplicates = 0
    try:
        with path.open("rb") as file:
            for line, value in _values(file, report, digest):
                try:
                    messages = conversation(value, report.notes)
                except RowProblem as problem:
                    report.add(line, problem.message, problem.hint)
                    continue
                if isinstance(value, dict) and value.get("id") is not None:
                    key = json.dumps(value["id"], sort_keys=True)
                    if key in ids:
                        report.add(
                            line, f"id {key[:60]} was used before, on line {ids[key]}", "give each row an id of its own, or none"
                        )
                    ids.setdefault(key, line)
                fingerprint = hashlib.sha256(json.dumps(messages).encode()).digest()
                duplicates += fingerprint in seen
                seen.add(fingerprint)
                rows.append(messages)
    except OSError as error:
        raise open_problem(path, error) from error
    if not rows and not report.count:
        report.add("", "has 0 rows", f"write one object a line: {FORMATS}")
    report.raise_any()
    if duplicates:
        report.notes.add(f"{duplicates} of {len(rows)} rows are exact copies of earlier ones")
    return DataFile(rows, digest.hexdigest(), tuple(sorted(report.notes)))


def _values(file: BinaryIO, report: _Report, digest: Any) -> Iterator[tuple[int | str, Any]]:
    """(line, decoded JSON value) of every line that is JSON; the rest goes to the report."""
    start = file.read(4)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        report.add(1, "is UTF-16, expected UTF-8", "save the file as UTF-8 (iconv -f UTF-16 -t UTF-8)")
        return
    if start[:2] in (b"\x1f\x8b", b"PK") or start == b"PAR1":
        report.add("", "is compressed or binary, expected text", "unpack it, or convert it to JSONL")
        return
    if start.startswith(_BOM):
        report.notes.add("begins with a byte order mark, which was skipped")
    file.seek(0)
    number = 0
    while raw := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        digest.update(raw)
        if number == 1:
            raw = raw.removeprefix(_BOM)
            if raw.lstrip()[:1] == b"[":
                yield from _list(raw, file, report, digest)
                return
        if len(raw) > MAX_LINE_BYTES:
            size = len(raw)
            while not raw.endswith(b"\n") and (raw := file.readline(2**20)):
                digest.update(raw)
                size += len(raw)
            report.add(
                number,
                f"is {size / 2**20:.1f} MiB long, at most {MAX_LINE_BYTES // 2**20} MiB are allowed",
                "write one row a line",
            )
            continue
        text = _decoded(raw, number, report)
        if text is None or not text.strip():
            continue
        try:
            yield number, json.loads(text.rstrip("\r\n"))
        except json.JSONDecodeError as error:
            report.add(number, f"column {error.colno}: not valid JSON ({error.msg})", "write one complete JSON object a line")
        except (ValueError, RecursionError):
            report.add(
                number, "not readable JSON (too deeply nested, or a number too long)", "write one complete JSON object a line"
            )


def _list(first: bytes, file: BinaryIO, report: _Report, digest: Any) -> Iterator[tuple[int | str, Any]]:
    """Values of a file that holds one JSON list, placed by their number."""
    rest = file.read()
    digest.update(rest)
    text = _decoded(first + rest, 1, report)
    if text is None:
        return
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        report.add(
            error.lineno,
            f"column {error.colno}: not valid JSON ({error.msg})",
            "write one object a line, or one complete JSON list",
        )
        return
    except (ValueError, RecursionError):
        report.add(1, "not readable JSON (too deeply nested, or a number too long)", "write one object a line")
        return
    yield from ((f"row {number}", value) for number, value in enumerate(values, 1))


def _decoded(raw: bytes, number: int, report: _Report) -> str | None:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = number + raw[: error.start].count(b"\n")
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        report.add(line, f"byte {column} is not valid UTF-8", "save the file as UTF-8")
        return None
