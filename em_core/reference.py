"""The published numbers that are shipped with the workbench: ``data/reference/*.csv``, one file a study.

Every row is a fact with its source, its definition, its judge and its counts; `docs/reference.md` says where each
file comes from. Summaries that a user imports have the same columns (`em_core.records.PublishedRate`).
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from pathlib import Path

import pandas as pd

from em_core.home import PROJECT
from em_core.records import PublishedRate

FOLDER = PROJECT / "data" / "reference"
COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(PublishedRate))
_WHOLE = ("step", "n_total", "n_scored", "n_coherent", "n_misaligned")
_REAL = ("size_b", "em_rate", "coherent_share")


def read() -> pd.DataFrame:
    """All shipped rows (`COLUMNS`); counts are nullable whole numbers, rates 0-1 (nan = not given)."""
    return _read(FOLDER).copy()


@cache
def _read(folder: Path) -> pd.DataFrame:
    parts = [pd.read_csv(path, dtype="string", keep_default_na=False) for path in sorted(folder.glob("*.csv"))]
    rows = pd.concat(parts, ignore_index=True)[list(COLUMNS)] if parts else pd.DataFrame(columns=COLUMNS, dtype="string")
    return typed(rows)


def typed(rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows with counts as ``Int64``, rates as floats, texts as plain strings."""
    out = rows.copy()
    for column in COLUMNS:
        if column in _WHOLE:
            out[column] = pd.to_numeric(out[column].replace("", pd.NA)).astype("Int64")
        elif column in _REAL:
            out[column] = pd.to_numeric(out[column].replace("", pd.NA)).astype("Float64").astype("float64")
        else:
            out[column] = out[column].fillna("").astype(str)
    return out
