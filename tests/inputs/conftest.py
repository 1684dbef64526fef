"""Real files in temporary folders; the published files of the field where they are at hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

UPSTREAM = Path(__file__).resolve().parents[2] / "../shared/upstream"


@pytest.fixture
def upstream() -> Path:
    """The published files (test input only, never part of the project)."""
    if not UPSTREAM.is_dir():
        pytest.skip("the published files are not on this machine (../shared/upstream)")
    return UPSTREAM.resolve()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def jsonl(here: Path) -> Callable[..., Path]:
    """Write ``x.jsonl`` in the working folder: each argument is a line, or a value to encode."""

    def write(*lines: Any, name: str = "x.jsonl") -> Path:
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        (here / name).write_text(text + "\n", encoding="utf-8")
        return here / name

    return write


def chat(*turns: str) -> dict[str, Any]:
    """A row of alternating user and assistant turns."""
    return {"messages": [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]}


def listing(folder: Path) -> list[str]:
    """Every path below a folder."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))
