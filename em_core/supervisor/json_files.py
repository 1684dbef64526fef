"""What small JSON files say, remembered while they are the same."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_REMEMBERED = 20_000


class JsonFiles(Generic[T]):
    """One thing that is wanted of many files, again and again (of every run's ``spec.json``, say).

    Args:
        read: Makes it of a file's content. A ``KeyError``, ``ValueError``, ``TypeError``, ``AttributeError`` or
            ``OverflowError`` of it means that the file is damaged.
    """

    def __init__(self, read: Callable[[Any], T]) -> None:
        self._read = read
        self._known: dict[str, tuple[tuple[int, int, int], T]] = {}

    def of(self, path: Path) -> T | None:
        """It for one file; None where that is missing or damaged."""
        name = os.fspath(path)
        try:
            stat = os.stat(name)
            signature = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            known = self._known.get(name)
            if known is not None and known[0] == signature:
                return known[1]
            with open(name, "rb") as file:
                found = self._read(json.load(file))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return None
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[name] = (signature, found)
        return found
