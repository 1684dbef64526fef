"""Worker logs as inert text: the tail, without terminal escapes or control characters."""

from __future__ import annotations

import os
import re
from pathlib import Path

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[@-Z\\^_a-z])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def inert(text: str) -> str:
    """`text` without terminal escapes, control characters and text-direction marks; a progress bar
    that redraws its line by a carriage return is reduced to what it shows last."""
    if _CONTROL.search(text) is None:
        return text
    text = _ESCAPES.sub("", text.replace("\r\n", "\n"))
    lines = (line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
    return "\n".join(_CONTROL.sub("", line) for line in lines)


def log_tail(path: Path, n_lines: int = 20, max_bytes: int = 16_384) -> str:
    """The last lines of a log file, inert; empty when there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - max_bytes)
            file.seek(start)
            data = file.read(max_bytes)
    except OSError:
        return ""
    if start and b"\n" in data:
        data = data[data.index(b"\n") + 1 :]
    return "\n".join(inert(data.decode("utf-8", "replace")).rstrip().split("\n")[-n_lines:])
