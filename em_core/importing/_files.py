"""The files that a person gave: found, fingerprinted, decoded, and the first of their content to tell the format from."""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TextIO

from em_core.errors import BadInput
from em_core.importing._json import documents

HEAD = 1 << 16
MAX_JSON = 256 << 20
"""Largest JSON document, bytes: unlike CSV and JSON lines it is read whole."""
_LONGEST_LINE = 64 << 20
_BLOCK = 1 << 20
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
Kind = Literal["csv", "jsonl", "json", "zip", "other"]


@dataclass(frozen=True)
class File:
    """One file, and how it was given.

    Args:
        path: Where it is.
        top: Folders below this one tell something (study, run); it and what is above it do not.
        given: Name shown to people: the path below what was given.
        apostrophes: A CSV of an export of ours: apostrophes that keep a spreadsheet from running a cell are taken off.
    """

    path: Path
    top: Path
    given: str
    apostrophes: bool = False

    @cached_property
    def size(self) -> int:
        """Bytes."""
        return self.path.stat().st_size

    @cached_property
    def head(self) -> bytes:
        """The first `HEAD` bytes."""
        with self.path.open("rb") as file:
            return file.read(HEAD)

    @cached_property
    def _scanned(self) -> tuple[str, bool, str]:
        """Its digest, whether all of it decodes, and from about where it does not."""
        digest, near = hashlib.sha256(), ""
        decoder = codecs.getincrementaldecoder(self._codec)()
        done = 0
        with self.path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                if not near:
                    try:
                        decoder.decode(block)
                    except UnicodeDecodeError as error:
                        near = f"near byte {done + error.start:,}"
                done += len(block)
        if not near:
            try:
                decoder.decode(b"", True)
            except UnicodeDecodeError:
                near = "at its end"
        return digest.hexdigest(), not near, near

    @property
    def _codec(self) -> str:
        """What the byte order mark says; UTF-8 without one."""
        if self.head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16"
        return "utf-8-sig" if self.head[:3] == codecs.BOM_UTF8 else "utf-8"

    @property
    def sha256(self) -> str:
        """Of the content, hex."""
        return self._scanned[0]

    @property
    def encoding(self) -> str:
        """How it is decoded: UTF-8, UTF-16 with a mark, else Windows-1252, which every file can be read as (`_AS_LATIN`)."""
        return self._codec if self._scanned[1] or self._codec == "utf-16" else "cp1252"

    @property
    def _errors(self) -> str:
        return "strict" if self._scanned[1] else "replace" if self._codec == "utf-16" else _AS_LATIN

    @property
    def encoding_note(self) -> str:
        """What a reader must know about that; empty = all of it is what it says it is."""
        if self._scanned[1]:
            return ""
        how = "damaged characters stand as U+FFFD" if self._codec == "utf-16" else "read as Windows-1252 (Latin-1)"
        return f"not {self._codec.upper()} {self._scanned[2]}: {how}"

    def open_text(self, newline: str) -> TextIO:
        """Its text, decoded as `encoding` says."""
        return self.path.open(encoding=self.encoding, errors=self._errors, newline=newline)

    @cached_property
    def text_head(self) -> str:
        """The first characters, without a byte order mark."""
        return self.head.decode(self._codec, "replace")

    @cached_property
    def kind(self) -> Kind:
        """What the content looks like, whatever the file is called."""
        text = self.text_head.lstrip()
        if self.head[:4] in _ZIP:
            return "zip"
        if text[:1] == "[" or text[:1] == "{":
            return "jsonl" if text[0] == "{" and self._is_lines else "json"
        first = text.split("\n", 1)[0]
        if not text or "\0" in first or not text[:1].isprintable() or first.count("\ufffd") > 0.05 * len(first):
            return "other"
        return "csv"

    @property
    def _is_lines(self) -> bool:
        """Objects line by line; a file that is called so may have one line only, or a damaged one among its first two."""
        lines = self._first_lines
        if self.path.suffix.lower() == ".jsonl":
            return any(map(_is_object, lines))
        return len(lines) > 1 and _is_object(lines[0]) and lines[1].lstrip()[:1] == "{"

    @cached_property
    def _first_lines(self) -> list[str]:
        """The first two lines that are not blank; where the head ends before them, only of a file that is called JSON lines."""
        lines = [line for line in self.text_head.split("\n") if line.strip()][:3]
        if len(lines) > 2 or len(self.head) == self.size:
            return lines[:2]
        if self.path.suffix.lower() != ".jsonl":
            return lines[:1] if len(lines) < 2 else lines
        with self.open_text("\n") as stream:
            found = (line for line in iter(lambda: stream.readline(_LONGEST_LINE), "") if line.strip())
            return list(islice(found, 2))

    @cached_property
    def delimiter(self) -> str:
        """The CSV's: comma, semicolon or tab, whichever the header has most of."""
        header = self.text_head.split("\n", 1)[0]
        return max(",;\t", key=header.count)

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns of a CSV, or of the first object of JSON lines, as they stand; empty = neither."""
        if self.kind == "csv":
            try:
                head = self.head.decode(self.encoding, self._errors if self.encoding == "cp1252" else "replace")
                rows = csv.reader(head.splitlines(keepends=True), delimiter=self.delimiter)
                return [name.strip() for name in next(rows, [])]
            except csv.Error:
                return []
        if self.kind == "jsonl":
            return list(json.loads(next(filter(_is_object, self._first_lines))))
        return []

    @cached_property
    def names(self) -> frozenset[str]:
        """`columns`, lower case."""
        return frozenset(name.lower() for name in self.columns)

    @cached_property
    def documents(self) -> tuple[list[Any], str]:
        """Every whole JSON document of the file, one after the other, and what is behind the last ("" = nothing).

        Raises:
            BadInput: It is larger than `MAX_JSON`.
        """
        if self.size > MAX_JSON:
            raise BadInput(
                f"{self.given}: a JSON document of {self.size >> 20:,} MB, at most {MAX_JSON >> 20} MB are read whole",
                "write it as JSON lines (one answer a line) or as CSV",
            )
        with self.open_text("") as file:
            return documents(file.read())

    def forget(self) -> None:
        """Let the memory of parsed documents go."""
        self.__dict__.pop("documents", None)


def _as_latin(error: UnicodeError) -> tuple[str, int]:
    """The five bytes that Windows-1252 leaves undefined, as Latin-1 reads them."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


_AS_LATIN = "em-as-latin"
codecs.register_error(_AS_LATIN, _as_latin)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
