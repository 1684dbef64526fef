"""The files that a person gave: found, fingerprinted, decoded, and the first of their content to tell the format from."""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from em_core.errors import BadInput
from em_core.importing._json import documents

HEAD = 1 << 16
MAX_JSON = 256 << 20
"""Largest JSON document, bytes: unlike CSV and JSON lines it is read whole."""
_BLOCK = 1 << 20
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
    def _scanned(self) -> tuple[str, str, str]:
        digest, problem = hashlib.sha256(), ""
        bom = self.head[:4]
        codec = "utf-16" if bom[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig" if bom[:3] == b"\xef\xbb\xbf" else "utf-8"
        decoder = codecs.getincrementaldecoder(codec)()
        done = 0
        with self.path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                if not problem:
                    try:
                        decoder.decode(block)
                    except UnicodeDecodeError as error:
                        problem = f"not {codec.upper()} near byte {done + error.start:,}: read as Latin-1 (Windows-1252)"
                done += len(block)
        if not problem:
            try:
                decoder.decode(b"", True)
            except UnicodeDecodeError:
                problem = f"not {codec.upper()} at its end: read as Latin-1 (Windows-1252)"
        return digest.hexdigest(), "latin-1" if problem else codec, problem

    @property
    def sha256(self) -> str:
        """Of the content, hex."""
        return self._scanned[0]

    @property
    def encoding(self) -> str:
        """How it is decoded: UTF-8, UTF-16 with a mark, else Latin-1, which every file can be read as."""
        return self._scanned[1]

    @property
    def encoding_note(self) -> str:
        """What a reader must know about that; empty = it is UTF-8."""
        return self._scanned[2]

    @cached_property
    def text_head(self) -> str:
        """The first characters, without a byte order mark."""
        codec = "utf-16" if self.head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        return self.head.decode(codec, "replace")

    @cached_property
    def kind(self) -> Kind:
        """What the content looks like, whatever the file is called."""
        text = self.text_head.lstrip()
        if self.head[:4] == b"PK\x03\x04":
            return "zip"
        if text[:1] in ("{", "["):
            lines = [line for line in text.split("\n", 2) if line.strip()]
            whole = len(lines) > 1 or len(self.head) == self.size
            return "jsonl" if text[0] == "{" and whole and _is_object(lines[0]) and self._next_is_object(lines) else "json"
        first = text.split("\n", 1)[0]
        if not text or "\0" in first or not text[:1].isprintable() or first.count("\ufffd") > 0.05 * len(first):
            return "other"
        return "csv"

    def _next_is_object(self, lines: list[str]) -> bool:
        return (len(lines) == 1 and self.path.suffix == ".jsonl") or (len(lines) > 1 and lines[1].lstrip()[:1] == "{")

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
                rows = csv.reader(self.text_head.splitlines(keepends=True), delimiter=self.delimiter)
                return [name.strip() for name in next(rows, [])]
            except csv.Error:
                return []
        if self.kind == "jsonl":
            return list(json.loads(self.text_head.lstrip().split("\n", 1)[0]))
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
        with self.path.open(encoding=self.encoding, newline="") as file:
            return documents(file.read())

    def forget(self) -> None:
        """Let the memory of parsed documents go."""
        self.__dict__.pop("documents", None)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
