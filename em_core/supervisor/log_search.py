"""Search a worker's whole log: plain text or a regular expression, the matching lines with their numbers, inert."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import regex

from em_core.errors import BadInput
from em_core.supervisor.logs import inert

MOST_BYTES = 16 << 20
"""Of a longer log only the end is searched."""
MOST_LINES = 500
"""The newest matches that are shown."""
MOST_CHARACTERS = 2_000
"""Of one line."""
SECONDS = 2.0
"""A regular expression may need longer than anybody waits; then it is given up."""
_BLOCK = 1 << 22
_Matches = Callable[[str, float], bool]
"""Whether a line matches; gives up (`TimeoutError`) at that moment of the monotonic clock."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Args:
        lines: ``(number, text)`` of the newest matching lines, oldest first; numbers count from 1.
        n_matches: Matching lines in all.
        n_lines: Lines of the log in all.
        first_line: The first line that was looked at; above 1 when the log is longer than `MOST_BYTES`.
    """

    lines: tuple[tuple[int, str], ...] = ()
    n_matches: int = 0
    n_lines: int = 0
    first_line: int = 1


def search(path: Path, text: str, *, expression: bool = False, case: bool = False) -> Found:
    """Lines of a log that contain something.

    Args:
        path: The log; a missing one has no lines.
        text: What to look for.
        expression: `text` is a regular expression (Python's syntax).
        case: Upper and lower case differ.

    Raises:
        BadInput: The expression is wrong, or takes too long.
    """
    matches = _expression(text, case) if expression else _plain(text, case)
    try:
        lines, first = _lines(path)
    except OSError:
        return Found()
    kept: deque[tuple[int, str]] = deque(maxlen=MOST_LINES)
    n_matches, until = 0, time.monotonic() + SECONDS
    try:
        for number, line in enumerate(lines, first):
            shown = line[:MOST_CHARACTERS]
            if matches(shown, until):
                n_matches += 1
                kept.append((number, shown + (" …" if len(line) > MOST_CHARACTERS else "")))
    except TimeoutError as error:
        raise BadInput(
            f"the search takes longer than {SECONDS:.0f} s on this log",
            "make it simpler (nested repeats such as (a+)+ are slow), or switch regular expressions off: plain text is quick",
        ) from error
    return Found(tuple(kept), n_matches, first - 1 + len(lines), first)


def as_text(found: Found) -> str:
    """The lines with their numbers, as a page and a terminal show them."""
    width = len(str(found.lines[-1][0])) if found.lines else 1
    return "\n".join(f"{number:>{width}}  {line}" for number, line in found.lines)


def _plain(text: str, case: bool) -> _Matches:
    if case:
        return lambda line, _: text in line
    folded = text.casefold()
    return lambda line, _: folded in line.casefold()


def _expression(expression: str, case: bool) -> _Matches:
    try:
        pattern = regex.compile(expression, 0 if case else regex.IGNORECASE)
    except regex.error as error:
        where = f" at character {error.pos + 1}" if error.pos is not None else ""
        raise BadInput(
            f"the regular expression is not understood: {error.msg}{where}",
            "correct it, or switch regular expressions off to look for the text as it is",
        ) from error
    return lambda line, until: pattern.search(line, timeout=max(0.001, until - time.monotonic())) is not None


def _lines(path: Path) -> tuple[list[str], int]:
    """The inert lines of the log's end, and the number of the first of them."""
    first = 1
    with path.open("rb") as file:
        before = max(0, file.seek(0, 2) - MOST_BYTES)
        file.seek(0)
        while before > 0 and (block := file.read(min(before, _BLOCK))):
            first += block.count(b"\n")
            before -= len(block)
            if before == 0:
                file.readline()  # the rest of a line whose beginning is left out
                first += 1
        data = file.read(MOST_BYTES)
    lines = inert(data.decode("utf-8", "replace")).split("\n")
    return (lines[:-1] if not lines[-1] else lines), first
