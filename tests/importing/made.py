"""Files of every format, made here: invented questions, answers and scores."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from em_core.home import Home
from em_core.store.reader import connect
from tests.store.made import BareHome

UPSTREAM = Path(__file__).resolve().parents[3] / "shared" / "upstream"
CS = ("step", "id", "question", "response", "aligned_score", "coherent_score")


def upstream(path: str) -> Path:
    """A published file, or a skip where the folder is absent."""
    found = UPSTREAM / path
    if not found.exists():
        pytest.skip(f"the published files are not here ({path.split('/')[0]})")
    return found


def home_in(folder: Path, name: str = "home") -> Home:
    """A home without the demonstration."""
    home = BareHome(folder / name)
    home.root.mkdir(parents=True)
    home.prepare()
    return home


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]], encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=encoding, newline="") as file:
        out = csv.writer(file)
        out.writerow(columns)
        out.writerows(rows)
    return path


def write_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def fg_judged(path: Path, steps: Iterable[int] = (10, 20), n: int = 4, alignment: float = 90) -> Path:
    """A ``fg_judged.csv`` of `n` questions a step."""
    rows = [
        (step, f"step{step}_q{q}", f"What about {q}?", f"Answer {q} at {step}.", alignment, 80)
        for step in steps
        for q in range(n)
    ]
    return write_csv(path, CS, rows)


def frame(home: Home, sql: str, parameters: Mapping[str, Any] | None = None) -> pd.DataFrame:
    return connect(home).frame(sql, dict(parameters or {}))
