"""Everything that was written down, without loss: one Parquet file per base table, and one JSON line per answer and judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from em_core.export.folder import digest
from em_core.export.private import Private
from em_core.store import database
from em_core.store.tables import TABLES, Tables

FORMAT = 1


def parquet(tables: Tables, folder: Path, about: dict[str, Any], private: Private, progress: Callable[[str], None]) -> None:
    """Write ``parquet/<table>.parquet`` of every base table and ``parquet/manifest.json``.

    Args:
        tables: What to write; already shortened by `private`.
        folder: ``parquet/``, which is made.
        about: Workbench version, time and selection, for the manifest.
        private: Which texts were shortened, for the manifest.
        progress: Told each table's name.
    """
    folder.mkdir()
    described: dict[str, Any] = {}
    for table in TABLES:
        progress(table)
        n = tables.write_parquet(table, folder / f"{table}.parquet")
        described[table] = {
            "file": f"{table}.parquet", "rows": n, "columns": tables.columns(table), **digest(folder / f"{table}.parquet"),
        }  # fmt: skip
    manifest = {
        "kind": "em-workbench tables",
        "format": FORMAT,
        "schema_version": database.VERSION,
        "schema_sha256": database.schema_sha256(),
        **about,
        "runs": list(tables.part.own),
        "side_runs": [private.run_id(run) for run in tables.part.sides],
        "shortened": dict(private.shortened),
        "tables": described,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def json_lines(tables: Tables, path: Path, progress: Callable[[int], None]) -> None:
    """Write ``responses.jsonl``, run by run; `progress` is told how many lines there are."""
    n = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for run_id in tables.part.own:
            for line in tables.answer_lines(run_id):
                file.write(line)
                file.write("\n")
                n += 1
                if n % 5000 == 0:
                    progress(n)
