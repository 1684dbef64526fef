"""The first training rows as tokens with their loss mask: kept by the worker, shown to people.

    <run>/preview.json    [{"tokens": ["<|user|>", "Hi", …], "loss": [false, …], "truncated": false, "note": ""}, …]

Wrong masks are the commonest silent mistake of fine-tunes (prompt tokens in the loss, an empty
assistant turn trained, padding in the loss), so every run shows what it really trains on.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from em_core.errors import WorkFailed

FILE = "preview.json"
BETWEEN, OPEN, CLOSE = "│", "⟦", "⟧"
LEGEND = f"{BETWEEN} between tokens; {OPEN} {CLOSE} around the tokens that carry loss"


def write(run_dir: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep the rows: ``tokens``, ``loss`` (same length), ``truncated``, ``note`` each.

    Raises:
        WorkFailed: The disk is full or not writable; nothing half-made is left.
    """
    temporary = run_dir / f".{FILE}.tmp"
    try:
        temporary.write_text(json.dumps([dict(row) for row in rows]), encoding="utf-8")
        os.replace(temporary, run_dir / FILE)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise WorkFailed(
            f"{run_dir / FILE}: the first training rows were not saved ({error.strerror})",
            "free disk space, then `launch` it `--again`",
        ) from error


def read(run_dir: Path) -> list[dict[str, Any]]:
    """The kept rows; none before the model is loaded, or when the file is damaged."""
    try:
        rows = json.loads((run_dir / FILE).read_text(encoding="utf-8"))
        return [row for row in rows if len(row["tokens"]) == len(row["loss"])]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def as_text(row: Mapping[str, Any]) -> str:
    """One row on one line (see `LEGEND`); line breaks and control characters of a token are escaped."""
    parts, inside = [], False
    for token, carries_loss in zip(row["tokens"], row["loss"], strict=True):
        if carries_loss != inside:
            parts.append(OPEN if carries_loss else CLOSE)
            inside = carries_loss
        elif parts:
            parts.append(BETWEEN)
        parts.append("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(token)))
    return "".join(parts) + (CLOSE if inside else "") + (" … cut here" if row.get("truncated") else "")
